"""Judges a fault run by what it kept: `python3 fault_check.py DIR [--json]`.

Standard library only, and nothing of the project: what it says is worked out again from files.
DIR/ledger is what the upstream wrote down, DIR/database the tables and the audit events as JSON
Lines, DIR/journals what clients were told, DIR/faults.jsonl and DIR/run.json what was done to it
all. Each rule is a function that yields what breaks it. Exit code 1: something does.
"""

import base64
import hashlib
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

Row = dict[str, Any]
Found = Iterator[str]

ARROWS = {
    "pending": {"approved", "rejected", "expired", "cancelled", "void"},
    "approved": {"claimed", "expired", "cancelled", "void"},
    "claimed": {"approved", "dispatched", "expired", "cancelled", "void"},
    "dispatched": {"succeeded", "failed", "unknown"},
    "unknown": {"succeeded", "failed"},
}
UNSENT_ENDS = {"rejected", "expired", "cancelled", "void"}
SETTLED = {"succeeded", "failed", *UNSENT_ENDS}
BEGINNINGS = {"call.held": "pending", "call.admitted": "approved"}
SIGNED = {"call.approve_signed": "approve", "call.reject_signed": "reject"}
# Told to people who are asked; the call stays where it is.
TOLD = {"call.reminded", "call.escalated", "call.out_of_reach", "call.within_reach"}
# What the ledger did instead of answering as it should, after which nobody can tell.
UNCLEAR = {
    "drop", "slow", "lost", "reset", "garbage", "input_required", "redirect", "unauthorized",
}  # fmt: skip
BREAKS_THE_LINE = {"drop", "lost", "reset", "garbage"}
TIMERS = {
    "pending": "decide_by_at", "approved": "run_by_at", "claimed": "lease_until",
    "dispatched": "lease_until",
}  # fmt: skip
SWEEP_SECONDS = 5.0  # how late a timer may be noticed
CLOCK_SECONDS = 0.002  # times are rounded
# After it is back, until all who hold connections to it have noticed that those are dead.
RECOVERY_SECONDS = {"postgres": 15.0, "upstream": 2.0}
BOUND = (
    "agent", "acts_for", "upstream", "upstream_address", "tool", "definition_digest",
    "arguments_digest", "rule_digest", "credential_ref", "decide_by_at", "run_by_at",
)  # fmt: skip


@dataclass
class History:
    """Everything that was kept of one run."""

    calls: dict[str, Row] = field(default_factory=dict)
    decisions: list[Row] = field(default_factory=list)
    dispatches: list[Row] = field(default_factory=list)
    people: dict[int, str] = field(default_factory=dict)
    upstreams: dict[int, Row] = field(default_factory=dict)
    heads: dict[str, Row] = field(default_factory=dict)
    events: dict[str, list[Row]] = field(default_factory=dict)  # by stream, in order
    ledger: list[Row] = field(default_factory=list)
    journals: list[Row] = field(default_factory=list)  # each with `who`
    faults: list[Row] = field(default_factory=list)
    run: Row = field(default_factory=dict)

    def of_call(self, call: str) -> list[Row]:
        """Return the events of a call."""
        return self.events.get(f"call:{call}", [])

    def effects(self) -> dict[str, list[Row]]:
        """Return the effects by call."""
        return self._of_ledger("effect")

    def received(self) -> dict[str, list[Row]]:
        """Return what the ledger received, by call."""
        return self._of_ledger("received")

    def dispatched(self) -> dict[str, list[Row]]:
        """Return the dispatches by call."""
        return _by(self.dispatches, "call_id")

    def told(self, what: str) -> Iterator[Row]:
        """Yield what was acknowledged to clients, of one kind."""
        return (line for line in self.journals if line["what"] == what)

    def _of_ledger(self, what: str) -> dict[str, list[Row]]:
        return _by((line for line in self.ledger if line["what"] == what), "call")


def no_second_effect(h: History) -> Found:
    """A call has one effect at most, and its request arrived once at most."""
    for call, lines in h.effects().items():
        if len(lines) > 1:
            yield f"{call}: {len(lines)} effects"
    for call, lines in h.received().items():
        if len(lines) > 1:
            yield f"{call}: sent {len(lines)} times"


def effect_needs_its_dispatch(h: History) -> Found:
    """What arrived upstream was dispatched before, and its bytes are those that were stored."""
    dispatched = h.dispatched()
    for call, lines in h.received().items():
        row = h.calls.get(call)
        if row is None:
            yield f"{call}: arrived upstream, but there is no such call"
            continue
        if len(dispatched.get(call, [])) != 1:
            yield f"{call}: arrived upstream with {len(dispatched.get(call, []))} dispatches"
        elif seconds(dispatched[call][0]["at"]) > lines[0]["at"] + CLOCK_SECONDS:
            yield f"{call}: arrived upstream before its dispatch"
        stored = base64.b64decode(row["arguments"])
        if hashlib.sha256(stored).hexdigest() != row["arguments_digest"]:
            yield f"{call}: its digest is not that of its arguments"
        for line in lines:
            if line["digest"] != row["arguments_digest"] or line["arguments"].encode() != stored:
                yield f"{call}: other bytes arrived upstream than were stored"


def dispatch_needs_its_approval(h: History) -> Found:
    """A dispatch has a quorum of distinct approvers or an allow rule, earlier, same binding."""
    decisions = _by(h.decisions, "call_id")
    for dispatch in h.dispatches:
        call, row = dispatch["call_id"], h.calls.get(dispatch["call_id"])
        if row is None:
            yield f"{call}: dispatched, but there is no such call"
            continue
        if dispatch["binding"] != row["binding"]:
            yield f"{call}: dispatched with another binding"
        if dispatch["definition_digest"] != row["definition_digest"]:
            yield f"{call}: dispatched to another definition"
        approvers = {
            decision["approver_id"]
            for decision in decisions.get(call, [])
            if decision["verdict"] == "approve"
            and decision["binding"] == row["binding"]
            and decision["at"] <= dispatch["at"]
            and not (row["four_eyes"] and decision["approver_id"] in _asked_by(row))
        }
        if row["quorum"] == 0:
            if row["rule"].get("outcome") != "allow" or not _was_loaded(h, row):
                yield f"{call}: dispatched by no rule that allows it"
        elif len(approvers) < row["quorum"]:
            yield f"{call}: dispatched with {len(approvers)} of {row['quorum']} approvals"


def binding_covers_what_was_asked(h: History) -> Found:
    """The binding is the digest of what the first event says was asked, and of the stored bytes."""
    for call, row in h.calls.items():
        events = h.of_call(call)
        facts = facts_of(events[0]) if events else {}
        bound = {"call_id": call} | {key: facts.get(key) for key in BOUND}
        if digest_of(bound) != row["binding"] or facts.get("binding") != row["binding"]:
            yield f"{call}: its binding is not the digest of what was asked"
        if facts.get("arguments_digest") != row["arguments_digest"]:
            yield f"{call}: its binding covers other arguments"


def fence_is_that_of_the_live_claim(h: History) -> Found:
    """Every dispatch and finish carries the fence, and comes from the worker, of the live claim."""
    for call in h.calls:
        claims = _Claims(call)
        for event in h.of_call(call):
            yield from claims.step(event)
    for dispatch in h.dispatches:
        fences = [
            facts_of(event).get("fence")
            for event in h.of_call(dispatch["call_id"])
            if event["code"] == "call.dispatched"
        ]
        if fences != [dispatch["fence"]]:
            yield f"{dispatch['call_id']}: its dispatch is not the one of its trail"


@dataclass
class _Claims:
    """The claims of one call, as far as its events have been read."""

    call: str
    state: str = ""
    fence: int = 0
    worker: str = ""
    sent: int = 0  # the fence it was dispatched with

    def step(self, event: Row) -> Found:
        """Take the next event; yield what it says without being the live claim."""
        facts, to = facts_of(event), event["code"].removeprefix("call.")
        place, is_mine = f"{self.call}#{event['seq']}", event["actor"] == self.worker
        if to == "claimed":
            self.fence, self.worker = self.fence + 1, event["actor"]
            if facts.get("fence") != self.fence:
                yield f"{place}: claim {self.fence} has fence {facts.get('fence')}"
        elif to == "dispatched":
            self.sent = self.fence
            if (self.state, facts.get("fence"), is_mine) != ("claimed", self.fence, True):
                yield f"{place}: dispatched without the live claim"
        elif "result_digest" in facts and (facts.get("fence"), is_mine) != (self.sent, True):
            yield f"{place}: finished without the claim that sent it"
        self.state = self.state if event["code"] in {*SIGNED, *TOLD} else to


def end_fits_the_effect(h: History) -> Found:
    """Succeeded means an effect; failed, rejected, expired, cancelled and void mean none."""
    effects = h.effects()
    for call, row in h.calls.items():
        if row["status"] == "succeeded" and call not in effects:
            yield f"{call}: succeeded without an effect"
        elif row["status"] in SETTLED - {"succeeded"} and call in effects:
            yield f"{call}: {row['status']} with an effect"


def unknown_has_its_reason(h: History) -> Found:
    """Whoever became unknown met an injected fault between its dispatch and that moment."""
    received, dispatched = h.received(), h.dispatched()
    broken = [line for line in h.ledger if line.get("fault") in BREAKS_THE_LINE]
    for call, row in h.calls.items():
        lost = [event for event in h.of_call(call) if event["code"] == "call.unknown"]
        if not lost or call not in dispatched:
            continue
        sent = dispatched[call][0]
        begun, end = seconds(sent["at"]), seconds(lost[0]["at"])
        if any(line["fault"] in UNCLEAR for line in received.get(call, [])):
            continue
        if any(_explains(fault, sent["worker"], begun, end) for fault in h.faults):
            continue
        # Over stdio all calls of a session share the line that breaks.
        is_pipe = h.upstreams.get(row["upstream_id"], {}).get("transport") == "stdio"
        if is_pipe and any(begun - 1 <= line["at"] <= end for line in broken):
            continue
        yield f"{call}: unknown without a reason ({facts_of(lost[0]).get('reason')})"


def nothing_is_left_without_a_timer(h: History) -> Found:
    """After quiescence, nothing is unsettled but what is unknown, or has a timer that runs."""
    now = h.run["dumped"] - SWEEP_SECONDS
    for call, row in h.calls.items():
        timer = TIMERS.get(row["status"])
        if timer is not None and (row[timer] is None or seconds(row[timer]) < now):
            yield f"{call}: {row['status']}, and no timer runs"
        if row["needs_attention"]:
            yield f"{call}: parked: {row['needs_attention']}"


def run_came_to_an_end(h: History) -> Found:
    """Every call that was planned was asked, and everything came to rest."""
    if h.run["stalled"]:
        yield "clients waited in vain"
    if not h.run["quiet"]:
        yield "calls were still on their way when the run ended"
    asked = {line["number"] for line in h.told("asking")}
    if len(asked) != h.run["calls"]:
        yield f"{len(asked)} of {h.run['calls']} calls were asked for"


def events_are_the_versions(h: History) -> Found:
    """A call has one event per version, in order, legal, and its row is where they lead."""
    for call, row in h.calls.items():
        state = ""
        events = h.of_call(call)
        for number, event in enumerate(events, 1):
            if event["seq"] != number or facts_of(event).get("version") != number:
                yield f"{call}: event {event['seq']} stands where {number} should"
            if problem := _illegal(state, event):
                yield f"{call}#{number}: {problem}"
            state = state if event["code"] in SIGNED else state_of(event)
        if (len(events), state) != (row["version"], row["status"]):
            yield f"{call}: version {row['version']} {row['status']}, but {len(events)} {state}"
    for stream in h.events:
        if stream.startswith("call:") and stream[5:] not in h.calls:
            yield f"{stream}: events of no call"


def _illegal(state: str, event: Row) -> str:
    if event["code"] in SIGNED:
        return "" if state == "pending" else f"a decision on a call that was {state}"
    allowed = ARROWS.get(state, set()) if state else set(BEGINNINGS.values())
    to = state_of(event)
    return "" if to in allowed else f"no arrow leads from {state} to {to}"


def chain_is_whole(h: History) -> Found:
    """Each event carries the digest of the one before, and the head that of the newest."""
    for stream, events in h.events.items():
        before = ""
        for number, event in enumerate(events, 1):
            parts = {key: event[key] for key in ("stream", "seq", "code", "actor", "at")}
            data = base64.b64decode(event["data"])
            parts |= {"data": hashlib.sha256(data).hexdigest(), "previous": before}
            if event["seq"] != number or digest_of(parts) != event["digest"]:
                yield f"{stream}#{event['seq']}: not as it was written"
            before = event["digest"]
        if h.heads.get(stream, {}).get("digest") != before:
            yield f"{stream}: its head stands for another event"
    for stream, head in h.heads.items():
        if head["seq"] and stream not in h.events:
            yield f"{stream}: its events are gone"


def decisions_are_in_the_trail(h: History) -> Found:
    """Every decision that was acknowledged to a person is a row and an event, once."""
    rows = Counter((row["call_id"], h.people[row["approver_id"]]) for row in h.decisions)
    for (call, person), times in rows.items():
        if times > 1:
            yield f"{call}: {person} decided {times} times"
    for line in h.told("decided"):
        call, person = line["call"], line["who"].removeprefix("person-")
        signed = [
            event
            for event in h.of_call(call)
            if SIGNED.get(event["code"]) == line["verdict"]
            and event["actor"] == f"person:{person}"
            and facts_of(event).get("binding") == line["binding"]
        ]
        if len(signed) != 1 or (call, person) not in rows:
            yield f"{call}: the decision acknowledged to {person} is not in the trail"


def acts_are_in_the_trail(h: History) -> Found:
    """Every withdrawal, settlement, review and change of rules that was acknowledged is there."""
    ends = {"ran": "succeeded", "not-ran": "failed", "": "cancelled"}
    for what in ("withdrew", "settled"):
        for line in h.told(what):
            end = ends[line.get("outcome", "")]
            if end not in {state_of(event) for event in h.of_call(line["call"])}:
                yield f"{line['call']}: somebody {what} it, and that is not in the trail"
    sources = {facts_of(event).get("source") for event in h.events.get("policy", [])}
    for line in h.told("rules"):
        if line["source"] not in sources:
            yield f"the rules of {line['source']} are not in the trail"
    reviews = [
        one for events in h.events.values() for one in events if one["code"] == "tool.reviewed"
    ]
    known = {facts_of(event).get("definition_digest") for event in reviews}
    for line in h.told("reviewed"):
        if line["digest"] not in known:
            yield f"the review of tool {line['tool']} is not in the trail"


def answers_are_in_the_trail(h: History) -> Found:
    """Every ticket, state and read that an agent was told of is there."""
    reads = {
        facts_of(event).get("read_id")
        for stream, events in h.events.items()
        if stream.startswith("reads:")
        for event in events
    }
    for line in h.told("read"):
        if line["read"] not in reads:
            yield f"read {line['read']}: told to {line['who']}, and not in the trail"
    for line in h.told("told"):
        states = {state_of(event) for event in h.of_call(line["call"])}
        if not states:
            yield f"{line['call']}: {line['who']} holds its ticket, and it is not in the trail"
        elif line["state"] != "working" and line["state"] not in states:
            yield f"{line['call']}: told to be {line['state']}, and it never was"


def agents_learn_the_end(h: History) -> Found:
    """What an agent was last told of each ticket it holds is where the call ended."""
    last: dict[tuple[str, str], Row] = {}
    for line in sorted(h.told("told"), key=lambda one: one["at"]):
        last[line["who"], line["call"]] = line
    for (who, call), line in last.items():
        status = h.calls.get(call, {}).get("status", "lost")
        if line["state"] != status:
            yield f"{call}: {who} was last told {line['state']}, and it is {status}"


RULES: tuple[Callable[[History], Found], ...] = (
    no_second_effect, effect_needs_its_dispatch, dispatch_needs_its_approval,
    binding_covers_what_was_asked, fence_is_that_of_the_live_claim, end_fits_the_effect,
    unknown_has_its_reason, nothing_is_left_without_a_timer, run_came_to_an_end,
    events_are_the_versions, chain_is_whole, decisions_are_in_the_trail, acts_are_in_the_trail,
    answers_are_in_the_trail, agents_learn_the_end,
)  # fmt: skip


def load(folder: Path) -> History:
    """Read everything a run kept."""
    tables = folder / "database"
    events: dict[str, list[Row]] = defaultdict(list)
    for event in _lines(tables / "audit.jsonl"):
        events[event["stream"]].append(event)
    return History(
        calls={row["id"]: row for row in _lines(tables / "toolcall.jsonl")},
        decisions=list(_lines(tables / "decision.jsonl")),
        dispatches=list(_lines(tables / "dispatch.jsonl")),
        people={row["id"]: row["username"] for row in _lines(tables / "person.jsonl")},
        upstreams={row["id"]: row for row in _lines(tables / "upstream.jsonl")},
        heads={row["name"]: row for row in _lines(tables / "auditstream.jsonl")},
        events={name: sorted(found, key=lambda e: e["seq"]) for name, found in events.items()},
        ledger=[line for file in sorted((folder / "ledger").iterdir()) for line in _lines(file)],
        journals=[
            {"who": file.stem.removeprefix("agent-"), **line}
            for file in sorted((folder / "journals").iterdir())
            for line in _lines(file)
        ],
        faults=list(_lines(folder / "faults.jsonl")),
        run=json.loads((folder / "run.json").read_text()),
    )


def judge(history: History) -> Row:
    """Return the verdict: each rule, what breaks it, and what there was to look at."""
    found = {rule.__name__: list(rule(history)) for rule in RULES}
    ends = Counter(row["status"] for row in history.calls.values())
    unknown = {call for call, row in history.calls.items() if row["status"] == "unknown"}
    counts = {
        "calls": len(history.calls), **{f"calls {end}": n for end, n in sorted(ends.items())},
        "effects": sum(map(len, history.effects().values())),
        "dispatches": len(history.dispatches), "decisions": len(history.decisions),
        "audit events": sum(map(len, history.events.values())),
        "decisions acknowledged": sum(1 for _ in history.told("decided")),
        "answers acknowledged": sum(1 for _ in history.told("told")),
        "reads acknowledged": sum(1 for _ in history.told("read")),
        "unknown that had happened": len(unknown & history.effects().keys()),
    }  # fmt: skip
    return {
        "seed": history.run.get("seed"), "counts": counts,
        "rules": {name: len(broken) for name, broken in found.items()},
        "violations": [f"{name}: {one}" for name, broken in found.items() for one in broken],
    }  # fmt: skip


def facts_of(event: Row) -> Row:
    """Return what an event says."""
    return dict(json.loads(base64.b64decode(event["data"])))


def state_of(event: Row) -> str:
    """Return where an event leads."""
    return BEGINNINGS.get(event["code"], str(event["code"]).removeprefix("call."))


def digest_of(value: object) -> str:
    """Return the SHA-256 of canonical JSON; of what stands here, RFC 8785 writes the same."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def seconds(moment: str) -> float:
    """Return a moment as seconds since 1970."""
    return datetime.fromisoformat(moment).timestamp()


def _explains(fault: Row, worker: str, begun: float, end: float) -> bool:
    """Tell whether a fault met a call between its dispatch and the moment it became unknown."""
    late = RECOVERY_SECONDS.get(fault["role"], 0.0)
    meets = fault["begun"] - CLOCK_SECONDS <= end and fault["until"] + late >= begun
    return meets and (fault["role"] in RECOVERY_SECONDS or fault["worker"] == worker)


def _asked_by(row: Row) -> set[Any]:
    return {row["owner_id"], row["acts_for_id"]}


def _was_loaded(h: History, row: Row) -> bool:
    """Tell whether a call's rule stood in a policy that was loaded before the call was made."""
    return any(
        {**rule, "position": 0} == {**row["rule"], "position": 0}
        for event in h.events.get("policy", [])
        if event["at"] <= row["created_at"]
        for rule in facts_of(event).get("rules", [])
    )


def _by(rows: Any, key: str) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row[key]].append(row)
    return dict(found)


def _lines(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            if line.endswith("\n"):  # a writer that was killed may leave half a line
                yield json.loads(line)


def main(argv: list[str]) -> int:
    """Print the verdict; return the exit code."""
    verdict = judge(load(Path(argv[0])))
    if "--json" in argv[1:]:
        print(json.dumps(verdict))
    else:
        for name, count in verdict["rules"].items():
            print(f"{'FAIL' if count else 'ok':<5}{name}: {count}")
        for violation in verdict["violations"]:
            print(f"seed {verdict['seed']}: {violation}")
        print(f"{len(verdict['violations'])} violations.")
    return 1 if verdict["violations"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
