"""The catalogue: domains, upstream servers, what they list, and what people say their tools do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F, Manager, OuterRef, Q, QuerySet, Subquery

from approvals import canonical, lifecycle, wording
from approvals.administration.writing import hold_to_rules, note
from approvals.errors import Conflict, DefinitionChanged, InvalidInput, NotFound
from approvals.models import (
    ApproverGroup,
    Domain,
    Person,
    Tool,
    ToolCall,
    ToolDefinition,
    Upstream,
    database_now,
)
from approvals.models.catalog import RESERVED_DOMAINS
from approvals.phrases import phrase

MAX_DEFINITION_BYTES = 64 * 1024
_DOMAIN_NAME = phrase("2 to 31 lower-case letters, digits or hyphens, and begin with a letter")
_UPSTREAM_NAME = "1 to 40 lower-case letters, digits or hyphens, and not begin with a hyphen"
_UNLOOKED = ("launch", "write_credentials", "dropped_tools", "server_info")  # objects of ours
PLAIN = "plain"  # the credential set of reads, and of everything where there is no other


@dataclass(frozen=True)
class UpstreamSpec:
    """How to reach a server: what a file of MCP clients says, secrets only as `${NAME}`."""

    name: str
    transport: str  # "stdio" or "http"
    launch: Mapping[str, Any]  # {"command", "args", "env", "cwd"} or {"url", "headers"}
    write_credentials: Mapping[str, Any] | None = None  # {"env"} or {"headers"}


@dataclass(frozen=True)
class ListedTool:
    """One tool of a list, already sanitised by the bridge."""

    name: str
    exposed_name: str
    definition: Mapping[
        str, Any
    ]  # name, title?, description?, inputSchema, outputSchema?, annotations?


@dataclass(frozen=True)
class Listing:
    """What one upstream lists now."""

    tools: Sequence[ListedTool]
    credentials: str = PLAIN  # the set it was listed with
    dropped: Sequence[Mapping[str, str]] = ()  # [{"name", "why"}]
    server_info: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Differences:
    """Names of tools that a listing added, changed, took away or brought back."""

    added: Sequence[str] = ()
    changed: Sequence[str] = ()
    gone: Sequence[str] = ()
    back: Sequence[str] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.gone or self.back)


@transaction.atomic
def create_domain(
    name: str, *, purpose: str, owner: Person | None, actor: str, four_eyes: bool = True
) -> Domain:
    """Create a trust domain with its (empty) approver group, or fill in one that has no purpose.

    Raises:
        InvalidInput: the name is odd, reserved or taken, or the purpose too long.
    """
    domain = Domain.objects.filter(name=name, purpose="").first() or Domain(name=name)
    domain.purpose, domain.owner, domain.four_eyes = purpose, owner, four_eyes
    if name in RESERVED_DOMAINS:
        raise InvalidInput(phrase("%(name)s is reserved", name=repr(name)), path="$.name")
    hold_to_rules(domain, words={"name": _DOMAIN_NAME})
    domain.save()
    ApproverGroup.objects.get_or_create(domain=domain, name="approvers")
    note(
        f"domain:{name}", "domain.created", actor=actor, purpose=purpose,
        owner=owner.get_username() if owner else "", four_eyes=four_eyes,
    )  # fmt: skip
    return domain


def ensure_domain(name: str, *, actor: str) -> tuple[Domain, bool]:
    """Return the domain of that name and whether it had to be created, without a purpose yet.

    Raises:
        InvalidInput: there is none, and there can be none by that name.
    """
    domain = Domain.objects.filter(name=name).first()
    if domain is not None:
        return domain, False
    try:
        return create_domain(name, purpose="", owner=None, actor=actor), True
    except InvalidInput as error:
        # Whoever names a domain while creating something else has given two names.
        why = error.problems[0]["message"]
        told = phrase("the name of domain %(name)s %(why)s", name=repr(name), why=why)
        raise InvalidInput(told, path="$.domains") from None


@transaction.atomic
def add_approvers(domain: Domain, members: Sequence[Person], *, actor: str) -> None:
    """Let people decide the calls of a domain."""
    ApproverGroup.objects.get(domain=domain, name="approvers").people.add(*members)
    names = sorted(person.get_username() for person in members)
    note(f"domain:{domain.name}", "domain.approvers_added", actor=actor, people=names)


@transaction.atomic
def put_upstream(spec: UpstreamSpec, *, domain: Domain, actor: str) -> Upstream:
    """Create an upstream, or update it; moving one to another domain is refused.

    A changed address or credential makes waiting calls void when they would be dispatched, because
    both are in their binding.

    Raises:
        InvalidInput: the name is odd, or belongs to an upstream of another domain.
    """
    upstream = Upstream.objects.filter(name=spec.name).first() or Upstream(name=spec.name)
    if upstream.pk and upstream.domain_id != domain.pk:
        raise InvalidInput(
            f"Upstream {spec.name} belongs to {upstream.domain} already.", path="$.mcpServers"
        )
    upstream.domain, upstream.transport = domain, spec.transport
    upstream.launch = dict(spec.launch)
    upstream.write_credentials = dict(spec.write_credentials) if spec.write_credentials else None
    place = canonical.path_of(["mcpServers", spec.name])
    hold_to_rules(upstream, words={"name": _UPSTREAM_NAME}, unlooked=_UNLOOKED, under=place)
    upstream.save()
    note(
        f"upstream:{spec.name}", "upstream.put", actor=actor, domain=domain.name,
        transport=spec.transport, address=upstream.address, credential=upstream.credential_ref,
    )  # fmt: skip
    return upstream


def record_listing(upstream_id: int, listing: Listing, *, actor: str) -> Differences:
    """Take over what an upstream lists; a changed definition voids the calls that wait on it.

    The voids are separate transactions; a sweep finds what an interruption left undone.
    """
    found = _record_listing(upstream_id, listing, actor)
    if found.changed or found.gone:
        void_stale_calls(actor=actor)
    return found


def record_list_failure(upstream_id: int, why: str) -> None:
    """Keep the old catalogue, and say on it why it is old."""
    Upstream.objects.filter(pk=upstream_id).exclude(list_error=why[:500]).update(
        list_error=why[:500]
    )


def void_stale_calls(*, actor: str) -> int:
    """Void every unsent call whose tool is no longer the one it was made for; return how many."""
    voided = 0
    for call_id, reason in stale_calls():
        try:
            lifecycle.void(call_id, actor=actor, reason=reason)
            voided += 1
        except Conflict:
            continue  # it moved on meanwhile; dispatch checks again anyway
    return voided


def stale_calls() -> list[tuple[UUID, str]]:
    """Return unsent calls whose tool is no longer the one they were made for, and in words why.

    Calls that could not be moved before come last.
    """
    # First whether there are any, a few looks into an index for each tool: the sweep asks every
    # second, and all but always there are none, however many wait.
    tools = list(_tools_with_stale_calls().values_list("pk", flat=True))
    if not tools:
        return []
    other = ~Q(tool__definition_digest=F("definition_digest"))
    stale = _unsent().filter(other | Q(tool__is_listed=False), tool__in=tools)
    rows = stale.order_by("needs_attention", "created_at").values_list("pk", "tool__is_listed")
    words = {True: "tool's definition changed", False: "tool is no longer offered"}
    return [(pk, f"The {words[listed]} after the call was made.") for pk, listed in rows]


def _unsent() -> QuerySet[ToolCall]:
    # Settled or not is what the index is about; the states alone would not find it.
    return ToolCall.objects.filter(settled_at=None, status__in=lifecycle.UNSENT)


def _tools_with_stale_calls() -> QuerySet[Tool]:
    """Return the tools that are gone, or are another by now, and have unsent calls all the same."""
    made_for = _unsent().filter(tool=OuterRef("pk")).values("definition_digest")
    # The least and the greatest: each is the first of an index. Asked for any that differs,
    # PostgreSQL expects many and looks through all calls.
    tools = Tool.objects.annotate(
        least=Subquery(made_for.order_by("definition_digest")[:1]),
        greatest=Subquery(made_for.order_by("-definition_digest")[:1]),
    )
    digest = F("definition_digest")
    return tools.exclude(least=None).exclude(least=digest, greatest=digest, is_listed=True)


@transaction.atomic
def review_tool(
    tool: Tool, *, effect: str, actor: str, person: Person | None = None, digest: str = ""
) -> Tool:
    """Record what a person decided a tool does, pinned to the definition they saw.

    Args:
        effect: read, write or destructive.
        digest: of the definition on the reviewer's screen; empty means the current one.

    Raises:
        InvalidInput: no such effect. DefinitionChanged: it is not the one they saw any more.
    """
    if effect not in Tool.Effect.values:
        raise InvalidInput(phrase("The effect is read, write or destructive."), path="$.effect")
    tool = Tool.objects.select_for_update(of=("self",)).select_related("upstream").get(pk=tool.pk)
    if digest and digest != tool.definition_digest:
        raise DefinitionChanged(phrase("The definition changed since it was shown; read it again."))
    tool.reviewed_effect, tool.reviewed_digest = effect, tool.definition_digest
    tool.reviewed_by, tool.reviewed_at = person, database_now()
    tool.save()
    note(
        f"upstream:{tool.upstream.name}", "tool.reviewed", actor=actor, tool=tool.name,
        effect=effect, definition_digest=tool.definition_digest,
    )  # fmt: skip
    return tool


def get_tool(upstream: str, name: str) -> Tool:
    """Return a tool by its upstream's name and its own.

    Raises:
        NotFound: there is none; the message names what there is.
    """
    if not Upstream.objects.filter(name=upstream).exists():
        raise NotFound(f"There is no upstream {upstream!r}; there is: {_names(Upstream.objects)}.")
    tools = Tool.objects.filter(upstream__name=upstream)
    tool = tools.filter(name=name).first()
    if tool is None:
        raise NotFound(f"Upstream {upstream!r} has no tool {name!r}; it has: {_names(tools)}.")
    return tool


def _names(rows: "QuerySet[Tool] | Manager[Upstream]") -> str:
    return ", ".join(rows.order_by("name").values_list("name", flat=True)) or "none"


@transaction.atomic
def _record_listing(upstream_id: int, listing: Listing, actor: str) -> Differences:
    upstream = Upstream.objects.select_for_update().get(pk=upstream_id)
    # Locked: whatever a person reviews or writes meanwhile must not be overwritten with the old.
    known = {tool.name: tool for tool in upstream.tools.select_for_update(no_key=True)}
    listed = {entry.name: entry for entry in listing.tools}
    kinds: dict[str, list[str]] = {"added": [], "changed": [], "gone": [], "back": []}
    for name in [*listed, *(name for name in known if name not in listed)]:
        tool = known.get(name) or Tool(upstream=upstream, name=name)
        kind = _take_over(tool, listed.get(name), listing.credentials, actor)
        if kind:
            kinds[kind].append(name)
    upstream.listed_at, upstream.list_error = database_now(), ""
    upstream.dropped_tools, upstream.server_info = list(listing.dropped), dict(listing.server_info)
    upstream.save(update_fields=["listed_at", "list_error", "dropped_tools", "server_info"])
    return Differences(**kinds)


def _take_over(tool: Tool, entry: ListedTool | None, credentials: str, actor: str) -> str:
    """Write what one credential set lists of one tool.

    Returns:
        added, changed, back or gone; empty when it is as it was.
    """
    before, was_listed = (tool.definition_digest, tool.is_ambiguous), tool.is_listed
    # What a second set listed counts no longer once there is none.
    known = tool.listed_digests if tool.upstream.write_credentials is not None else {}
    digests = {key: value for key, value in known.items() if key != credentials}
    if entry is not None:
        digests[credentials] = canonical.definition_digest(entry.definition)
    if tool.pk and digests == tool.listed_digests and was_listed == bool(digests):
        return ""
    tool.listed_digests, tool.is_listed = digests, bool(digests)
    # The union of both sets: the plain one is what agents are shown where it lists the tool.
    tool.definition_digest = digests.get(PLAIN) or next(iter(digests.values()), before[0])
    tool.is_ambiguous = len(set(digests.values())) > 1
    if entry is not None:
        _keep_definition(tool, entry)
    kind = _kind(tool, before, was_listed)
    if kind == "changed":
        tool.changed_at = database_now()
    tool.save()
    if kind:
        note(
            f"upstream:{tool.upstream.name}", _CODES[kind], actor=actor, tool=tool.name,
            definition_digest=tool.definition_digest, previous_digest=before[0],
            is_ambiguous=tool.is_ambiguous, credentials=credentials,
        )  # fmt: skip
    return kind


_CODES = {
    "added": "tool.listed",
    "changed": "tool.changed",
    "gone": "tool.gone",
    "back": "tool.back",
}


def _kind(tool: Tool, before: tuple[str, bool], was_listed: bool) -> str:
    if not tool.pk:
        return "added"
    if was_listed and not tool.is_listed:
        return "gone"
    if (tool.definition_digest, tool.is_ambiguous) != before:
        return "changed"
    return "" if was_listed else "back"


def _keep_definition(tool: Tool, entry: ListedTool) -> None:
    body = canonical.to_bytes(
        # As its digest has it: a key that is null is as good as none.
        {
            k: entry.definition[k]
            for k in canonical.DEFINITION_KEYS
            if entry.definition.get(k) is not None
        },
        max_bytes=MAX_DEFINITION_BYTES,
        limits=canonical.DEFINITION,
    )
    digest = canonical.digest(body)
    ToolDefinition.objects.get_or_create(digest=digest, defaults={"body": body})
    if digest == tool.definition_digest:
        tool.title = wording.clean(str(entry.definition.get("title") or ""), 200)
    tool.exposed_name = entry.exposed_name
