"""Days as charts and tables write them, without their year; months in the reader's language."""

from datetime import date

from django.utils import dateformat
from django.utils.translation import gettext

from approvals.figures import Span


def day_words(day: date) -> str:
    """Return one day: "5 Nov"."""
    return dateformat.format(day, "j M")


def span_words(span: Span) -> str:
    """Return some days as people write them: "20 Nov", "16 to 20 Nov", "26 Oct to 1 Nov"."""
    if span.first == span.last:
        return day_words(span.first)
    is_one_month = (span.first.year, span.first.month) == (span.last.year, span.last.month)
    first = span.first.day if is_one_month else day_words(span.first)
    return gettext("%(first)s to %(last)s") % {"first": first, "last": day_words(span.last)}
