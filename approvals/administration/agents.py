"""Agents and their keys: a key is shown once and kept only as a digest."""

import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime

from django.db import transaction
from django.db.models import Max, QuerySet

from approvals import canonical
from approvals.administration.catalog import ensure_domain
from approvals.administration.writing import hold_to_rules, note
from approvals.errors import Conflict, InvalidInput, NotFound
from approvals.models import Agent, AgentKey, Person, database_now
from approvals.models.agents import READ, WRITE
from approvals.phrases import phrase

MAX_GRACE_SECONDS = 600  # no client and no proxy keeps a request open for longer
_NAME = phrase("1 to 64 lower-case letters, digits or . _ -, and begin with a letter or digit")


@transaction.atomic
def create_agent(
    name: str,
    *,
    owner: Person,
    domains: Sequence[str],
    actor: str,
    effects: Sequence[str] = (READ, WRITE),
    grace_seconds: int = 25,
) -> Agent:
    """Create an agent that may ask for calls in some domains.

    Args:
        effects: "read", "write" or both; write covers destructive, unreviewed and changed tools.
        grace_seconds: how long a request is held open before the agent gets a ticket.

    Raises:
        InvalidInput: the name is taken or odd, no domain, an unknown effect.
    """
    unknown = set(effects) - {READ, WRITE}
    if unknown or not effects:
        raise InvalidInput(phrase("Effects are read, write or both."), path="$.effects")
    if not domains:
        raise InvalidInput(phrase("An agent needs at least one domain."), path="$.domains")
    if not 0 <= grace_seconds <= MAX_GRACE_SECONDS:
        told = phrase("must be from 0 to %(most)s seconds", most=MAX_GRACE_SECONDS)
        raise InvalidInput(told, path="$.grace_seconds")
    agent = Agent(
        name=name,
        owner=owner,
        may_read=READ in effects,
        may_write=WRITE in effects,
        grace_seconds=grace_seconds,
    )
    hold_to_rules(agent, words={"name": _NAME})
    agent.save()
    agent.domains.set([ensure_domain(domain, actor=actor)[0] for domain in domains])
    note(
        f"agent:{name}", "agent.created", actor=actor, owner=owner.get_username(),
        domains=sorted(domains), effects=sorted(effects), grace_seconds=grace_seconds,
    )  # fmt: skip
    return agent


@transaction.atomic
def create_key(
    agent: Agent,
    *,
    acts_for: Person,
    actor: str,
    label: str = "",
    expires_at: datetime | None = None,
    after: int | None = None,
) -> str:
    """Make a key for an agent and return it, for the only time: `cs_<prefix>_<secret>`.

    Args:
        label: where it will be used, in a person's words.
        expires_at: when it ends by itself; None: never.
        after: `newest_key` as the form showed it, so that a form sent twice makes one key.

    Raises:
        InvalidInput: the label is too long, or the end is past.
        Conflict: another key was made after `after`.
    """
    Agent.objects.select_for_update().get(pk=agent.pk)  # two forms sent at once queue up here
    if after is not None and after != newest_key(agent):
        raise Conflict(phrase("The keys of this agent have changed since this form was opened."))
    if expires_at is not None and expires_at <= database_now():
        raise InvalidInput(phrase("must be in the future"), path="$.expires_at")
    canonical.check(label)  # no control character a database cannot keep
    prefix, secret = secrets.token_hex(5), secrets.token_urlsafe(32)
    key = AgentKey(
        agent=agent,
        prefix=prefix,
        label=label,
        secret_digest=secret_digest(secret),
        acts_for=acts_for,
        expires_at=expires_at,
    )
    hold_to_rules(key, words={})
    key.save()
    told = {"label": label} if label else {}
    if expires_at is not None:
        told["expires_at"] = expires_at.isoformat()
    note(
        f"agent:{agent.name}", "key.created", actor=actor, prefix=prefix,
        acts_for=acts_for.get_username(), **told,
    )  # fmt: skip
    return f"cs_{prefix}_{secret}"


def newest_key(agent: Agent) -> int:
    """Return the id of the key that was made last; 0 when there is none."""
    return agent.keys.aggregate(newest=Max("pk"))["newest"] or 0


@transaction.atomic
def revoke_key(prefix: str, *, actor: str) -> AgentKey:
    """End a key at once.

    Raises:
        NotFound: there is no such key, or it is revoked already.
    """
    key = AgentKey.objects.select_related("agent").filter(prefix=prefix, revoked_at=None).first()
    if key is None:
        raise NotFound(phrase("There is no key %(key)s to revoke.", key=repr(prefix)))
    key.revoked_at = database_now()
    key.save(update_fields=["revoked_at"])
    note(f"agent:{key.agent.name}", "key.revoked", actor=actor, prefix=prefix)
    return key


@transaction.atomic
def set_paused(agent: Agent, paused: bool, *, actor: str) -> None:
    """Stop or resume everything an agent asks for; what it has running goes on."""
    Agent.objects.filter(pk=agent.pk).update(is_paused=paused)
    code = "agent.paused" if paused else "agent.resumed"
    note(f"agent:{agent.name}", code, actor=actor)


@transaction.atomic
def stop_all(agents: QuerySet[Agent], *, actor: str, reason: str = "") -> list[str]:
    """Pause every one of these agents that is not paused yet; return their names.

    Calls that wait go on waiting, and what is dispatched already is not stopped.
    """
    canonical.check(reason)  # no control character a database cannot keep
    # In order of id: two people who stop all at once wait for each other instead of locking up.
    running = list(agents.filter(is_paused=False).order_by("pk").select_for_update(of=("self",)))
    for agent in running:
        Agent.objects.filter(pk=agent.pk).update(is_paused=True)
        note(f"agent:{agent.name}", "agent.paused", actor=actor, stopped_all=True, reason=reason)
    return [agent.name for agent in running]


def secret_digest(secret: str) -> str:
    """Return what is kept of a key's secret: SHA-256, hex; it has 256 random bits."""
    return hashlib.sha256(secret.encode()).hexdigest()
