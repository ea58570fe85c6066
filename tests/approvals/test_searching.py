"""The row by which the history finds a call, and the words it is found by."""

from importlib import import_module

import pytest

from approvals import searching
from approvals.models import HistoryRow, ToolCall
from tests.support.history import unfold


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("  Refund  CUS_8241 ", ["refund", "cus_8241"]),
        ("93c9 3086 df7f 16", ["93c93086df7f16"]),  # a digest as pages show it
        ("add face", ["add", "face"]),  # words, though of no other letters
        ("in 2201", ["in", "2201"]),
        ("ab" * 32, ["ab" * 10]),
        ("\0", []),
        ("", []),
    ],
)
def test_a_search_is_its_words_and_a_digest_is_one(query, words):
    assert searching.words_of(query) == words


def test_a_call_from_before_the_table_gets_the_row_it_would_have_had(world, settings):
    settings.SETTLE_QUARANTINE_SECONDS = 0
    unfold(world)
    row_of = import_module("approvals.migrations.0003_history").row_of

    for call in ToolCall.objects.all():
        assert row_of(call) == HistoryRow.objects.filter(pk=call.pk).values().get()
