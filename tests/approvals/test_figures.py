"""The figures behind charts: percentiles, buckets, spans of days and steps of a scale."""

import random
from collections import Counter
from datetime import date, timedelta

import pytest

from approvals import figures
from approvals.web.days import span_words

DAY = date(2026, 11, 20)


def test_a_percentile_is_the_value_that_enough_lie_at_or_below():
    chance = random.Random(3)
    for _ in range(200):
        values = sorted(chance.choices(range(50), k=chance.randint(1, 40)))
        share = chance.choice((0.1, 0.5, 0.9, 1.0))

        found = figures.percentile(Counter(values), share)

        assert found in values
        assert sum(value <= found for value in values) >= share * len(values)
        assert sum(value < found for value in values) < share * len(values)


def test_nothing_has_no_percentile_and_no_share():
    assert figures.percentile({}, 0.5) is None
    assert figures.share(0, 0) is None


def test_every_value_lies_in_one_bucket_and_its_lower_end_belongs_to_it():
    counts = figures.buckets({0: 1, 4: 2, 5: 4, 59: 8, 60: 16, 1799: 32, 1800: 64, 10**6: 128})

    assert counts == [3, 4, 0, 8, 16, 0, 0, 32, 192]
    assert len(figures.BUCKET_WORDS) == len(counts) == len(figures.EDGE_WORDS) + 1
    assert figures.hasty({4: 1, 5: 1}) == 1


@pytest.mark.parametrize("days", [1, 2, 30, 31, 32, 90, 217, 218, 1000, 5000])
def test_spans_cover_every_day_once_and_are_few(days):
    first = DAY - timedelta(days=days - 1)
    spans = figures.spans(first, DAY)

    covered = [
        span.first + timedelta(days=n)
        for span in spans
        for n in range((span.last - span.first).days + 1)
    ]

    assert covered == [first + timedelta(days=n) for n in range(days)]
    assert len(spans) <= figures.MOST_SPANS


@pytest.mark.parametrize(
    ("first", "last", "words"),
    [
        (DAY, DAY, "20 Nov"),
        (date(2026, 11, 16), DAY, "16 to 20 Nov"),
        (date(2026, 10, 26), date(2026, 11, 1), "26 Oct to 1 Nov"),
        (date(2025, 11, 1), date(2026, 11, 2), "1 Nov to 2 Nov"),
    ],
)
def test_a_span_reads_as_people_write_it(first, last, words):
    assert span_words(figures.Span(first, last)) == words


@pytest.mark.parametrize("most", [0, 1, 2, 3, 7, 12, 59, 60, 61, 149, 151, 999, 1000, 48211, 10**7])
def test_a_scale_has_few_steps_and_begins_at_nothing(most):
    steps = figures.ticks(most)

    assert steps[0] == 0
    assert 2 <= len(steps) <= 5
    assert most == 0 or steps[-1] >= most / 2


def test_signs_need_enough_decisions_and_something_to_see():
    assert figures.signs({3: 9}, 0) == []
    assert figures.signs({60: 20}, 0) == []
    assert figures.signs({14: 100}, 0) == ["median 14 s", "nothing rejected"]
    assert figures.signs({3: 5, 60: 15}, 2) == ["5 of 20 in under 5 s"]


@pytest.mark.parametrize(
    ("now", "before", "words"),
    [
        (108, 100, "8 % more than in the 30 days before"),
        (50, 100, "50 % fewer than in the 30 days before"),
        (100, 100, "as many as in the 30 days before"),
        (3, 0, "none in the 30 days before"),
    ],
)
def test_a_change_is_told_in_words(now, before, words):
    assert figures.change_words(now, before, 30) == words
