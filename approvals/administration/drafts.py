"""Drafts: one working copy of the rules for each administrator, until it is published."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction

from approvals import canonical, policy, ruling
from approvals.administration import policy as policies
from approvals.administration.writing import administrator_now, reason_of
from approvals.errors import DraftChanged, InvalidInput, NotFound
from approvals.models import Person, PolicyDraft, PolicyVersion, Proposal, database_now
from approvals.phrases import phrase
from approvals.policy import merging

MAX_BYTES = 1024 * 1024
EDITOR = "editor"  # the source of a version that was written here


def get(person: Person) -> PolicyDraft | None:
    """Return a person's draft; None where they have none."""
    return PolicyDraft.objects.filter(author=person).first()


def problems(draft: PolicyDraft) -> list[dict[str, str]]:
    """Return each place that keeps a draft from being published: {"path", "message"}."""
    try:
        policies.check(draft.document)
    except InvalidInput as error:
        return error.problems
    return []


@transaction.atomic
def begin(person: Person) -> PolicyDraft:
    """Return a person's draft: the one there is, or a copy of the rules in force.

    Raises:
        NotAllowed: they are no administrator.
    """
    author = administrator_now(person)
    now = ruling.in_force()
    draft, _ = PolicyDraft.objects.get_or_create(
        author=author,
        defaults={
            "based_on": now.version,
            "document": policy.dump(now.rules),
            "changed_at": database_now(),
        },
    )
    return draft


@transaction.atomic
def save(person: Person, document: object, *, revision: int) -> PolicyDraft:
    """Keep a draft as it is now; its rules may be wrong still.

    Args:
        document: {"rules": [{…}, …]}.
        revision: of the draft that was shown.

    Raises:
        NotAllowed, NotFound (there is no draft).
        DraftChanged: another window saved meanwhile; its `draft` is what is there now.
        InvalidInput: it is no list of rules at all, too large, or nothing that JSON can hold.
    """
    kept = _kept(document)
    draft = _locked(administrator_now(person), revision)
    draft.document = kept
    return _changed(draft)


@transaction.atomic
def discard(person: Person) -> None:
    """Throw a person's draft away; where there is none, nothing happens."""
    PolicyDraft.objects.filter(author=administrator_now(person)).delete()


@transaction.atomic
def rebase(person: Person) -> tuple[merging.Conflict, ...]:
    """Put a draft on top of the rules in force, which somebody else has changed meanwhile.

    Returns:
        Where both changed the same rule, each otherwise. The draft keeps its own there.

    Raises:
        NotAllowed, NotFound (there is no draft).
    """
    draft = _locked(administrator_now(person), None)
    now = ruling.in_force()
    if now.version == draft.based_on:
        return ()
    merged = merging.merge(
        base=_written(draft.based_on), mine=draft.document["rules"],
        theirs=policy.dump(now.rules)["rules"],
    )  # fmt: skip
    draft.document, draft.based_on = {"rules": list(merged.items)}, now.version
    _changed(draft)
    return merged.conflicts


def publish(person: Person, *, reason: str, revision: int) -> PolicyVersion | Proposal:
    """Put a draft in force, or propose it where a call could need fewer people; it is gone then.

    Raises:
        NotAllowed, NotFound, DraftChanged: see `save`.
        InvalidInput, PolicyChanged: see `policy.publish`; the draft stays.
    """
    draft = get(person)
    if draft is None:
        raise NotFound(phrase("You have no draft."))
    wish = policies.Wish(
        EDITOR, f"person:{person.get_username()}", person, reason_of(reason), draft.based_on
    )
    return policies.carry_out(
        draft.document, wish, first=lambda: _locked(person, revision).delete()
    )


def _kept(document: object) -> Mapping[str, Any]:
    canonical.check(document, max_bytes=MAX_BYTES, limits=canonical.DEFINITION)
    rules = document.get("rules") if isinstance(document, dict) else None
    if not isinstance(rules, list) or not isinstance(document, dict) or len(document) > 1:
        raise InvalidInput('must be an object: {"rules": [...]}', path="$")
    if len(rules) > policy.MAX_RULES:
        raise InvalidInput(f"{len(rules)} rules; at most {policy.MAX_RULES}", path="$.rules")
    wrong = [
        {"path": f"$.rules[{place}]", "message": "must be an object"}
        for place, rule in enumerate(rules)
        if not isinstance(rule, dict)
    ]
    if wrong:
        raise InvalidInput(problems=wrong)
    return document


def _locked(author: Person, revision: int | None) -> PolicyDraft:
    rows = PolicyDraft.objects.select_for_update(no_key=True, of=("self",))
    draft = rows.filter(author=author).first()
    if draft is None:
        raise NotFound(phrase("You have no draft."))
    if revision not in (None, draft.revision):
        raise DraftChanged(draft=draft)
    return draft


def _changed(draft: PolicyDraft) -> PolicyDraft:
    draft.revision += 1
    draft.changed_at = database_now()
    draft.save()
    return draft


def _written(number: int) -> list[dict[str, Any]]:
    version = PolicyVersion.objects.filter(number=number).first()
    rules = ruling.rules_of(version) if version else policy.SEED
    return list(policy.dump(rules)["rules"])
