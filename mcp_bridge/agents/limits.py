"""How often somebody may ask: a token bucket per agent or key, kept in this process."""

import time
from collections.abc import Callable

_AT_MOST_KEPT = 10_000


class Buckets:
    """One token bucket per name; a full bucket is forgotten, so idle names cost nothing."""

    def __init__(
        self, per_second: float, burst: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Prepare the buckets.

        Args:
            per_second: tokens that flow in; 0 means without limit.
            burst: how many a bucket holds.
        """
        self._per_second = per_second
        self._burst = max(burst, 1.0)
        self._clock = clock
        self._levels: dict[object, tuple[float, float]] = {}

    def take(self, name: object) -> float:
        """Take one token; return 0, or after how many seconds there would be one."""
        if self._per_second <= 0:
            return 0.0
        now = self._clock()
        level, at = self._levels.get(name, (self._burst, now))
        level = min(self._burst, level + (now - at) * self._per_second)
        if level < 1:
            return (1 - level) / self._per_second
        self._levels[name] = (level - 1, now)
        if len(self._levels) > _AT_MOST_KEPT:
            self._forget_full(now)
        return 0.0

    def _forget_full(self, now: float) -> None:
        refill = self._burst / self._per_second
        self._levels = {name: kept for name, kept in self._levels.items() if now - kept[1] < refill}
