"""Pure: percentiles, spans of days, buckets of time and readable scales, from counts of rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from approvals.phrases import Phrase, phrase

MOST_SPANS = 31  # bars that can still be told apart on a phone
# Upper ends in seconds of how long people took; the first is what nobody reads in.
EDGES = (5, 10, 30, 60, 120, 300, 900, 1800)
EDGE_WORDS = (
    phrase("5 s"), phrase("10 s"), phrase("30 s"), phrase("1 min"), phrase("2 min"),
    phrase("5 min"), phrase("15 min"), phrase("30 min"),
)  # fmt: skip
BUCKET_WORDS = (
    phrase("under 5 s"), phrase("5 to 10 s"), phrase("10 to 30 s"), phrase("30 to 60 s"),
    phrase("1 to 2 min"), phrase("2 to 5 min"), phrase("5 to 15 min"), phrase("15 to 30 min"),
    phrase("over 30 min"),
)  # fmt: skip
_FEW = 10  # decisions; fewer say nothing about anybody
_HASTY_MEDIAN = 15  # seconds
_HASTY_SHARE = 0.25  # of decisions under five seconds


@dataclass(frozen=True)
class Span:
    """Some days, both ends included."""

    first: date
    last: date


def spans(first: date, last: date) -> list[Span]:
    """Return the days from first to last, by the day, by the week or longer: at most 31 spans."""
    days = (last - first).days + 1
    step = next((step for step in (1, 7) if days <= step * MOST_SPANS), -(-days // MOST_SPANS))
    starts = [first + timedelta(days=n) for n in range(0, days, step)]
    return [Span(start, min(last, start + timedelta(days=step - 1))) for start in starts]


def percentile(counts: Mapping[int, int], share: float) -> int | None:
    """Return the least value at or below which `share` (0 to 1) of the counted values lie.

    Args:
        counts: how often each value occurs.
    """
    total = sum(counts.values())
    reached = 0
    for value in sorted(counts):
        reached += counts[value]
        if reached >= share * total:
            return value
    return None


def buckets(counts: Mapping[int, int]) -> list[int]:
    """Return how many of the counted seconds lie in each of the nine buckets of EDGES."""
    found = [0] * (len(EDGES) + 1)
    for seconds, count in counts.items():
        found[sum(seconds >= edge for edge in EDGES)] += count
    return found


def hasty(counts: Mapping[int, int]) -> int:
    """Return how many took less than five seconds."""
    return buckets(counts)[0]


def share(part: int, whole: int) -> float | None:
    """Return a share in percent with one decimal, or nothing of nothing."""
    return round(100 * part / whole, 1) if whole else None


def ticks(most: float) -> list[int]:
    """Return two to four readable steps up to, or just beyond, the largest value; from zero on."""
    step = 1
    for size in (1, 2, 5, 10, 20, 50):
        step = size
        if most <= 3 * size:
            break
    else:
        step = 10 ** (len(str(int(most))) - 1)
        step = step if most <= 3 * step else 2 * step if most <= 6 * step else 4 * step
    return list(range(0, max(step, int(most)) + 1, step))


def signs(seconds: Mapping[int, int], rejected: int) -> list[Phrase]:
    """Return what in somebody's decisions looks as if calls were not read; none of fewer than ten.

    Args:
        seconds: how often they took how long.
    """
    decisions = sum(seconds.values())
    median = percentile(seconds, 0.5)
    if decisions < _FEW or median is None:
        return []
    found = []
    if median < _HASTY_MEDIAN:
        found.append(phrase("median %(seconds)s s", seconds=median))
    if hasty(seconds) >= _HASTY_SHARE * decisions:
        part = hasty(seconds)
        found.append(phrase("%(part)s of %(all)s in under 5 s", part=part, all=decisions))
    if found and not rejected:
        found.append(phrase("nothing rejected"))
    return found


def change_words(now: int, before: int, days: int) -> Phrase:
    """Return how a number compares with the same number of days before: "8 % more than …"."""
    if not before:
        return phrase("none in the %(days)s days before", days=days)
    percent = round(100 * (now - before) / before)
    if not percent:
        return phrase("as many as in the %(days)s days before", days=days)
    share = f"{abs(percent):,} %"
    if percent > 0:
        return phrase("%(share)s more than in the %(days)s days before", share=share, days=days)
    return phrase("%(share)s fewer than in the %(days)s days before", share=share, days=days)


def peak(values: Sequence[int]) -> int:
    """Return where the largest value is, the first of equals."""
    return max(range(len(values)), key=lambda place: values[place])
