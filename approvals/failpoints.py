"""Places at which tests make a process break, by name; pure, and nothing breaks unless armed.

`config` arms them with COUNTERSIGN_FAILPOINTS, such as `after-claim=kill,audit-insert=raise@3`: the
second breaks when it is passed for the third time. Each breaks once.
"""

import os
import signal
import threading
from dataclasses import dataclass

POINTS = frozenset({
    "after-claim",  # the claim is committed
    "connect",  # the upstream can be talked to; nothing of the call has left
    "dispatch-commit",  # the dispatch is committed; nothing has left
    "first-byte",  # over HTTP the headers have left; to a child process nothing has
    "last-byte",  # all of it has left
    "answer-read",  # the answer, or that there is none, has come
    "finish-commit",  # the outcome is committed
    "audit-insert",  # an event is written, and not committed
    "outbox",  # a move is committed, and nobody was told
})  # fmt: skip


FAULTS = frozenset({
    "raise",  # an error that nobody foresaw
    "kill",  # SIGKILL to this process
    "hang",  # the thread stands still until something else is armed
})  # fmt: skip


class Failed(RuntimeError):
    """The fault `raise`."""


@dataclass
class _Armed:
    fault: str
    left: int  # how often it is still passed without a fault, and once more


_armed: dict[str, _Armed] = {}
_lock = threading.Lock()
_go_on = threading.Event()


def arm(wanted: str) -> None:
    """Break at these points and at no others; what hangs goes on.

    Args:
        wanted: `point=fault` or `point=fault@times`, with commas; empty for none.

    Raises:
        ValueError: there is no such point or fault; the message says which there are.
    """
    global _go_on  # noqa: PLW0603 - one event for those that hang now, another for the next
    armed = dict(_parsed(one.strip()) for one in wanted.split(",") if one.strip())
    with _lock:
        _armed.clear()
        _armed.update(armed)
        _go_on.set()
        _go_on = threading.Event()


def left() -> frozenset[str]:
    """Return the armed points at which nothing broke yet."""
    return frozenset(_armed)


def hit(point: str) -> None:
    """Pass a point: break there when it is armed.

    Raises:
        Failed: as it was armed to.
    """
    if point in _armed:
        _pass(point)


def _pass(point: str) -> None:
    with _lock:
        armed, go_on = _armed.get(point), _go_on
        if armed is None:
            return
        armed.left -= 1
        if armed.left:
            return
        del _armed[point]
    if armed.fault == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if armed.fault == "hang":
        go_on.wait()
    else:
        raise Failed(f"failpoint {point}")


def _parsed(one: str) -> tuple[str, _Armed]:
    point, _, fault = one.partition("=")
    fault, _, times = fault.partition("@")
    count = int(times) if times.isdecimal() else 0 if times else 1
    if point not in POINTS or fault not in FAULTS or not count:
        raise ValueError(
            f"{one!r} is no failpoint: it must be POINT=FAULT or POINT=FAULT@TIMES, with one of"
            f" {', '.join(sorted(POINTS))}, and one of {', '.join(sorted(FAULTS))}."
        )
    return point, _Armed(fault, count)
