"""The words of conditions: what they may name and call, and what kind of value each is."""

from typing import Final

NUMBER, TEXT, BOOLEAN, LIST = "a number", "a text", "true or false", "a list"
TIME, SPAN = "a time", "a duration"

# Names a condition may use beside `args` and `history`, and what each is.
KINDS: Final = {
    "tool": TEXT, "effect": TEXT, "domain": TEXT, "agent": TEXT, "acts_for": TEXT, "now": TIME,
}  # fmt: skip
NAMES: Final = frozenset({"args", "history", *KINDS})
# By name: what it gives, how many values it takes (what it is called on is one), of what kind.
FUNCTIONS: Final = {
    "size": (NUMBER, 1, ""),
    "int": (NUMBER, 1, ""),
    "double": (NUMBER, 1, ""),
    "string": (TEXT, 1, ""),
    "timestamp": (TIME, 1, TEXT),
    "duration": (SPAN, 1, TEXT),
    "contains": (BOOLEAN, 2, TEXT),
    "startsWith": (BOOLEAN, 2, TEXT),
    "endsWith": (BOOLEAN, 2, TEXT),
} | {
    f"get{part}": (NUMBER, 1, "")
    for part in (
        "FullYear", "Month", "Date", "DayOfMonth", "DayOfWeek", "DayOfYear", "Hours", "Minutes",
        "Seconds",
    )
}  # fmt: skip
FREE = frozenset({"size", "int", "double", "string", "timestamp", "duration"})
METHODS = frozenset(FUNCTIONS.keys() - FREE) | {"size"}
COUNTS = frozenset({"calls_hour", "calls_day"})
SUMS = frozenset({"sum_hour", "sum_day"})
COMPARED = frozenset({"<", "<=", ">", ">=", "==", "!="})
