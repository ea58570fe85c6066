"""A database's clock that a test sets, so that calls can be a day apart."""

import sys
from datetime import UTC, datetime, timedelta

import pytest

_TICK = timedelta(milliseconds=1)


class Clock:
    """Says its own time wherever the product asks the database; each question takes a bit of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Take the database's place, a few weeks ago."""
        self.now = datetime(2026, 3, 20, 9, 30, 0, 1, tzinfo=UTC)
        for name, module in list(sys.modules.items()):
            if name.partition(".")[0] in ("approvals", "mcp_bridge") and hasattr(
                module, "database_now"
            ):
                monkeypatch.setattr(module, "database_now", self.tell)

    def tell(self) -> datetime:
        """Return the time."""
        self.now += _TICK
        return self.now

    def pass_by(self, span: timedelta) -> None:
        """Let some time pass."""
        self.now += span
