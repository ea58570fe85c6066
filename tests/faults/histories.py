"""A small history without a fault in it, for tests of the checker to break in one place each."""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any
from uuid import UUID

from tests.faults.fault_check import BOUND, History, digest_of

PAID, STAMPED, REJECTED, UNCLEAR = (str(UUID(int=number)) for number in range(1, 5))
RULE = {"name": "stamps pass", "outcome": "allow", "tool": "*__stamp", "position": 1}
BO, CY, ANN = 1, 2, 3
WORKER = "vm-7"


def moment(second: float) -> str:
    """Return a time of the story."""
    return f"2026-11-21T12:00:{second:09.6f}+00:00"


def since_1970(second: float) -> float:
    """Return the same as a client's clock says it."""
    from tests.faults.fault_check import seconds

    return seconds(moment(second))


def event(stream: str, seq: int, code: str, actor: str, at: float, **facts: Any) -> dict[str, Any]:
    """Return an event as it is kept, without its digests."""
    data = base64.b64encode(json.dumps(facts, sort_keys=True, separators=(",", ":")).encode())
    return {
        "stream": stream, "seq": seq, "code": code, "actor": actor, "at": moment(at),
        "data": data.decode(),
    }  # fmt: skip


def seal(history: History) -> History:
    """Chain every stream anew, as whoever wrote it would have."""
    history.heads = {}
    for stream, events in history.events.items():
        before = ""
        for one in events:
            parts = {key: one[key] for key in ("stream", "seq", "code", "actor", "at")}
            data = hashlib.sha256(base64.b64decode(one["data"])).hexdigest()
            one["previous"] = before
            before = one["digest"] = digest_of(parts | {"data": data, "previous": before})
        history.heads[stream] = {"name": stream, "seq": len(events), "digest": before}
    return history


def good() -> History:
    """Return a paid, a stamped, a rejected and an unclear call, told and written down rightly."""
    history = History(
        people={BO: "bo", CY: "cy", ANN: "ann"},
        upstreams={1: {"id": 1, "name": "ledger", "transport": "http"}},
        run={
            "seed": 9, "calls": 4, "stalled": False, "quiet": True, "dumped": since_1970(50),
        },
        faults=[
            {"kind": "kill", "role": "worker", "worker": WORKER, "begun": since_1970(8.0),
             "until": since_1970(8.1)}
        ],
    )  # fmt: skip
    history.events["policy"] = [
        event("policy", 1, "policy.loaded", "command", 0, source="rules-1.json", rules=[RULE])
    ]
    history.events["reads:r"] = [event("reads:r", 1, "read.passed", "agent:a", 1, read_id="read-1")]
    _held(history, PAID, ["approve", "approve"], ["claimed", "dispatched", "succeeded"])
    _held(history, STAMPED, [], ["claimed", "dispatched", "succeeded"])
    _held(history, REJECTED, ["reject"], [])
    _held(history, UNCLEAR, ["approve", "approve"], ["claimed", "dispatched", "unknown"])
    history.journals += [
        {"who": "a", "what": "read", "read": "read-1", "at": since_1970(2)},
        {"who": "operator", "what": "rules", "source": "rules-1.json", "at": since_1970(1)},
    ]
    return seal(history)


def _held(history: History, call: str, verdicts: list[str], moves: list[str]) -> None:
    """Add one call: decided on at seconds 2 and 3, then moved at 5, 6 and 9."""
    stream, is_stamp = f"call:{call}", not verdicts
    stored = json.dumps({"number": UUID(call).int}, separators=(",", ":")).encode()
    digest = hashlib.sha256(stored).hexdigest()
    bound = {"call_id": call} | dict.fromkeys(BOUND, "x")
    bound |= {"arguments_digest": digest, "definition_digest": "d"}
    binding = digest_of(bound)
    facts: dict[str, Any] = {k: v for k, v in bound.items() if k != "call_id"}
    facts["binding"] = binding
    beginning = "call.admitted" if is_stamp else "call.held"
    events = [event(stream, 1, beginning, "agent:a", 1, version=1, **facts)]
    status = "approved" if is_stamp else "pending"

    def add(code: str, actor: str, at: float, **own: Any) -> None:
        number = len(events) + 1
        events.append(event(stream, number, code, actor, at, version=number, **own))

    for number, verdict in enumerate(verdicts):
        person = (BO, CY)[number]
        add(f"call.{verdict}_signed", f"person:{history.people[person]}", 2 + number,
            binding=binding)  # fmt: skip
        _signed(history, call, person, verdict, binding)
    if verdicts:
        status = "rejected" if "reject" in verdicts else "approved"
        add(f"call.{status}", "person:cy", 3)
    for at, status in zip((5, 6, 9), moves, strict=False):
        actor = "clock" if status == "unknown" else f"worker:{WORKER}"
        own = {"result_digest": "r"} if status == "succeeded" else {}
        add(f"call.{status}", actor, at, fence=1, **own)
    history.events[stream] = events
    if "dispatched" in moves:
        _sent(history, call, binding, stored)
    history.calls[call] = {
        "id": call, "owner_id": ANN, "acts_for_id": ANN, "upstream_id": 1,
        "arguments": base64.b64encode(stored).decode(), "arguments_digest": digest,
        "rule": RULE, "quorum": 0 if is_stamp else 2 if "approve" in verdicts else 1,
        "four_eyes": True, "binding": binding, "definition_digest": "d",
        "decide_by_at": moment(40), "run_by_at": moment(40), "lease_until": None,
        "created_at": moment(1), "status": status, "version": len(events), "needs_attention": "",
    }  # fmt: skip
    history.journals += [
        {"who": "a", "what": "asking", "number": UUID(call).int, "at": since_1970(0.5)},
        {"who": "a", "what": "told", "call": call, "state": status, "at": since_1970(10)},
    ]


def _signed(history: History, call: str, person: int, verdict: str, binding: str) -> None:
    """Let Bo decide at second 2, or Cy at second 3, and be told half a second later."""
    at, name = 1 + person, history.people[person]
    facts = {"verdict": verdict, "binding": binding}
    history.decisions.append({"call_id": call, "approver_id": person, "at": moment(at), **facts})
    told = {"who": f"person-{name}", "what": "decided", "call": call, "at": since_1970(at + 0.5)}
    history.journals.append(told | facts)


def _sent(history: History, call: str, binding: str, stored: bytes) -> None:
    """Dispatch a call at second 6, and let the ledger write down what arrived and happened."""
    history.dispatches.append(
        {"call_id": call, "fence": 1, "worker": WORKER, "binding": binding,
         "definition_digest": "d", "at": moment(6)}
    )  # fmt: skip
    line = {
        "call": call, "arguments": stored.decode(), "fault": "", "bytes": 99,
        "digest": hashlib.sha256(stored).hexdigest(),
    }  # fmt: skip
    history.ledger.append({"what": "received", "at": since_1970(6.1), **line})
    history.ledger.append({"what": "effect", "at": since_1970(6.2), **line})


def keep(history: History, folder: Path) -> None:
    """Write a history as a run keeps it."""
    tables = {
        "toolcall": history.calls.values(), "decision": history.decisions,
        "dispatch": history.dispatches, "auditstream": history.heads.values(),
        "upstream": history.upstreams.values(),
        "person": [{"id": key, "username": name} for key, name in history.people.items()],
        "audit": [one for events in history.events.values() for one in events],
    }  # fmt: skip
    files = {f"database/{name}.jsonl": list(rows) for name, rows in tables.items()}
    files |= {"ledger/1.jsonl": history.ledger, "faults.jsonl": history.faults}
    for line in history.journals:
        name = line["who"] if "-" in line["who"] else f"agent-{line['who']}"
        files.setdefault(f"journals/{name}.jsonl", []).append(line)
    for path, rows in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "run.json").write_text(json.dumps(history.run))
