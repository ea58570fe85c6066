"""Pure: numbers of calls as their tool's template writes them; only `comparing` calls it.

The unit comes from the template and is never guessed. Without one, of an argument that it does not
write as money, and where the calls that are compared are not all of one currency, every number is
written as it was sent.
"""

from collections.abc import Callable, Mapping, Sequence

from approvals.errors import InvalidInput
from approvals.wording import templates
from approvals.wording.money import DIGITS, amount

_Arguments = Mapping[str, object]


def field_of(template: str, keys: Sequence[str | int]) -> templates.Field | None:
    """Return the field of a template that filters the value with these keys, if one does."""
    try:
        fields = templates.parse(template).fields if template else ()
    except InvalidInput:
        return None
    return next((field for field in fields if field.filter and field.path == tuple(keys)), None)


def writer(
    field: templates.Field | None, calls: Sequence[_Arguments], sent: Sequence[float]
) -> Callable[[float], str]:
    """Return what writes the numbers of one line, all of them in the same way.

    Args:
        calls: all that are compared.
        sent: numbers of theirs that the line tells; a median may lie between two, and is rounded.
    """
    if field is None or field.filter != "money":
        return digits
    having = [call for call in calls if isinstance(templates.value_of(field, call), int | float)]
    codes = {templates.currency_of(field, call) for call in having}
    code = codes.pop() if len(codes) == 1 else None
    is_minor = field.options[1] == "minor"
    if code not in DIGITS or not all(amount(one, code, is_minor=is_minor) for one in sent):
        return digits
    places = 0 if is_minor else DIGITS[code]
    return lambda number: amount(round(number, places), code, is_minor=is_minor) or digits(number)


def digits(number: float) -> str:
    """Return a number as it was sent."""
    return str(int(number)) if number == int(number) else repr(round(number, 6))
