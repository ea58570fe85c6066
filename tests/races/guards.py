"""What keeps the promises of `promises.py`, and how each is taken out: a literal table.

A guard is what stands in the code, word for word, and what is put in its place; `removing.py` does
so in a copy. Guards overlap: where one hides another, both are taken out, and `hides` says so.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Edit:
    """Words that stand once in a file of the project, and what they become."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Guard:
    """What keeps a promise, and how it is taken out."""

    says: str
    edits: tuple[Edit, ...]
    hides: str = ""  # what else had to go, behind which it would hide


_LIFECYCLE = "approvals/lifecycle/"
_RELEASING = "mcp_bridge/upstreams/releasing.py"
_SUBMISSION = "approvals/submission.py"
_FIRST_TABLES = "approvals/migrations/0001_initial.py"

# SQLite has one lock for all who write, which a transaction takes when it begins.
_NO_WRITE_LOCK = Edit(
    "config/settings.py", '"transaction_mode": "IMMEDIATE"', '"transaction_mode": "DEFERRED"'
)
_NO_ROW_LOCK = Edit(
    _LIFECYCLE + "moving.py",
    "ToolCall.objects.select_for_update(no_key=True).filter(pk=call_id)",
    "ToolCall.objects.filter(pk=call_id)",
)
_NO_PERSON_LOCK = Edit(
    _LIFECYCLE + "deciding.py",
    "Person.objects.select_for_update(no_key=True).filter(pk=person.pk)",
    "Person.objects.filter(pk=person.pk)",
)
_NO_MEMBERSHIP_LOCK = Edit(
    _LIFECYCLE + "deciding.py", '.select_for_update(no_key=True, of=("self",))', ".all()"
)
_ADMINISTRATION = "approvals/administration/"
_NO_PROPOSAL_LOCK = Edit(
    _ADMINISTRATION + "proposals.py",
    'Proposal.objects.select_for_update(no_key=True, of=("self",))',
    "Proposal.objects.all()",
)
_NO_DRAFT_LOCK = Edit(
    _ADMINISTRATION + "drafts.py",
    'PolicyDraft.objects.select_for_update(no_key=True, of=("self",))',
    "PolicyDraft.objects.all()",
)
_NO_ADMINISTRATOR_LOCK = Edit(
    _ADMINISTRATION + "writing.py",
    "Person.objects.select_for_update(no_key=True).filter(pk=person.pk)",
    "Person.objects.filter(pk=person.pk)",
)
_NO_LOOK_AGAIN = Edit(
    _ADMINISTRATION + "policy.py", "if Revision.current() != seen + 1:", "if seen < 0:"
)
_NO_BASE = Edit(
    _ADMINISTRATION + "versions.py", "    refuse_overtaken(wanted.based_on, number)\n", ""
)
_BOTH_LOOKS = "bindings.difference(call, seen) or _forbidden_today(call)"

GUARDS: dict[str, Guard] = {
    "call-lock": Guard(
        "Whoever moves a call locks its row first and looks then; on SQLite all who write.",
        (_NO_ROW_LOCK, _NO_WRITE_LOCK),
    ),
    "call-and-voter-lock": Guard(
        "Votes of one person queue up behind each other.",
        (_NO_ROW_LOCK, _NO_PERSON_LOCK, _NO_MEMBERSHIP_LOCK, _NO_WRITE_LOCK),
        hides="behind the lock of the call, that of the voter",
    ),
    "call-lock-before-counting": Guard(
        "Votes are counted while nobody else can vote.",
        (
            _NO_ROW_LOCK,
            _NO_WRITE_LOCK,
            Edit(
                _LIFECYCLE + "deciding.py",
                "    call = _count_decision(call, decision)\n    return _ended(call, decision) or",
                "    approvals = call.decisions.filter(\n"
                '        verdict="approve", binding=call.binding).count()\n'
                "    call = _count_decision(call, decision)\n"
                "    return _ended(call, decision, approvals) or",
            ),
            Edit(
                _LIFECYCLE + "deciding.py",
                "def _ended(call: ToolCall, decision: Decision) -> ToolCall | None:",
                "def _ended(call, decision, approvals):",
            ),
            Edit(
                _LIFECYCLE + "deciding.py",
                'if call.decisions.filter(verdict="approve", binding=call.binding).count() >=',
                "if approvals >=",
            ),
        ),
        hides="behind the lock of the call, the UPDATE of its version before votes are counted",
    ),
    "whose-turn": Guard(
        "Nobody approves before the turn of their group.",
        (
            Edit(
                "approvals/access.py",
                'if verdict == "approve" and groups.isdisjoint((call.asked_group, ',
                'if verdict == "" and groups.isdisjoint((call.asked_group, ',
            ),
        ),
    ),
    "stage-lock": Guard(
        "Votes in a stage queue up behind each other, so that it takes no more than it asks for.",
        (_NO_ROW_LOCK, _NO_WRITE_LOCK),
    ),
    "look-under-the-lock": Guard(
        "What a person may do is looked at when the call is locked, and not before.",
        (
            Edit(
                _LIFECYCLE + "deciding.py",
                "    call = locked(call_id)\n"
                "    permission = access.may_decide(_as_of_now(decider, call), call, verdict)\n",
                "    call = ToolCall.objects.get(pk=call_id)\n"
                "    permission = access.may_decide(decider, call, verdict)\n"
                "    call = locked(call_id)\n",
            ),
            _NO_WRITE_LOCK,
        ),
    ),
    "voter-lock": Guard(
        "A vote keeps the person's role until it is committed.",
        (_NO_PERSON_LOCK, _NO_MEMBERSHIP_LOCK),
    ),
    "one-decision": Guard(
        "A unique index: one decision per person and binding.",
        (
            Edit(
                _FIRST_TABLES,
                "models.UniqueConstraint(fields=('call', 'approver', 'binding'),"
                " name='one_decision_per_person'), ",
                "",
            ),
            Edit("approvals/guards/sqlite/decision.sql", "id = NEW.id OR (", "id = NEW.id AND ("),
        ),
        hides="before the index, on SQLite, the trigger that keeps REPLACE out",
    ),
    "one-dispatch": Guard(
        "A unique index: one dispatch per call.",
        (
            Edit(
                _FIRST_TABLES,
                "('call', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT,"
                " related_name='dispatch'",
                "('call', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT,"
                " related_name='dispatch'",
            ),
            Edit(
                _FIRST_TABLES,
                "models.UniqueConstraint(fields=('call', 'fence'), name='one_dispatch_per_fence')",
                "",
            ),
            Edit(
                "approvals/guards/sqlite/dispatch.sql",
                "id = NEW.id OR call_id = NEW.call_id",
                "id = NEW.id",
            ),
        ),
        hides="behind it the index on call and fence; before it, on SQLite, the trigger",
    ),
    "agent-lock": Guard(
        "Submits of one agent queue up behind each other.",
        (
            Edit(
                _SUBMISSION,
                "Agent.objects.select_for_update(no_key=True).get(",
                "Agent.objects.get(",
            ),
            _NO_WRITE_LOCK,
        ),
    ),
    "domain-lock": Guard(
        "Submits in one domain are counted one after the other.",
        (
            Edit(
                _SUBMISSION,
                "Domain.objects.select_for_update(no_key=True).get(",
                "Domain.objects.get(",
            ),
            _NO_WRITE_LOCK,
        ),
    ),
    "budget-lock": Guard(
        "What is left of a budget is looked at by one submit at a time.",
        (
            Edit(
                "approvals/budgets.py",
                "BudgetLock.objects.select_for_update(no_key=True).get(",
                "BudgetLock.objects.get(",
            ),
            _NO_WRITE_LOCK,
        ),
    ),
    "deadline-under-the-lock": Guard(
        "A claim and a dispatch look at the time to run.",
        (
            Edit(
                _LIFECYCLE + "releasing.py",
                "    if now >= call.run_by_at:\n        raise CallExpired(call_id=call.pk)\n",
                "",
            ),
            Edit(
                _LIFECYCLE + "releasing.py",
                "    if now >= call.run_by_at:\n        return expire_now(call)\n",
                "",
            ),
        ),
        hides="behind the look of the claim, that of the dispatch",
    ),
    "hints-after-the-commit": Guard(
        "Nobody is told of a move before it is committed.",
        (
            Edit(
                "approvals/events.py",
                "transaction.on_commit(publish, robust=True)",
                "publish()",
            ),
        ),
    ),
    "sweep-wakes": Guard(
        "The sweep wakes approved calls whose message was lost.",
        (Edit("approvals/tasks.py", "    _wake(now)\n    if ", "    if "),),
    ),
    "sweep-loses": Guard(
        "The sweep says unknown of a call that was sent and has no answer in time.",
        (
            Edit(
                "approvals/tasks.py",
                "    yield _ids(calls.filter(status=S.DISPATCHED, lease_until__lte=now)), _lose\n",
                "",
            ),
        ),
    ),
    "nothing-leaves-after-the-lease": Guard(
        "Who was held up past the lease of a dispatch sends nothing.",
        (Edit(_RELEASING, "time.monotonic() + _lease_seconds()", 'float("inf")'),),
    ),
    "boot-time-clock": Guard(
        "How long is waited here is measured by a clock that nobody sets.",
        (
            Edit(
                _RELEASING,
                "time.monotonic() + _lease_seconds()",
                "time.time() + _lease_seconds()",
            ),
            Edit(
                "mcp_bridge/upstreams/exchange.py",
                "time.monotonic() >= self.leaves_before",
                "time.time() >= self.leaves_before",
            ),
        ),
    ),
    "database-clock": Guard(
        "Deadlines are measured by the database's clock.",
        (
            Edit(
                "approvals/models/clock.py",
                'if connection.vendor != "postgresql":',
                "if connection.vendor:",
            ),
        ),
    ),
    "late-answers": Guard(
        "The answer of a call that became unknown is still listened for.",
        (Edit(_RELEASING, "            self._listen_late(claim, sending)", "            pass"),),
    ),
    "unclear-commit": Guard(
        "After a commit that was not confirmed nothing is sent.",
        (
            Edit(
                _RELEASING,
                "                await _after_unclear_commit(claim, error)\n"
                "                return\n",
                "                await _after_unclear_commit(claim, error)\n",
            ),
        ),
    ),
    "outcome-again": Guard(
        "An outcome that could not be written is written again.",
        (
            Edit(
                _RELEASING,
                "            if pause is None:\n                log.exception(",
                "            if True:\n                log.exception(",
            ),
        ),
    ),
    "hold-beyond-the-request": Guard(
        "A call that is being made is made, whoever went away.",
        (Edit("mcp_bridge/agents/holding.py", "asyncio.shield(submitting)", "submitting"),),
    ),
    "note-who-left": Guard(
        "That nobody waits for a call any more is noted.",
        (
            Edit(
                "mcp_bridge/agents/holding.py",
                "        in_background(observations.agent_left, call_id)\n        raise\n",
                "        raise\n",
            ),
        ),
    ),
    "binding-again": Guard(
        "The dispatch computes the binding again.",
        (Edit(_LIFECYCLE + "releasing.py", _BOTH_LOOKS, "_forbidden_today(call)"),),
    ),
    "today-again": Guard(
        "The dispatch asks whether today's policy and catalogue let it run.",
        (Edit(_LIFECYCLE + "releasing.py", _BOTH_LOOKS, "bindings.difference(call, seen)"),),
    ),
    "form-of-this-version": Guard(
        "A form decides on what it showed: nobody has signed since.",
        (
            Edit(
                "approvals/web/stamps.py",
                'not is_same(call, stamped["version"])',
                'stamped["version"] > call.version',
            ),
        ),
    ),
    "move-with-its-event": Guard(
        "A move and its event are one transaction.",
        (
            Edit(
                _LIFECYCLE + "moving.py",
                '    audit.record(f"call:{call.pk}", entry)\n',
                "    from contextlib import suppress\n"
                "    from django.db import transaction\n"
                "    with suppress(Exception), transaction.atomic():\n"
                '        audit.record(f"call:{call.pk}", entry)\n',
            ),
        ),
    ),
    "proposal-lock": Guard(
        "Whoever signs, withdraws, expires or applies a proposal locks its row first.",
        (_NO_PROPOSAL_LOCK, _NO_WRITE_LOCK),
    ),
    "still-the-version": Guard(
        "A proposal replaces the version it was written for, and no other.",
        (
            Edit(
                _ADMINISTRATION + "proposals.py",
                "    versions.refuse_overtaken(proposal.based_on, versions.newest_number())\n",
                "",
            ),
            _NO_BASE,
        ),
        hides="behind it the same look, where a version is written",
    ),
    "look-again-under-the-lock": Guard(
        "What was looked at before the lock, and changed since, is looked at again.",
        (_NO_LOOK_AGAIN, _NO_BASE),
        hides="behind it the look at the version in force, where one is written",
    ),
    "administrator-lock": Guard(
        "A signature keeps its administrator's role until it is committed, or sees it gone.",
        (_NO_ADMINISTRATOR_LOCK, _NO_WRITE_LOCK),
    ),
    "draft-lock": Guard(
        "Who saves a draft locks it first, and looks at its revision then.",
        (_NO_DRAFT_LOCK, _NO_ADMINISTRATOR_LOCK, _NO_WRITE_LOCK),
        hides="behind the lock of the draft, that of its author",
    ),
    "draft-once": Guard(
        "A draft is gone in the transaction that publishes it.",
        (
            Edit(
                _ADMINISTRATION + "drafts.py",
                "first=lambda: _locked(person, revision).delete()",
                "first=lambda: None",
            ),
            _NO_LOOK_AGAIN,
            _NO_BASE,
        ),
        hides="behind it, that each was written for a version which is in force no more",
    ),
}
