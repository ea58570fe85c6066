"""Stops claiming for an upstream that keeps failing: calls stay approved, and none is failed by it.

Without it each approved call is claimed, tried and given back, with two events a round, and those
that reach an upstream which no longer answers become unknown one after the other.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_PAUSES = (5.0, 10.0, 20.0, 40.0, 60.0)  # seconds; longer after each probe that failed


@dataclass
class Trial:
    """One claim; whoever carries it out says how the upstream took it, or nothing."""

    ended_well: bool | None = None


class Breaker:
    """One upstream's, in one process; used on one event loop."""

    def __init__(self, failures: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin closed: claiming.

        Args:
            failures: in a row, after which it opens; 0: never.
        """
        self._most = failures
        self._clock = clock
        self._failed = 0
        self._pauses = 0
        self._until = 0.0
        self._is_probing = False

    @property
    def is_open(self) -> bool:
        """Return whether it keeps calls from being claimed, but for a probe after each pause."""
        return 0 < self._most <= self._failed

    @property
    def pause_seconds(self) -> float:
        """Return in how many seconds the next probe may be made."""
        return max(0.0, self._until - self._clock()) if self.is_open else 0.0

    def may_claim(self) -> bool:
        """Return whether a call may be claimed now."""
        return not self.is_open or (not self._is_probing and self.pause_seconds == 0)

    @contextmanager
    def trial(self) -> Iterator[Trial | None]:
        """Yield what a claim is judged by; None while nothing may be claimed."""
        if not self.may_claim():
            yield None
            return
        is_probe = self._is_probing = self.is_open
        trial = Trial()
        try:
            yield trial
        finally:
            if is_probe:
                self._is_probing = False
            self._judge(trial, is_probe)

    def _judge(self, trial: Trial, is_probe: bool) -> None:
        if trial.ended_well is None:
            return
        if trial.ended_well:
            self._failed = self._pauses = 0
            return
        was_open = self.is_open
        self._failed += 1
        # Those under way when it opened say nothing new.
        if self.is_open and (is_probe or not was_open):
            self._until = self._clock() + _PAUSES[min(self._pauses, len(_PAUSES) - 1)]
            self._pauses += 1
