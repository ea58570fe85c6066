"""Verbs about domains, upstreams and what those list: nothing changes behind a reviewer's back."""

from typing import Any

import pytest

from approvals import canonical, lifecycle
from approvals.administration import catalog
from approvals.administration.catalog import ListedTool, Listing, UpstreamSpec
from approvals.errors import DefinitionChanged, InvalidInput, NotFound
from approvals.models import (
    ApproverGroup,
    AuditEvent,
    Domain,
    Revision,
    Tool,
    ToolCall,
    ToolDefinition,
    Upstream,
)
from tests.support.world import ACTOR, World, definition, list_tools, reviewed

S = ToolCall.Status


def codes(stream: str) -> list[str]:
    events = AuditEvent.objects.filter(stream=stream).order_by("seq")
    return list(events.values_list("code", flat=True))


# -- domains -------------------------------------------------------------------------------------


def test_a_domain_has_its_purpose_its_owner_and_an_empty_approver_group(world: World) -> None:
    before = Revision.current()

    domain = catalog.create_domain(
        "deploys", purpose="What runs.", owner=world.dee, four_eyes=False, actor=ACTOR
    )

    assert (domain.purpose, domain.owner, domain.four_eyes) == ("What runs.", world.dee, False)
    assert not ApproverGroup.objects.get(domain=domain).people.exists()
    event = AuditEvent.objects.get(stream="domain:deploys")
    assert canonical.parse(bytes(event.data)) == {
        "purpose": "What runs.", "owner": "dee", "four_eyes": False
    }  # fmt: skip
    assert Revision.current() > before


def test_a_domain_without_a_purpose_is_filled_in_and_keeps_its_approvers(world: World) -> None:
    early, created = catalog.ensure_domain("deploys", actor=ACTOR)
    catalog.add_approvers(early, [world.bo], actor=ACTOR)

    domain = catalog.create_domain("deploys", purpose="What runs.", owner=world.dee, actor=ACTOR)

    assert created
    assert domain == early
    assert ApproverGroup.objects.get(domain=domain).people.get() == world.bo
    assert catalog.ensure_domain("deploys", actor=ACTOR) == (domain, False)


BAD_DOMAINS: list[tuple[dict[str, Any], str, str]] = [
    ({"name": "c"}, "$.name", "reserved"),
    ({"name": ""}, "$.name", "must be 2 to 31"),
    ({"name": "x"}, "$.name", "must be 2 to 31"),
    ({"name": "Billing"}, "$.name", "must be 2 to 31"),
    ({"name": "9lives"}, "$.name", "must be 2 to 31"),
    ({"name": "a/b"}, "$.name", "must be 2 to 31"),
    ({"name": "two words"}, "$.name", "must be 2 to 31"),
    ({"name": "d" * 32}, "$.name", "at most 31"),
    ({"name": "billing"}, "$.name", "is taken"),
    ({"purpose": "p" * 141}, "$.purpose", "at most 140"),
]


@pytest.mark.parametrize(("changes", "path", "words"), BAD_DOMAINS)
def test_a_domain_that_cannot_be_is_refused_with_the_place_and_leaves_no_row(
    world: World, changes: dict[str, Any], path: str, words: str
) -> None:
    before = Revision.current()
    wanted = {"name": "deploys", "purpose": "What runs.", "owner": world.dee, "actor": ACTOR}

    with pytest.raises(InvalidInput, match=words) as refused:
        catalog.create_domain(**{**wanted, **changes})

    assert refused.value.path == path
    assert list(Domain.objects.values_list("name", flat=True)) == ["billing"]
    assert Revision.current() == before


# -- upstreams -----------------------------------------------------------------------------------


def spec(**changes: Any) -> UpstreamSpec:
    wanted = {"name": "billing", "transport": "http", "launch": {"url": "http://127.0.0.1:9/mcp"}}
    return UpstreamSpec(**{**wanted, **changes})


def test_putting_an_upstream_again_updates_it_and_keeps_its_tools(world: World) -> None:
    launch = {"url": "http://127.0.0.1:10/mcp", "headers": {"Authorization": "Bearer ${TOKEN}"}}

    upstream = catalog.put_upstream(spec(launch=launch), domain=world.billing, actor=ACTOR)

    assert upstream == world.upstream
    assert upstream.address == "http://127.0.0.1:10/mcp"
    assert upstream.credential_ref == "billing/shared:Authorization=Bearer ${TOKEN}"
    assert set(upstream.tools.all()) == {world.refund, world.customer}
    assert codes("upstream:billing")[-1] == "upstream.put"


def test_a_second_set_of_credentials_changes_the_reference_a_release_is_bound_to(
    world: World,
) -> None:
    before = world.upstream.credential_ref

    upstream = catalog.put_upstream(
        spec(write_credentials={"headers": {"Authorization": "Bearer ${WRITE}"}}),
        domain=world.billing,
        actor=ACTOR,
    )

    assert before == "billing/shared:"
    assert upstream.credential_ref == "billing/write:Authorization=Bearer ${WRITE}"


def test_an_upstream_is_not_moved_to_another_domain(world: World) -> None:
    other = catalog.create_domain("deploys", purpose="What runs.", owner=None, actor=ACTOR)

    with pytest.raises(InvalidInput, match="belongs to billing already"):
        catalog.put_upstream(spec(), domain=other, actor=ACTOR)

    assert Upstream.objects.get().domain == world.billing


@pytest.mark.parametrize("name", ["", "Upper", "under_score", "-begin", "u" * 41, "a b"])
def test_an_upstream_with_an_odd_name_is_refused_with_its_place(world: World, name: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        catalog.put_upstream(spec(name=name), domain=world.billing, actor=ACTOR)

    assert refused.value.path == canonical.path_of(["mcpServers", name, "name"])
    assert Upstream.objects.count() == 1


# -- lists ---------------------------------------------------------------------------------------


def test_a_listed_tool_is_unreviewed_and_its_definition_is_kept(world: World) -> None:
    list_tools(
        world.upstream, definition("refund"), definition("get_customer"), definition("credit")
    )

    credit = Tool.objects.get(name="credit")
    assert (credit.effect, credit.exposed_name, credit.title) == (
        "unreviewed", "billing__credit", "Credit"
    )  # fmt: skip
    kept = ToolDefinition.objects.get(digest=credit.definition_digest)
    assert canonical.parse(bytes(kept.body)) == definition("credit")
    assert codes("upstream:billing")[-1] == "tool.listed"


def test_a_key_that_is_null_is_the_same_definition_as_one_without_it(world: World) -> None:
    without = {key: value for key, value in definition("credit").items() if key != "title"}

    list_tools(world.upstream, {**without, "title": None, "outputSchema": None, "_meta": {"x": 1}})

    credit = Tool.objects.get(name="credit")
    assert credit.definition_digest == canonical.definition_digest(without)
    kept = ToolDefinition.objects.get(digest=credit.definition_digest)
    assert canonical.digest(bytes(kept.body)) == credit.definition_digest


def test_the_same_list_again_changes_nothing(world: World) -> None:
    before = (Revision.current(), AuditEvent.objects.count())

    list_tools(world.upstream, definition("refund"), definition("get_customer"))

    assert (Revision.current(), AuditEvent.objects.count()) == before
    assert Tool.objects.get(name="refund").effect == "write"


@pytest.mark.parametrize(
    "change",
    [
        {"title": "Other"},
        {"description": "Now it sends mail, too."},
        {"inputSchema": {"type": "object"}},
        {"outputSchema": {"type": "object"}},
        {"annotations": {"readOnlyHint": True}},
    ],
)
def test_any_change_of_a_definition_makes_its_tool_changed_until_somebody_looks(
    world: World, change: dict[str, object]
) -> None:
    list_tools(world.upstream, definition("refund", **change), definition("get_customer"))

    refund = Tool.objects.get(name="refund")
    assert refund.effect == "changed"
    assert refund.changed_at is not None
    assert codes("upstream:billing")[-1] == "tool.changed"
    assert reviewed("refund", "destructive").effect == "destructive"


def test_a_definition_that_is_changed_back_is_the_reviewed_one_again(world: World) -> None:
    list_tools(world.upstream, definition("refund", title="Other"), definition("get_customer"))
    list_tools(world.upstream, definition("refund"), definition("get_customer"))

    assert Tool.objects.get(name="refund").effect == "write"


def test_a_tool_that_is_gone_and_comes_back_keeps_its_review_only_if_it_is_the_same(
    world: World,
) -> None:
    list_tools(world.upstream, definition("get_customer"))
    assert not Tool.objects.get(name="refund").is_listed
    assert codes("upstream:billing")[-1] == "tool.gone"

    list_tools(world.upstream, definition("refund"), definition("get_customer"))
    assert Tool.objects.get(name="refund").effect == "write"
    assert codes("upstream:billing")[-1] == "tool.back"

    list_tools(world.upstream, definition("get_customer"))
    list_tools(world.upstream, definition("refund", title="Other"), definition("get_customer"))
    assert Tool.objects.get(name="refund").effect == "changed"


def test_two_credential_sets_that_list_two_definitions_make_a_tool_changed(world: World) -> None:
    def list_for_writes(*definitions: dict[str, object]) -> None:
        tools = [ListedTool(str(d["name"]), f"billing__{d['name']}", d) for d in definitions]
        catalog.record_listing(world.upstream.pk, Listing(tools, "write"), actor=ACTOR)

    Upstream.objects.update(write_credentials={"headers": {}})
    list_for_writes(definition("refund"), definition("void_invoice"))
    assert Tool.objects.get(name="refund").effect == "write"
    assert Tool.objects.get(name="void_invoice").effect == "unreviewed"

    list_for_writes(definition("refund", title="Other"), definition("void_invoice"))
    assert Tool.objects.get(name="refund").effect == "changed"

    # The plain set never listed it, so its next list takes nothing away.
    list_tools(world.upstream, definition("refund"), definition("get_customer"))
    assert Tool.objects.get(name="void_invoice").is_listed

    # Once there is no second set, what it listed counts no longer.
    Upstream.objects.update(write_credentials=None)
    list_tools(world.upstream, definition("refund"), definition("get_customer"))
    assert Tool.objects.get(name="refund").effect == "write"
    assert not Tool.objects.get(name="void_invoice").is_listed


@pytest.mark.parametrize("status", [S.PENDING, S.APPROVED, S.CLAIMED])
def test_a_change_voids_what_waits_on_the_tool_and_says_why(
    world: World, held_call: Any, status: S
) -> None:
    call = held_call(status=status)
    other = held_call(arguments={"customer": "cus_1"}, tool=world.customer)

    list_tools(world.upstream, definition("refund", title="Other"), definition("get_customer"))

    call.refresh_from_db()
    other.refresh_from_db()
    assert call.status == S.VOID
    assert call.status_reason == "The tool's definition changed after the call was made."
    assert other.status == S.PENDING


def test_a_tool_that_is_gone_voids_what_waits_on_it(world: World, held_call: Any) -> None:
    call = held_call()

    list_tools(world.upstream, definition("get_customer"))

    call.refresh_from_db()
    assert (call.status, call.status_reason) == (
        S.VOID, "The tool is no longer offered after the call was made."
    )  # fmt: skip


@pytest.mark.parametrize("status", sorted(set(S) - lifecycle.UNSENT))
def test_a_change_leaves_what_was_sent_or_has_ended_as_it_is(
    world: World, held_call: Any, status: S
) -> None:
    call = held_call(status=status)

    list_tools(world.upstream, definition("refund", title="Other"), definition("get_customer"))

    call.refresh_from_db()
    assert call.status == status


def test_a_list_that_could_not_be_read_leaves_the_catalogue_and_says_why(world: World) -> None:
    catalog.record_list_failure(world.upstream.pk, "x" * 900)

    upstream = Upstream.objects.get(pk=world.upstream.pk)
    assert upstream.list_error == "x" * 500
    assert Tool.objects.filter(is_listed=True).count() == 2

    list_tools(world.upstream, definition("refund"), definition("get_customer"))
    upstream.refresh_from_db()
    assert upstream.list_error == ""


# -- reviews -------------------------------------------------------------------------------------


def test_a_review_is_pinned_to_the_definition_the_reviewer_saw(world: World) -> None:
    seen = world.refund.definition_digest
    list_tools(world.upstream, definition("refund", title="Other"), definition("get_customer"))

    with pytest.raises(DefinitionChanged):
        catalog.review_tool(world.refund, effect="read", digest=seen, actor=ACTOR)
    assert Tool.objects.get(name="refund").effect == "changed"

    tool = catalog.review_tool(world.refund, effect="read", person=world.dee, actor="person:dee")
    assert (tool.effect, tool.reviewed_by) == ("read", world.dee)
    event = AuditEvent.objects.filter(stream="upstream:billing").order_by("-seq")[0]
    assert (event.code, event.actor) == ("tool.reviewed", "person:dee")
    assert canonical.parse(bytes(event.data)) == {
        "tool": "refund", "effect": "read", "definition_digest": tool.definition_digest
    }  # fmt: skip


@pytest.mark.parametrize("effect", ["", "unreviewed", "changed", "Read", "delete"])
def test_an_effect_that_no_person_can_give_is_refused(world: World, effect: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        catalog.review_tool(world.refund, effect=effect, actor=ACTOR)

    assert refused.value.path == "$.effect"
    assert Tool.objects.get(name="refund").effect == "write"


def test_an_unknown_tool_or_upstream_is_answered_with_what_there_is(world: World) -> None:
    with pytest.raises(NotFound, match="has no tool 'refnd'; it has: get_customer, refund"):
        catalog.get_tool("billing", "refnd")
    with pytest.raises(NotFound, match="no upstream 'biling'; there is: billing"):
        catalog.get_tool("biling", "refund")
