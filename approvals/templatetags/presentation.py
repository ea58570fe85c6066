"""How templates write text nobody vouches for, times, strokes and digests; presentation only."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

from django import template
from django.db.models import Model
from django.utils import dateformat, timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext, pgettext_lazy

from approvals import wording
from approvals.phrases import Code, Phrase, Word
from approvals.translating import translated

register = template.Library()


class Addressed(Protocol):
    """A page whose address says all that was asked of it."""

    def url(self, **more: str) -> str:
        """Return its address, with more in its query."""


_EFFECTS = {
    "read": pgettext_lazy("what a tool does: reviewed as …", "read"),
    "write": pgettext_lazy("what a tool does: reviewed as …", "write"),
    "destructive": pgettext_lazy("what a tool does: reviewed as …", "destructive"),
}
# The sentence of a call is stored as people were shown it, in English, and stays so.
_LEFT_OUT = re.compile(r"and \d+ more|\d+ arguments?")
_COUNTED = re.compile(r"(.*) (\d+ (?:item|field)s?)")
_PLACE = re.compile(r"%\((\w+)\)s")
_QUOTED = re.compile(r"(.*?) (“.*”)")


@register.filter
def segments(parts: Iterable[wording.Segment]) -> SafeString:
    """Write text with a visible chip in place of everything that cannot be seen."""
    return format_html_join("", "{}", ((_segment(part),) for part in parts))


@register.filter
def visible(text: str) -> SafeString:
    """Write any text in the same way."""
    return segments(wording.visible(str(text)))


@register.filter
def said(words: str) -> str:
    """Return a phrase of ours in the reader's language."""
    return translated(words)


@register.filter
def bold(text: str) -> SafeString:
    """Write a phrase with its values bold; a text that is no phrase is a value.

    Hidden characters of values are spelled out; the names of arguments and CEL are not bold.
    """
    if isinstance(text, Code):
        return format_html("<code>{}</code>", visible(text))
    if isinstance(text, Word):
        return visible(text)
    if not isinstance(text, Phrase):
        return format_html("<b>{}</b>", visible(text))
    if text.parts:
        return format_html_join(text.between, "{}", ((bold(part),) for part in text.parts))
    if not text.values:
        return format_html("{}", translated(text))
    pieces = _PLACE.split(text.message(gettext, ngettext))
    shown = (
        (bold(text.values[one]) if at % 2 else one.replace("%%", "%"),)  # type: ignore[arg-type]  # a number is shown as text
        for at, one in enumerate(pieces)
    )
    return format_html_join("", "{}", shown)


@register.filter
def parts(texts: Iterable[str]) -> SafeString:
    """Write the parts of a rule's subject with dots between; what is a name as a whole is bold."""
    shown = (
        bold(text) if isinstance(text, Phrase) and text.values else bold(translated(text))
        for text in texts
    )
    return format_html_join(" · ", "{}", ((part,) for part in shown))


@register.filter
def plain(parts: Iterable[wording.Segment]) -> str:
    """Return text as it is, for a sentence of ours to hold."""
    return "".join(part.text for part in parts)


@register.filter
def effect(code: str) -> str:
    """Return what a tool does, as people read it."""
    return str(_EFFECTS.get(code, code))


@register.filter
def head(sentence: str) -> str:
    """Return what a call does, the first part of its sentence."""
    return sentence.split(" · ", maxsplit=1)[0]


@register.filter
def marked(words: str) -> SafeString:
    """Make what looks like a value bold: "Refund <b>$420.00</b> to <b>cus_8241</b>".

    A guess, as a sentence keeps no marks; a wrong one makes another word bold and nothing else.
    """
    parts = re.split(r"(\s+)", words)
    shown = [format_html("<b>{}</b>", part) if _VALUE.search(part) else part for part in parts]
    return format_html_join("", "{}", ((part,) for part in shown))


@register.filter
def details(sentence: str) -> list[tuple[str, str]]:
    """Return the arguments a sentence names, as name and value; `·` is in neither."""
    return [_named(part) for part in _parts(sentence) if not _LEFT_OUT.fullmatch(part)]


@register.filter
def left_out(sentence: str) -> str:
    """Return what a sentence says of the arguments it does not name; empty when it names all."""
    return next((part for part in _parts(sentence) if _LEFT_OUT.fullmatch(part)), "")


@register.filter
def is_prose(row: wording.Row) -> bool:
    """Tell whether a value is to be read as text rather than looked at as one mark."""
    return any(part.is_break for part in row.value) or sum(len(p.text) for p in row.value) > 60


@register.filter
def nested(rows: Sequence[wording.Row]) -> list[wording.Nested]:
    """Return the rows of a table with the folds that begin and end at each."""
    return wording.nested([_translated(row) for row in rows])


@register.simple_tag
def plural_samples() -> tuple[int, ...]:
    """Return numbers among which each language finds one of every kind it tells apart.

    CLDR knows six kinds at most. Scripts count and Django translates, so a page carries a sentence
    for each number, and the script takes the one whose kind its own number is of.
    """
    return (1, 2, 3, 5, 6, 7, 11, 100)


@register.filter
def initials(name: object) -> str:
    """Return the letters of a face."""
    return wording.initials(str(name))


@register.filter
def groups(digest: str) -> str:
    """Return the beginning of a digest in groups of four."""
    return wording.digest_groups(digest)


@register.filter
def short(digest: str) -> str:
    """Return as much of a digest as tells it from its neighbours."""
    return f"{digest[:4]} {digest[4:8]}"


@register.simple_tag
def stroke(digest: str, width: int, height: int, points: int) -> str:
    """Return the path of a digest's stroke."""
    return wording.stroke(digest, width, height, points)


@register.filter
def span(value: timedelta) -> str:
    """Return a span of time in words."""
    return translated(wording.duration(value))


@register.simple_tag
def drawer_url(found: Addressed, call: Model) -> str:
    """Return the address of a history in whose drawer a call is open."""
    return found.url(open=str(call.pk))


@register.simple_tag
def when(at: datetime, now: datetime) -> SafeString:
    """Write a moment: the clock today, the date too on any other day.

    A zone the reader chose is told by its offset, so that a time cannot be taken for another.
    """
    local = timezone.localtime(at)
    is_today = local.date() == timezone.localtime(now).date()
    words = dateformat.format(local, "H:i:s" if is_today else "j M Y, H:i")
    if timezone.get_current_timezone_name() != timezone.get_default_timezone_name():
        words += f" {local.isoformat(timespec='seconds')[19:]}"
    return format_html('<time datetime="{}">{}</time>', at.isoformat(), words)


@register.filter
def utc(at: datetime) -> SafeString:
    """Write a moment of the trail: date and clock with seconds, UTC."""
    words = dateformat.format(at.astimezone(UTC), "j M Y H:i:s")
    return format_html('<time datetime="{}">{}</time>', at.isoformat(), words)


def _translated(row: wording.Row) -> wording.Row:
    """Return a row with our own words about it in the reader's language.

    What stands for its value ("Yes", "nothing", "3 items") stays: the remarks tell of each text
    that could be taken for these very words.
    """
    remarks = tuple(translated(remark) for remark in row.remarks)
    return replace(row, label=translated(row.label), remarks=remarks)


def _segment(part: wording.Segment) -> SafeString:
    if not part.hidden:
        return format_html("{}", part.text)
    if part.is_break:
        # The chip stands for the breaks; one of them is made, so that lines stay lines.
        return format_html('<span class="hid soft" title="{}">{}</span>\n', part.name, part.text)
    return format_html('<span class="hid">{}</span>', part.label)


_VALUE = re.compile(r"[\d_]")


def _parts(sentence: str) -> list[str]:
    return sentence.split(" · ")[1:]


def _named(part: str) -> tuple[str, str]:
    """Split "customer id cus_8241"; a wrong guess makes another word bold and nothing else."""
    found = _COUNTED.fullmatch(part) or _QUOTED.fullmatch(part)
    if found:
        return found[1], found[2]
    name, _, value = part.rpartition(" ")
    return name, value
