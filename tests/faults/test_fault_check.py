"""What the checker promises: a good history breaks no rule, and each rule sees its breach."""

import ast
import base64
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.faults import fault_check as check
from tests.faults.fault_check import History
from tests.faults.histories import (
    ANN,
    BO,
    PAID,
    REJECTED,
    STAMPED,
    UNCLEAR,
    event,
    good,
    keep,
    moment,
    seal,
    since_1970,
)

Breach = Callable[[History], object]
CHECKER = Path(check.__file__)


def test_good_history_breaks_no_rule():
    verdict = check.judge(good())

    assert verdict["violations"] == []
    assert verdict["counts"]["effects"] == 3


def test_every_rule_has_a_breach_here():
    assert {rule.__name__ for rule in check.RULES} == {rule for rule, _, _ in BREACHES}


def again(h: History, what: str) -> None:
    h.ledger.append(next(one for one in h.ledger if one["what"] == what and one["call"] == PAID))


def of_paid(h: History, what: str) -> dict[str, Any]:
    return next(one for one in h.ledger if one["what"] == what and one["call"] == PAID)


def told(h: History, what: str, **facts: object) -> None:
    h.journals.append({"who": "a", "what": what, "at": since_1970(11), **facts})


def rewrite(h: History, call: str, seq: int, **facts: object) -> None:
    """Let an event say something else, and chain all anew."""
    one = h.of_call(call)[seq - 1]
    data = check.facts_of(one) | facts
    one["data"] = base64.b64encode(json.dumps(data).encode()).decode()
    seal(h)


def cut(h: History, call: str, seq: int) -> None:
    """Take an event out, number what follows anew, and chain all anew."""
    events = h.of_call(call)
    del events[seq - 1]
    for number, one in enumerate(events, 1):
        one["seq"] = number
        data = check.facts_of(one) | {"version": number}
        one["data"] = base64.b64encode(json.dumps(data).encode()).decode()
    h.calls[call]["version"] = len(events)
    seal(h)


def turns(h: History, call: str, status: str) -> None:
    """Let a call end otherwise, in its row and its trail."""
    h.calls[call]["status"] = status
    h.of_call(call)[-1]["code"] = f"call.{status}"
    seal(h)


def without(rows: list[dict[str, Any]], **wanted: object) -> None:
    rows[:] = [row for row in rows if any(row.get(k) != v for k, v in wanted.items())]


BREACHES: list[tuple[str, str, Breach]] = [
    ("no_second_effect", "2 effects", lambda h: again(h, "effect")),
    ("no_second_effect", "sent 2 times", lambda h: again(h, "received")),
    ("effect_needs_its_dispatch", "no such call", lambda h: h.calls.pop(PAID)),
    ("effect_needs_its_dispatch", "0 dispatches", lambda h: without(h.dispatches, call_id=PAID)),
    ("effect_needs_its_dispatch", "before its dispatch",
     lambda h: of_paid(h, "received").update(at=since_1970(5.9))),
    ("effect_needs_its_dispatch", "other bytes",
     lambda h: of_paid(h, "received").update(arguments='{"number":666}')),
    ("effect_needs_its_dispatch", "other bytes",
     lambda h: of_paid(h, "received").update(digest="0" * 64)),
    ("effect_needs_its_dispatch", "not that of its arguments",
     lambda h: h.calls[PAID].update(arguments=base64.b64encode(b"{}").decode())),
    ("dispatch_needs_its_approval", "1 of 2",
     lambda h: without(h.decisions, call_id=PAID, approver_id=BO)),
    ("dispatch_needs_its_approval", "1 of 2", lambda h: h.decisions[0].update(at=moment(7))),
    ("dispatch_needs_its_approval", "1 of 2", lambda h: h.decisions[0].update(binding="other")),
    ("dispatch_needs_its_approval", "1 of 2", lambda h: h.decisions[0].update(approver_id=2)),
    ("dispatch_needs_its_approval", "1 of 2", lambda h: h.decisions[0].update(approver_id=ANN)),
    ("dispatch_needs_its_approval", "1 of 2", lambda h: h.decisions[0].update(verdict="reject")),
    ("dispatch_needs_its_approval", "no rule",
     lambda h: h.calls[STAMPED].update(rule={"name": "x", "outcome": "hold"})),
    ("dispatch_needs_its_approval", "no rule", lambda h: h.events.pop("policy")),
    ("dispatch_needs_its_approval", "no rule",
     lambda h: h.events["policy"][0].update(at=moment(1.5))),
    ("dispatch_needs_its_approval", "another binding",
     lambda h: h.dispatches[0].update(binding="other")),
    ("dispatch_needs_its_approval", "another definition",
     lambda h: h.dispatches[0].update(definition_digest="other")),
    ("dispatch_needs_its_approval", "no such call", lambda h: h.calls.pop(PAID)),
    ("binding_covers_what_was_asked", "not the digest",
     lambda h: rewrite(h, PAID, 1, upstream="elsewhere")),
    ("binding_covers_what_was_asked", "not the digest",
     lambda h: h.calls[PAID].update(binding="other")),
    ("binding_covers_what_was_asked", "other arguments",
     lambda h: h.calls[PAID].update(arguments_digest="other")),
    ("fence_is_that_of_the_live_claim", "claim 1 has fence 2",
     lambda h: rewrite(h, PAID, 5, fence=2)),
    ("fence_is_that_of_the_live_claim", "without the live claim",
     lambda h: rewrite(h, PAID, 6, fence=0)),
    ("fence_is_that_of_the_live_claim", "without the live claim",
     lambda h: h.of_call(PAID)[5].update(actor="worker:other")),
    ("fence_is_that_of_the_live_claim", "without the live claim", lambda h: cut(h, PAID, 5)),
    ("fence_is_that_of_the_live_claim", "without the claim that sent",
     lambda h: rewrite(h, PAID, 7, fence=2)),
    ("fence_is_that_of_the_live_claim", "not the one of its trail",
     lambda h: h.dispatches[0].update(fence=2)),
    ("end_fits_the_effect", "succeeded without",
     lambda h: without(h.ledger, call=PAID, what="effect")),
    ("end_fits_the_effect", "failed with an effect", lambda h: turns(h, PAID, "failed")),
    ("end_fits_the_effect", "rejected with an effect",
     lambda h: h.ledger.append(of_paid(h, "effect") | {"call": REJECTED})),
    ("unknown_has_its_reason", "without a reason", lambda h: h.faults.clear()),
    ("unknown_has_its_reason", "without a reason",
     lambda h: h.faults[0].update(worker="vm-8")),
    ("unknown_has_its_reason", "without a reason",
     lambda h: h.faults[0].update(begun=since_1970(9.5), until=since_1970(9.6))),
    ("unknown_has_its_reason", "without a reason",
     lambda h: h.faults[0].update(begun=since_1970(1), until=since_1970(2))),
    ("nothing_is_left_without_a_timer", "no timer runs", lambda h: turns(h, PAID, "approved")),
    ("nothing_is_left_without_a_timer", "no timer runs", lambda h: turns(h, PAID, "dispatched")),
    ("nothing_is_left_without_a_timer", "parked",
     lambda h: h.calls[PAID].update(needs_attention="it cannot be moved")),
    ("run_came_to_an_end", "in vain", lambda h: h.run.update(stalled=True)),
    ("run_came_to_an_end", "on their way", lambda h: h.run.update(quiet=False)),
    ("run_came_to_an_end", "4 of 5", lambda h: h.run.update(calls=5)),
    ("events_are_the_versions", "version 8", lambda h: h.calls[PAID].update(version=8)),
    ("events_are_the_versions", "but 7 succeeded", lambda h: h.calls[PAID].update(status="void")),
    ("events_are_the_versions", "stands where", lambda h: rewrite(h, PAID, 3, version=4)),
    ("events_are_the_versions", "no arrow", lambda h: cut(h, PAID, 5)),
    ("events_are_the_versions", "events of no call", lambda h: h.calls.pop(PAID)),
    ("events_are_the_versions", "a decision on a call that was rejected",
     lambda h: h.of_call(REJECTED).append(
         event(f"call:{REJECTED}", 4, "call.approve_signed", "person:cy", 4, version=4))),
    ("chain_is_whole", "not as it was written",
     lambda h: h.of_call(PAID)[2].update(actor="person:eve")),
    ("chain_is_whole", "not as it was written", lambda h: h.of_call(PAID).pop(2)),
    ("chain_is_whole", "another event", lambda h: h.of_call(PAID).pop()),
    ("chain_is_whole", "are gone", lambda h: h.events.pop(f"call:{PAID}")),
    ("decisions_are_in_the_trail", "is not in the trail", lambda h: cut(h, PAID, 2)),
    ("decisions_are_in_the_trail", "is not in the trail",
     lambda h: without(h.decisions, call_id=PAID, approver_id=BO)),
    ("decisions_are_in_the_trail", "decided 2 times",
     lambda h: h.decisions.append(h.decisions[0])),
    ("acts_are_in_the_trail", "somebody withdrew it", lambda h: told(h, "withdrew", call=PAID)),
    ("acts_are_in_the_trail", "somebody settled it",
     lambda h: told(h, "settled", call=UNCLEAR, outcome="ran")),
    ("acts_are_in_the_trail", "rules of", lambda h: told(h, "rules", source="rules-2.json")),
    ("acts_are_in_the_trail", "review of", lambda h: told(h, "reviewed", tool=1, digest="d")),
    ("answers_are_in_the_trail", "read-2", lambda h: told(h, "read", read="read-2")),
    ("answers_are_in_the_trail", "holds its ticket",
     lambda h: told(h, "told", call="gone", state="pending")),
    ("answers_are_in_the_trail", "it never was",
     lambda h: told(h, "told", call=REJECTED, state="succeeded")),
    ("agents_learn_the_end", "was last told pending",
     lambda h: told(h, "told", call=PAID, state="pending")),
    ("agents_learn_the_end", "it is lost",
     lambda h: told(h, "told", call="gone", state="pending")),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "words", "breach"), BREACHES)
def test_breach_is_found_by_its_rule(rule, words, breach):
    history = good()

    breach(history)

    (found,) = (one for one in check.RULES if one.__name__ == rule)
    assert any(words in line for line in found(history))


@pytest.mark.parametrize(
    ("fault", "is_explained"), [("lost", True), ("drop", True), ("error", False), ("", False)]
)
def test_unknown_call_is_explained_by_what_the_ledger_did_to_it(fault, is_explained):
    history = good()
    history.faults.clear()
    for line in history.ledger:
        line["fault"] = fault

    assert (list(check.unknown_has_its_reason(history)) == []) == is_explained


def test_it_imports_nothing_but_the_standard_library():
    tree = ast.parse(CHECKER.read_text())
    named = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import)
             for alias in node.names}  # fmt: skip
    named |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}

    assert named
    assert {name.partition(".")[0] for name in named} <= sys.stdlib_module_names


@pytest.mark.parametrize("is_broken", [False, True])
def test_it_judges_a_folder_where_nothing_of_the_project_can_be_imported(tmp_path, is_broken):
    history = good()
    if is_broken:
        again(history, "effect")
    keep(history, tmp_path)

    done = subprocess.run(
        [sys.executable, "-I", "-S", str(CHECKER), str(tmp_path)],
        cwd=tmp_path, env={}, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.stderr == ""
    assert done.returncode == is_broken
    assert done.stdout.splitlines()[-1] == f"{int(is_broken)} violations."
    assert (f"seed 9: no_second_effect: {PAID}: 2 effects" in done.stdout) == is_broken
