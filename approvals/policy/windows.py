"""What conditions call `history`, counted while past calls go by in the order they were asked.

The same as `approvals.counting` finds in rows, at a cost that does not grow with the calls before.
"""

from collections import deque
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta

from approvals.policy.rules import History

SPANS = {"hour": timedelta(hours=1), "day": timedelta(days=1)}
LONGEST = max(SPANS.values())
MOST_SUMMED = 10_000  # calls whose arguments are added up; beyond it nobody can say
_SMALLEST = 1_074  # every double is a whole multiple of two to the power of minus this

Keys = tuple[str, ...]
_Arguments = Callable[[], Mapping[str, object]]


class Windows:
    """The calls of one agent to one tool, as long as a condition may count them."""

    def __init__(self, wanted: Collection[Keys]) -> None:
        """Begin to count.

        Args:
            wanted: ("calls_hour",), ("sum_day", "amount"), …
        """
        self._windows = {keys: _Window(SPANS[keys[0].partition("_")[2]]) for keys in wanted}
        # What was asked in the very moment of another call is not before it.
        self._waiting: list[tuple[datetime, dict[Keys, int | float | None]]] = []

    def add(self, at: datetime, arguments: _Arguments) -> None:
        """Note a call; no earlier one comes after it."""
        values: dict[Keys, int | float | None] = {}
        for keys in self._windows:
            values[keys] = _number(arguments().get(keys[1])) if len(keys) > 1 else None
        self._waiting.append((at, values))

    def before(self, at: datetime) -> History:
        """Return what was asked before a moment; what cannot be added up is left out."""
        while self._waiting and self._waiting[0][0] < at:
            asked_at, values = self._waiting.pop(0)
            for keys, value in values.items():
                self._windows[keys].add(asked_at, value)
        counts: dict[Keys, int | float] = {}
        for keys, window in self._windows.items():
            window.forget_before(at)
            if len(keys) == 1:
                counts[keys] = window.calls
            elif window.calls <= MOST_SUMMED:
                counts[keys] = window.sum
        return History(counts)


class _Window:
    """One count or sum over a span of time."""

    def __init__(self, span: timedelta) -> None:
        self._span = span
        self._calls: deque[tuple[datetime, int | float | None]] = deque()
        self._whole = 0  # sum of the whole numbers
        self._exact = 0  # sum of the doubles, times two to the power of _SMALLEST
        self._doubles = 0  # how many there are

    @property
    def calls(self) -> int:
        return len(self._calls)

    @property
    def sum(self) -> int | float:
        if not self._doubles:
            return self._whole
        # As `math.fsum` has it: the exact sum, rounded once. No whole number is beyond a double.
        return (self._exact + (self._whole << _SMALLEST)) / (1 << _SMALLEST)

    def add(self, at: datetime, value: int | float | None) -> None:
        self.forget_before(at)
        self._calls.append((at, value))
        self._count(value, 1)

    def forget_before(self, at: datetime) -> None:
        since = at - self._span
        while self._calls and self._calls[0][0] < since:
            self._count(self._calls.popleft()[1], -1)

    def _count(self, value: int | float | None, sign: int) -> None:
        if value is None:
            return
        if isinstance(value, int):
            self._whole += sign * value
            return
        self._doubles += sign
        over, under = value.as_integer_ratio()
        self._exact += sign * (over << (_SMALLEST - under.bit_length() + 1))


def _number(value: object) -> int | float | None:
    return value if type(value) in (int, float) else None  # type: ignore[return-value]  # it is one
