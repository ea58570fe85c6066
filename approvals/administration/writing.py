"""How an administrative change is written: a row held to its rules, its event, its revision."""

from collections.abc import Collection, Iterable, Mapping

from django.core.exceptions import ValidationError
from django.db.models import Model

from approvals import access, canonical
from approvals.audit import record as audit
from approvals.errors import InvalidInput, NotAllowed
from approvals.models import Domain, Person, Revision, database_now
from approvals.phrases import phrase

MOST_REASON = 500  # characters
COMMAND = "command"  # the actor of management commands: whoever has a shell on the server


def note(stream: str, code: str, *, actor: str, **data: object) -> None:
    """Record a change in the open transaction, and tell caches that something changed."""
    audit.record(stream, audit.Entry(code, actor, database_now(), data))
    Revision.bump()


def people_changed(domains: Iterable[int]) -> None:
    """Let the sweep look whether what waits in these domains can still be approved."""
    Domain.objects.filter(pk__in=list(domains)).update(people_changed_at=database_now())


def hold_to_rules(
    row: Model, *, words: Mapping[str, str], unlooked: Collection[str] = (), under: str = "$"
) -> None:
    """Hold an unsaved row to what its fields ask for.

    Args:
        words: by field, what it must look like, as a phrase; Django itself only says "enter a
            valid value".
        unlooked: fields that are not looked at.
        under: the path of what the row was made from.

    Raises:
        InvalidInput: with every field that is wrong.
    """
    try:
        row.full_clean(exclude=unlooked)
    except ValidationError as error:
        problems = [
            {"path": f"{under}.{field}", "message": _said(row, field, found, words)}
            for field, errors in error.error_dict.items()
            for found in errors
        ]
        raise InvalidInput(problems=problems) from None


def _said(row: Model, field: str, found: ValidationError, words: Mapping[str, str]) -> str:
    if found.code == "unique":
        name = repr(getattr(row, field))
        return phrase("is taken: there is one called %(name)s already", name=name)
    if found.code in ("invalid", "blank") and field in words:
        return phrase("must be %(words)s", words=words[field])
    return " ".join(found.messages)


def administrator_now(person: Person) -> Person:
    """Return a person as the database knows them, and keep their role until the commit.

    Raises:
        NotAllowed: they are no administrator, or not any more.
    """
    now = Person.objects.select_for_update(no_key=True).filter(pk=person.pk).first()
    permission = access.may_administer(now or Person(is_active=False))
    if now is None or not permission:
        raise NotAllowed(permission.why)
    return now


def reason_of(text: str) -> str:
    """Return why a person does something, in their words, stripped.

    Raises:
        InvalidInput: it is empty or too long, or has what databases and the trail cannot keep.
    """
    text = text.strip()
    if not text:
        raise InvalidInput(phrase("is empty; say why"), path="$.reason")
    if len(text) > MOST_REASON:
        told = phrase("has more than %(most)s characters", most=MOST_REASON)
        raise InvalidInput(told, path="$.reason")
    try:
        canonical.check(text)
    except InvalidInput as error:
        raise InvalidInput(error.message, path="$.reason") from None
    return text
