"""Budgets of allow rules: what one is, what a call takes of it, and from when to when it counts.

    {"per": "agent", "window": "day", "limit": 50000,
     "field": "amount", "unit": "USD:minor", "unit_field": "currency"}

lets each agent have $500.00 a day. Without `field`, calls are counted. Amounts are kept and
compared as whole ten-thousandths, so that no sum of them is rounded.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal

from approvals.phrases import Phrase, phrase, phrases
from approvals.wording.money import DIGITS, amount

SCALE = 10_000  # an amount of 1 is kept as so many
MAX_LIMIT = 10**12  # the sum of what is admitted under it then fits an 8-byte column many times
PER = ("agent", "tool", "domain")
WINDOWS = ("hour", "day")

_NAME = r"[A-Za-z_][A-Za-z0-9_-]*"
_PATH = re.compile(rf"{_NAME}(\.{_NAME})*")
_WORD = re.compile(r"[^\W\d_][\w -]{0,30}")
_MONEY = re.compile(r"([A-Z]{3}):(minor|major)")
# No span is longer, however the clocks are changed within it.
_LONGEST = {"hour": timedelta(minutes=61), "day": timedelta(hours=26)}

_Arguments = Mapping[str, object]


@dataclass(frozen=True)
class Budget:
    """How much an allow rule lets through by itself, for whom and in what time.

    Attributes:
        limit: calls, or what the field counts; at most four digits after the point.
        field: path of the argument that is added up, such as "order.amount"; empty: calls are.
        unit: "USD:minor" (cents), "USD:major" (dollars), or a word such as "rows".
        unit_field: path of the argument that says in which unit a call counts; empty where all do
            in the same.
    """

    per: str
    window: str
    limit: int | float
    field: str = ""
    unit: str = ""
    unit_field: str = ""

    def as_dict(self) -> dict[str, object]:
        """Return its fields as JSON has them, without those that say nothing."""
        return {key: value for key, value in asdict(self).items() if value != ""}

    @property
    def counts(self) -> str:
        """Return what is added up; only like is added to like."""
        return f"{self.field} {self.unit}".strip()

    @property
    def most(self) -> int:
        """Return the limit in ten-thousandths."""
        return _scaled(self.limit) or 0

    @property
    def code(self) -> str:
        """Return what a call's own unit must read."""
        return self.unit.partition(":")[0]


class CannotCount(Exception):
    """What a call takes of a budget cannot be told; `why` is a phrase."""

    def __init__(self, why: Phrase) -> None:
        super().__init__(why)
        self.why = why


def needs(budget: Budget, arguments: _Arguments) -> int:
    """Return what a call takes of a budget, in ten-thousandths.

    Raises:
        CannotCount: it has no such number, or counts in another unit.
    """
    if not budget.field:
        return SCALE
    value = _value(budget.field, arguments)
    if value is None:
        raise CannotCount(phrase("the call has no %(field)s", field=budget.field))
    found = _scaled(value)
    if found is None or not 0 <= found <= MAX_LIMIT * SCALE:
        raise CannotCount(phrase("%(field)s is no number that can be counted", field=budget.field))
    if budget.unit_field:
        unit = _value(budget.unit_field, arguments)
        # Not str.upper alone: "ſ" would become an S.
        if not (isinstance(unit, str) and unit.isascii() and unit.upper() == budget.code.upper()):
            raise CannotCount(
                phrase("%(field)s is not %(unit)s", field=budget.unit_field, unit=budget.code)
            )
    return found


def span(window: str, at: datetime, zone: tzinfo) -> tuple[datetime, datetime]:
    """Return from when (included) to when (excluded) the hour or day lasts that `at` falls in, UTC.

    It is the one that clocks of the zone show: the day on which they go forward has 23 hours, and
    an hour that they show twice is two.
    """

    def shown(moment: datetime) -> tuple[object, ...]:
        local = moment.astimezone(zone)
        return (local.date(), local.hour, local.fold) if window == "hour" else (local.date(),)

    at = at.astimezone(UTC)
    mine, second = shown(at), at.replace(microsecond=0)
    longest = _LONGEST[window]
    starts = _first(second - longest, second, lambda moment: shown(moment) == mine)
    ends = _first(second, second + longest, lambda moment: shown(moment) != mine)
    return starts, ends


def _first(low: datetime, high: datetime, test: Callable[[datetime], bool]) -> datetime:
    """Return the first whole second after `low` that passes a test which all later ones pass."""
    while high - low > timedelta(seconds=1):
        middle = low + timedelta(seconds=(high - low) // timedelta(seconds=2))
        low, high = (low, middle) if test(middle) else (middle, high)
    return high


def account(budget: Budget, *, agent: str, tool: str, domain: str) -> str:
    """Return whose calls are added up: "agent support"."""
    whose = {"agent": agent, "tool": tool, "domain": domain}[budget.per]
    return f"{budget.per} {whose}"


# -- words ---------------------------------------------------------------------------------------

_SPANS = {
    ("agent", "hour"): phrase("an hour for each agent"),
    ("agent", "day"): phrase("a day for each agent"),
    ("tool", "hour"): phrase("an hour for each tool"),
    ("tool", "day"): phrase("a day for each tool"),
    ("domain", "hour"): phrase("an hour for each domain"),
    ("domain", "day"): phrase("a day for each domain"),
}
_A_WINDOW = {"hour": phrase("an hour"), "day": phrase("a day")}


def in_words(budget: Budget) -> Phrase:
    """Return a budget in words: "$500.00 a day for each agent"."""
    each = _SPANS[(budget.per, budget.window)]
    return phrase("%(amount)s %(each)s", amount=written(budget, budget.most), each=each)


def written(budget: Budget, scaled: int) -> str:
    """Return an amount as people read it: "$20.00", "20 rows", "3 calls"."""
    number = _plain(scaled)
    if not budget.field:
        return phrases("%(number)s call", "%(number)s calls", int(number), number=f"{number:,}")
    if money := _MONEY.fullmatch(budget.unit):
        told = amount(number, money[1], is_minor=money[2] == "minor")
        return told or f"{money[1]} {number:,} ({money[2]})"
    return f"{number:,} {budget.unit}"


def too_little(rule: str, budget: Budget, whose: str, *, spent: int, needed: int) -> Phrase:
    """Return why a call is held: the budget has less left than it needs."""
    return phrase(
        "The budget of rule “%(rule)s”, %(most)s %(window)s for %(account)s, has %(left)s left;"
        " this call needs %(needed)s.",
        rule=rule, most=written(budget, budget.most), window=_A_WINDOW[budget.window],
        account=whose, left=written(budget, max(0, budget.most - spent)),
        needed=written(budget, needed),
    )  # fmt: skip


def uncountable(rule: str, why: Phrase) -> Phrase:
    """Return why a call is held whose part of the budget nobody can tell."""
    return phrase("Rule “%(rule)s” has a budget, and %(why)s.", rule=rule, why=why)


# -- reading -------------------------------------------------------------------------------------


def problems(value: object) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield each place within a budget that is wrong, and what is wrong there."""
    if not isinstance(value, dict):
        yield (), 'must be an object, such as {"per": "agent", "window": "day", "limit": 20}'
        return
    for key in value:
        if key not in _TESTS:
            yield (str(key),), "unknown key"
    for key in ("per", "window", "limit"):
        if key not in value:
            yield (key,), "is required"
    for key, test in _TESTS.items():
        if key in value and not test.is_met(value[key]):
            yield (key,), f"must be {test.words}"
    yield from _together(value)


def _together(value: Mapping[str, object]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield what is right by itself, and wrong beside the rest."""
    if "field" in value and "unit" not in value:
        yield ("unit",), "is required: what does the field count?"
    for key, other in (("unit", "field"), ("unit_field", "unit")):
        if key in value and other not in value:
            yield (key,), f"means nothing without {other}"
    limit, unit = value.get("limit"), str(value.get("unit", ":minor"))
    if isinstance(limit, float) and not limit.is_integer() and unit.endswith(":minor"):
        yield ("limit",), "must be a whole number: there is nothing smaller to count"


@dataclass(frozen=True)
class _Test:
    is_met: Callable[[object], bool]
    words: str


def _is_limit(value: object) -> bool:
    scaled = _scaled(value)
    return scaled is not None and 0 < scaled <= MAX_LIMIT * SCALE


def _is_unit(value: object) -> bool:
    if not isinstance(value, str):
        return False
    money = _MONEY.fullmatch(value)
    return money[1] in DIGITS if money else _WORD.fullmatch(value) is not None


def _is_path(value: object) -> bool:
    return isinstance(value, str) and len(value) <= 200 and _PATH.fullmatch(value) is not None


_PATH_WORDS = "the name of an argument, such as amount or order.amount"
_TESTS = {
    "per": _Test(lambda value: value in PER, f"one of {', '.join(PER)}"),
    "window": _Test(lambda value: value in WINDOWS, f"one of {', '.join(WINDOWS)}"),
    "limit": _Test(_is_limit, "a number above 0, at most 10^12, with at most four decimals"),
    "field": _Test(_is_path, _PATH_WORDS),
    "unit": _Test(
        _is_unit, "USD:minor, USD:major (a currency of ISO 4217), or a word such as rows"
    ),
    "unit_field": _Test(_is_path, _PATH_WORDS),
}


# -- numbers -------------------------------------------------------------------------------------


def _scaled(value: object) -> int | None:
    """Return a JSON number in ten-thousandths; None where it is none, or is not exactly so many."""
    if type(value) is int:
        return value * SCALE if abs(value) <= MAX_LIMIT else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not math.isfinite(value) or abs(value) > MAX_LIMIT:
        return None
    # As it is written in JSON: the shortest decimal that stands for the number.
    exact = Decimal(repr(value)) * SCALE
    return int(exact) if exact == exact.to_integral_value() else None


def _plain(scaled: int) -> int | float:
    whole, rest = divmod(scaled, SCALE)
    return whole if not rest else float(Decimal(scaled) / SCALE)


def _value(path: str, arguments: _Arguments) -> object:
    value: object = arguments
    for step in path.split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    return value
