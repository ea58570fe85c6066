"""Pure: spans of time in words, for pages and notices; what is left is never overstated."""

from datetime import timedelta

from approvals.phrases import Phrase, phrase


def duration(span: timedelta) -> Phrase:
    """Return a span in its two largest units: "4 min 12 s", "2 h 05 min"; "0 s" when it is over."""
    seconds = max(0, int(span.total_seconds()))
    if seconds < 60:
        return phrase("%(seconds)s s", seconds=seconds)
    if seconds < 3600:
        return _minutes(*divmod(seconds, 60))
    if seconds < 86400:
        return _hours(*divmod(seconds // 60, 60))
    return _days(*divmod(seconds // 3600, 24))


def clock_left(span: timedelta) -> str:
    """Return what stands inside a ring: "4:12" under five minutes, then "7m", "3h", "2d"."""
    seconds = max(0, int(span.total_seconds()))
    if seconds < 300:
        return f"{seconds // 60}:{seconds % 60:02d}"
    if seconds >= 86400:
        return phrase("%(days)sd", days=seconds // 86400)
    if seconds >= 3600:
        return phrase("%(hours)sh", hours=seconds // 3600)
    return phrase("%(minutes)sm", minutes=seconds // 60)


def _minutes(minutes: int, seconds: int) -> Phrase:
    if seconds:
        return phrase("%(minutes)s min %(seconds)s s", minutes=minutes, seconds=f"{seconds:02d}")
    return phrase("%(minutes)s min", minutes=minutes)


def _hours(hours: int, minutes: int) -> Phrase:
    if minutes:
        return phrase("%(hours)s h %(minutes)s min", hours=hours, minutes=f"{minutes:02d}")
    return phrase("%(hours)s h", hours=hours)


def _days(days: int, hours: int) -> Phrase:
    if hours:
        return phrase("%(days)s d %(hours)s h", days=days, hours=f"{hours:02d}")
    return phrase("%(days)s d", days=days)
