"""Freezes: what they hold and what not, at submission and dispatch; put on, ended, shown."""

import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from approvals import canonical, lifecycle, submission
from approvals.administration import catalog, freezes, groups
from approvals.administration import policy as policies
from approvals.errors import BindingBroken, Conflict, InvalidInput, NotAllowed, NotFound
from approvals.models import AuditEvent, BudgetUse, Freeze, Revision, ToolCall, database_now
from tests.support import groups as staffing
from tests.support import world as worlds
from tests.support.groups import Staff
from tests.support.visiting import text_of, visitor
from tests.support.world import ACTOR, REFUND, World

S = ToolCall.Status
HOUR = timedelta(hours=1)
ALLOW: dict[str, object] = {"name": "all", "outcome": "allow", "tool": "billing__*"}
Put = Callable[..., Freeze]


def load(*rules: dict[str, object]) -> None:
    policies.load_rules({"rules": list(rules)}, source="tests", actor=ACTOR)


@pytest.fixture
def ask(world: World) -> Callable[..., ToolCall]:
    """Return what asks for a refund, or for something else: `ask(tool=…)`."""
    number = iter(range(10_000))

    def send(tool: Any = None) -> ToolCall:
        arguments = REFUND | {"amount": 1 + next(number)}
        tool = tool or world.refund
        return submission.submit(submission.Request(world.agent.pk, None, tool.pk, arguments)).call

    return send


@pytest.fixture
def put(world: World) -> Put:
    """Return what freezes billing: from an hour ago to in an hour, where nothing else is said."""

    def add(begins: timedelta = -HOUR, ends: timedelta = HOUR, **more: Any) -> Freeze:
        now = database_now()
        planned = freezes.Planned(now + begins, now + ends, **({"reason": "Quarter end"} | more))
        return freezes.add(world.billing, planned, actor=ACTOR)

    return add


# -- what it holds -------------------------------------------------------------------------------


def test_while_a_freeze_is_on_what_a_rule_allows_is_held_and_says_why(ask: Any, put: Put) -> None:
    load(ALLOW)
    freeze = put()

    held = ask()

    assert (held.status, held.quorum, held.rule["name"]) == (S.PENDING, 1, "all")
    assert held.held_because == (
        f"A freeze is on in billing until {freeze.ends_at:%Y-%m-%d %H:%M} UTC: “Quarter end”."
    )


@pytest.mark.parametrize(("begins", "ends"), [(HOUR, 2 * HOUR), (-2 * HOUR, timedelta(seconds=1))])
def test_before_and_after_it_rules_decide_as_ever(
    ask: Any, put: Put, begins: timedelta, ends: timedelta
) -> None:
    load(ALLOW)
    freeze = put(begins, ends)
    if ends < HOUR:
        Freeze.objects.filter(pk=freeze.pk).update(ends_at=database_now())

    assert ask().status == S.APPROVED


@pytest.mark.parametrize(("moment", "status"), [("begins_at", S.PENDING), ("ends_at", S.APPROVED)])
def test_the_first_moment_belongs_to_it_and_the_last_does_not(
    ask: Any, put: Put, monkeypatch: Any, moment: str, status: S
) -> None:
    load(ALLOW)
    monkeypatch.setattr("approvals.freezes.database_now", partial(getattr, put(), moment))

    assert ask().status == status


def test_a_freeze_of_another_domain_holds_nothing_here(world: World, ask: Any) -> None:
    load(ALLOW)
    other = catalog.create_domain("deploys", purpose="Runs.", owner=world.dee, actor=ACTOR)
    now = database_now()
    freezes.add(other, freezes.Planned(now - HOUR, now + HOUR, "Release"), actor=ACTOR)

    assert ask().status == S.APPROVED


@pytest.mark.parametrize(("reads", "status"), [(False, S.APPROVED), (True, S.PENDING)])
def test_reads_go_on_unless_the_freeze_says_otherwise(
    world: World, ask: Any, put: Put, reads: bool, status: S
) -> None:
    load(ALLOW)
    put(reads=reads)

    assert ask(world.customer).status == status


def test_what_a_freeze_holds_takes_nothing_of_a_budget(ask: Any, put: Put) -> None:
    load(ALLOW | {"budget": {"per": "agent", "window": "day", "limit": 1}})
    put()

    assert ask().status == S.PENDING
    assert not BudgetUse.objects.exists()


def test_a_rule_that_holds_for_two_still_asks_two(ask: Any, put: Put) -> None:
    load({"name": "two", "outcome": "hold", "quorum": 2})
    put()

    held = ask()

    assert (held.quorum, held.held_because) == (2, "")


# -- at dispatch ---------------------------------------------------------------------------------


def dispatch(call: ToolCall) -> ToolCall:
    claim = lifecycle.claim(call.pk, worker="test")
    return lifecycle.dispatch(claim, seen=worlds.seen(call))


def test_a_freeze_that_began_meanwhile_makes_an_admitted_call_void_and_says_why(
    ask: Any, put: Put
) -> None:
    load(ALLOW)
    call = ask()
    put(timedelta(0))

    with pytest.raises(BindingBroken, match="A freeze is on in billing"):
        dispatch(call)

    call.refresh_from_db()
    assert call.status == S.VOID
    assert "“Quarter end”" in call.status_reason


def test_what_people_approved_in_a_freeze_is_sent_in_it(world: World, ask: Any, put: Put) -> None:
    load(ALLOW)
    put()
    call = ask()
    lifecycle.decide(call.pk, decider=world.bo, verdict="approve", binding=call.binding)

    assert dispatch(call).status == S.DISPATCHED


def test_a_freeze_that_was_ended_holds_nothing_any_more(ask: Any, put: Put) -> None:
    load(ALLOW)
    freezes.end(put().pk, actor=ACTOR)

    assert ask().status == S.APPROVED


# -- the group that a freeze names ---------------------------------------------------------------


@pytest.fixture
def staff(world: World) -> Staff:
    """Return the people of the groups: Fay and Gus are Owners, Hal is in Heads."""
    return staffing.hire(world)


def test_what_a_freeze_of_a_group_holds_only_that_group_approves(
    world: World, staff: Staff, ask: Any, put: Put
) -> None:
    load(ALLOW)
    freeze = put(group="Owners")
    held = ask()

    assert (held.quorum, held.stage, held.asked_group) == (1, 1, "Owners")
    until = f"{freeze.ends_at:%Y-%m-%d %H:%M} UTC"
    assert held.held_because == (
        f"A freeze is on in billing until {until}, and Owners decides: “Quarter end”."
    )
    for person in (world.bo, staff.hal):
        with pytest.raises(NotAllowed, match="Only Owners can decide"):
            staffing.decide(held, person)
    assert staffing.decide(held, staff.gus).status == S.APPROVED
    assert dispatch(held).status == S.DISPATCHED


def test_a_freeze_of_a_group_that_began_meanwhile_asks_that_group_at_dispatch(
    world: World, staff: Staff, ask: Any, put: Put
) -> None:
    load(ALLOW)
    put()
    signed = ask()
    staffing.decide(signed, world.bo)
    Freeze.objects.update(ends_at=database_now())
    admitted = ask()
    put(timedelta(0), group="Owners")

    for call in (signed, admitted):
        with pytest.raises(BindingBroken, match="Owners decides"):
            dispatch(call)


@pytest.mark.parametrize("first_of_them", [True, False])
def test_of_several_freezes_every_group_that_is_named_is_asked(
    staff: Staff, ask: Any, put: Put, first_of_them: bool
) -> None:
    """The one that ends last tells until when; that it names nobody spares nobody."""
    load(ALLOW)
    put(ends=3 * HOUR, reason="Longest")
    put(group="Owners" if first_of_them else "Heads", reason="One")
    put(ends=2 * HOUR, group="Heads" if first_of_them else "Owners", reason="Other")
    put(ends=2 * HOUR, group="Owners", reason="Again")
    held = ask()

    assert {stage["group"]: stage["quorum"] for stage in held.rule["stages"]} == {
        "Owners": 1, "Heads": 1,
    }  # fmt: skip
    assert held.held_because.startswith("A freeze is on in billing until")
    assert held.held_because.index("“Longest”") < held.held_because.index("“One”")
    for person in (
        (staff.gus, staff.hal) if held.asked_group == "Owners" else (staff.hal, staff.gus)
    ):
        held = staffing.decide(held, person)
    assert held.status == S.APPROVED


def test_a_freeze_that_names_nobody_is_no_way_around_one_that_does(
    world: World, staff: Staff, ask: Any, put: Put
) -> None:
    load(ALLOW)
    named = put(group="Owners")
    put(ends=2 * HOUR)

    assert ask().asked_group == "Owners"
    freezes.end(named.pk, actor=ACTOR)
    assert ask().asked_group == ""


def test_going_beyond_a_budget_does_not_spare_the_group_of_a_freeze(
    staff: Staff, ask: Any, put: Put
) -> None:
    budget = {"per": "agent", "window": "day", "limit": 1}
    load(ALLOW | {"budget": budget}, {"outcome": "hold", "stages": [{"group": "Heads"}]})
    assert ask().status == S.APPROVED
    put(group="Owners")

    held = ask()

    assert [stage["group"] for stage in held.rule["stages"]] == ["Heads", "Owners"]
    why, _, also = held.held_because.partition(" A freeze is on in billing")
    assert "1 call" in why
    assert "Owners decides" in also


def test_an_argument_left_out_does_not_spare_the_group_of_a_freeze(
    world: World, staff: Staff, ask: Any, put: Put
) -> None:
    load(ALLOW | {"condition": 'args.memo != "x"'})
    put(group="Owners")

    held = ask()

    assert "could not be judged" in held.held_because
    assert held.asked_group == "Owners"


def test_what_a_rule_holds_is_held_in_a_freeze_as_ever(staff: Staff, ask: Any, put: Put) -> None:
    load({"name": "two", "outcome": "hold", "stages": [{"group": "Finance", "quorum": 2}]})
    put(group="Owners")

    held = ask()

    assert (held.asked_group, held.quorum, held.held_because) == ("Finance", 2, "")


def test_a_freeze_names_no_group_of_another_domain(world: World, put: Put) -> None:
    other = catalog.create_domain("deploys", purpose="Runs.", owner=world.dee, actor=ACTOR)
    groups.create_group(other, "Releasers", owner=None, actor=ACTOR)

    with pytest.raises(InvalidInput, match="no group 'Releasers' in this domain"):
        put(group="Releasers")


# -- the verbs -----------------------------------------------------------------------------------


def test_a_freeze_and_its_end_are_events_and_tell_caches(world: World, put: Put) -> None:
    before = Revision.current()
    freeze = put(group="approvers", reads=True)
    freezes.end(freeze.pk, actor="person:dee")

    events = AuditEvent.objects.filter(stream="domain:billing", code__startswith="freeze.")
    added, ended = [canonical.parse(bytes(one.data)) for one in events.order_by("seq")]
    assert isinstance(added, dict)
    assert isinstance(ended, dict)
    assert (added["reason"], added["group"], added["reads"]) == ("Quarter end", "approvers", True)
    assert ended["freeze"] == freeze.pk
    freeze.refresh_from_db()
    assert freeze.ended_by == "person:dee"
    assert Revision.current() == before + 2


def test_a_freeze_that_has_not_begun_can_be_taken_back(put: Put) -> None:
    freeze = freezes.end(put(HOUR, 2 * HOUR).pk, actor=ACTOR)

    assert freeze.ends_at == freeze.begins_at
    assert not freeze.is_on(freeze.begins_at)


def test_a_freeze_ends_once(put: Put) -> None:
    freeze = freezes.end(put().pk, actor=ACTOR)

    with pytest.raises(Conflict, match="over already"):
        freezes.end(freeze.pk, actor=ACTOR)
    with pytest.raises(NotFound):
        freezes.end(10**6, actor=ACTOR)


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({"begins": HOUR, "ends": HOUR}, "$.until"),
        ({"begins": 2 * HOUR, "ends": HOUR}, "$.until"),
        ({"begins": -2 * HOUR, "ends": -HOUR}, "$.until"),
        ({"ends": timedelta(days=367)}, "$.until"),
        ({"reason": ""}, "$.reason"), ({"reason": "  "}, "$.reason"),
        ({"reason": "x" * 141}, "$.reason"), ({"reason": "a\u202eb"}, "$.reason"),
        ({"reason": "a\0b"}, "$.reason"), ({"group": "nobody"}, "$.group"),
    ],
)  # fmt: skip
def test_a_freeze_that_means_nothing_is_refused(put: Put, given: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        put(**given)

    assert refused.value.path == path
    assert not Freeze.objects.exists()


# -- the command ---------------------------------------------------------------------------------


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command("freeze", *arguments, stdout=out)
    return out.getvalue()


def test_the_command_puts_lists_and_ends(world: World, settings: Any) -> None:
    settings.TIME_ZONE = "Europe/London"

    assert run("billing") == "No freeze is on or planned in billing.\n"
    said = run("billing", "--from", "2027-06-01T08:00", "--until", "2027-06-02T08:00+00:00",
               "--reason", "Year end", "--reads")  # fmt: skip
    freeze = Freeze.objects.get()
    told = "2027-06-01 07:00 UTC to 2027-06-02 08:00 UTC, everything: Year end\n"
    assert said == f"Freeze {freeze.pk} of billing: {told}"
    assert run("billing") == f"{freeze.pk} of billing: {told}"
    assert run("billing", "--end", str(freeze.pk)) == f"Ended freeze {freeze.pk} of billing.\n"
    assert run("billing") == "No freeze is on or planned in billing.\n"


def test_the_command_without_a_start_begins_now(world: World) -> None:
    until = datetime.now(UTC) + timedelta(days=1)

    run("billing", "--until", until.isoformat(), "--reason", "Now")

    assert Freeze.objects.get().is_on(database_now())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "There is no domain nowhere"),
        (["billing", "--end", "7"], "billing has no freeze 7"),
        (["billing", "--until", "soon", "--reason", "x"], "$.until: must be a time"),
        (["billing", "--from", "9999-12-31T23:59", "--until", "1", "--reason", "x"], "must be a"),
        (["billing", "--until", "2027-10-31T01:30", "--reason", "x"], "shown twice or never"),
        (["billing", "--until", "2027-03-28T01:30", "--reason", "x"], "shown twice or never"),
        (["billing", "--until", "2027-06-01T08:00"], "$.reason: is empty"),
    ],
)
def test_the_command_refuses_what_it_cannot_do(
    world: World, settings: Any, arguments: list[str], words: str
) -> None:
    settings.TIME_ZONE = "Europe/London"
    with pytest.raises(CommandError) as refused:
        run(*arguments)

    assert words in str(refused.value)
    assert not Freeze.objects.exists()


# -- the pages -----------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["/policies/", "/catalogue/"])
def test_pages_tell_of_a_freeze_that_is_on_or_planned(world: World, put: Put, address: str) -> None:
    put(reason="<b>Quarter end")
    put(HOUR, 2 * HOUR, reason="Move of the ledger", reads=True)

    response = visitor(world.bo).get(address)
    shown = text_of(response)

    assert b"<b>Quarter" not in response.content
    assert "Freeze is on in billing until" in shown
    assert "Quarter end · reads go on" in shown
    assert "Freeze is planned in billing from" in shown
    assert "Move of the ledger · reads are held too" in shown


def test_who_may_not_see_a_domain_is_not_told_of_its_freeze(world: World, put: Put) -> None:
    put()

    assert "Quarter end" not in text_of(visitor(world.eve).get("/policies/"))


def test_a_call_that_a_freeze_holds_says_so_on_its_page(world: World, ask: Any, put: Put) -> None:
    load(ALLOW)
    put()

    shown = text_of(visitor(world.bo).get(f"/calls/{ask().pk}/"))

    assert "Held because A freeze is on in billing until" in shown


def test_a_call_that_took_of_a_budget_says_so_on_its_page_and_when_it_gave_it_back(
    world: World, ask: Any
) -> None:
    load(ALLOW | {"budget": {"per": "tool", "window": "day", "limit": 9}})
    call = ask()

    before = text_of(visitor(world.bo).get(f"/calls/{call.pk}/"))
    lifecycle.cancel(call.pk, actor="agent:support")
    after = text_of(visitor(world.bo).get(f"/calls/{call.pk}/"))

    assert "it took 1 call of what tool billing__refund has" in before
    assert "gave it back" not in before
    assert "gave it back: nothing ran" in after


def test_a_rejected_calls_page_counts_how_often_it_was_asked_again(
    world: World, ask: Any, held_call: Any
) -> None:
    call = held_call(status=S.REJECTED)
    ToolCall.objects.filter(pk=call.pk).update(repeats=3)

    shown = text_of(visitor(world.bo).get(f"/calls/{call.pk}/"))

    assert "The agent asked for the same 3 times since" in shown
