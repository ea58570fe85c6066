"""Pure: spans of time in words, for pages and notices; what is left is never overstated."""

from datetime import timedelta


def duration(span: timedelta) -> str:
    """Return a span in its two largest units: "4 min 12 s", "2 h 05 min"; "0 s" when it is over."""
    seconds = max(0, int(span.total_seconds()))
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return _two(seconds // 60, "min", seconds % 60, "s")
    if seconds < 86400:
        return _two(seconds // 3600, "h", seconds % 3600 // 60, "min")
    return _two(seconds // 86400, "d", seconds % 86400 // 3600, "h")


def clock_left(span: timedelta) -> str:
    """Return what stands inside a ring: "4:12" under five minutes, then "7m", "3h", "2d"."""
    seconds = max(0, int(span.total_seconds()))
    if seconds < 300:
        return f"{seconds // 60}:{seconds % 60:02d}"
    for size, unit in ((86400, "d"), (3600, "h")):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds // 60}m"


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large} {large_unit} {small:02d} {small_unit}" if small else f"{large} {large_unit}"
