"""What conditions call `history`, counted while calls go by, against the same from all of them."""

import math
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from approvals.policy import windows
from approvals.policy.windows import LONGEST, SPANS, Windows

BEGIN = datetime(2026, 3, 29, tzinfo=UTC)
WANTED = (("calls_hour",), ("calls_day",), ("sum_hour", "n"), ("sum_day", "n"))
MINUTES = st.integers(0, 3_000)
VALUES = st.one_of(
    st.integers(-(2**53) + 1, 2**53 - 1),
    st.floats(allow_nan=False, allow_infinity=False, min_value=-1e300, max_value=1e300),
    st.sampled_from([None, "5", True, 0.1, -0.0, 5e-324, 1e16]),
)


@given(st.lists(st.tuples(MINUTES, VALUES), max_size=60))
def test_it_says_of_each_call_what_all_calls_before_it_say(calls: list[tuple[int, object]]) -> None:
    calls = sorted(calls, key=lambda call: call[0])
    counted = Windows(WANTED)
    for minute, value in calls:
        at = BEGIN + timedelta(minutes=minute)
        found = counted.before(at).counts
        for keys in WANTED:
            span = SPANS[keys[0].partition("_")[2]]
            values = [
                other for earlier, other in calls
                if at - span <= BEGIN + timedelta(minutes=earlier) < at
            ]  # fmt: skip
            wanted = len(values) if len(keys) == 1 else summed(values)
            assert (keys, type(found[keys]), found[keys]) == (keys, type(wanted), wanted)
        counted.add(at, lambda value=value: {"n": value})  # type: ignore[misc]  # of this round


def summed(values: list[object]) -> int | float:
    numbers = [value for value in values if type(value) in (int, float)]
    is_whole = all(type(value) is int for value in numbers)
    return sum(numbers) if is_whole else math.fsum(numbers)  # type: ignore[arg-type]


def test_beyond_as_many_calls_as_rows_would_be_added_up_there_is_no_sum() -> None:
    counted = Windows(WANTED)
    for number in range(windows.MOST_SUMMED + 1):
        counted.add(BEGIN + timedelta(seconds=number), lambda: {"n": 1})

    found = counted.before(BEGIN + LONGEST).counts
    assert found[("calls_day",)] == windows.MOST_SUMMED + 1
    assert ("sum_day", "n") not in found
    assert counted.before(BEGIN + LONGEST + timedelta(seconds=1)).counts[("sum_day", "n")] == 10_000
