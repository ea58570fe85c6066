"""Story: many at once. The benchmarks' crowds, a few people tall: what they see, not how fast."""

import asyncio
from pathlib import Path

import pytest

from benchmarks import crowds, places, restarting, returning
from benchmarks.goals import POSTGRES, SQLITE

HELD, PAGES, PENDING, APPROVED = 12, 6, 3, 9


@pytest.fixture
def place(database: str) -> str:
    """Return what the benchmarks call the database."""
    return {"sqlite": SQLITE, "postgres": POSTGRES}[database]


def test_everybody_who_is_held_at_once_hears_the_decision(place: str, tmp_path: Path):
    with places.installed(tmp_path / "held", place, grace_seconds=600) as installation:
        crowd = asyncio.run(crowds.hold_many(installation, HELD))

    assert (crowd.answered, crowd.tickets) == (HELD, 0)


def test_pages_that_a_restart_cut_off_show_what_is_true_again(place: str, tmp_path: Path):
    with places.prepared(tmp_path / "pages", place, {"grace_seconds": 1}) as installation:
        cookies = returning.sign_in(installation, 1)
        with installation.running():
            # It fails when one of them does not come to show a call that is held meanwhile.
            took, _ = asyncio.run(returning.reconverge(installation, cookies, PAGES))

    assert len(took) == PAGES


def test_a_backlog_is_worked_off_in_the_order_of_its_approvals(place: str, tmp_path: Path):
    populated = {"agents": dict.fromkeys(restarting.AGENTS, 1)}
    one = {"RELEASES_PER_UPSTREAM": "1"}  # so that no dispatch can pass another
    with places.prepared(tmp_path / "backlog", place, populated, **one) as installation:
        restarting.fill(installation, PENDING, APPROVED)
        installation.start()
        restarting.drain(installation, APPROVED)
        found = restarting.order(installation)
        states = [status for (status,) in installation.stored("toolcall", "status")]

    assert (found.claims, found.claimed_late, set(found.displaced)) == (APPROVED, 0, {0})
    assert sorted(states) == ["pending"] * PENDING + ["succeeded"] * APPROVED
