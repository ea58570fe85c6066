"""Pure: holds arguments to a tool's input schema; used here and in the process of slow checks.

Knows no Django, so that the other process starts fast and holds nothing worth taking.
"""

from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema.protocols import Validator
from jsonschema.validators import validator_for
from jsonschema_specifications import REGISTRY  # type: ignore[import-untyped]  # has no stubs

from approvals.canonical import path_of

MAX_PROBLEMS = 20
_MAX_MESSAGE = 300

# A pattern may backtrack for hours, a reference may multiply, and uniqueItems compares everything
# with everything. Schemas with any of these are checked where a time limit can be kept.
_UNBOUNDED = frozenset(
    {"pattern", "patternProperties", "uniqueItems", "$ref", "$dynamicRef", "$recursiveRef"}
)

Problems = list[dict[str, str]]


class Unusable(Exception):
    """Nothing can be held to this schema; the message says why."""


def compiled(schema: Mapping[str, Any]) -> Validator:
    """Return a validator that looks nothing up outside the schema.

    Raises:
        Unusable: it is not a JSON Schema.
    """
    kind = validator_for(schema, default=Draft202012Validator)
    try:
        kind.check_schema(dict(schema))
    except SchemaError as error:
        raise Unusable(f"it is not a JSON Schema: {error.message[:_MAX_MESSAGE]}") from None
    # The default registry would fetch a remote $ref; this one knows the specifications only.
    return kind(schema, registry=REGISTRY)


def problems(validator: Validator, arguments: Mapping[str, Any]) -> Problems:
    """Return {"path", "message"} per schema error, by path; at most MAX_PROBLEMS.

    Raises:
        Unusable: the schema cannot be evaluated, for example because of a remote `$ref`.
    """
    found: list[ValidationError] = []
    try:
        for error in validator.iter_errors(arguments):
            found.append(error)
            if len(found) == MAX_PROBLEMS:
                break
    except RecursionError:
        raise Unusable("it refers to itself without end") from None
    except Exception as error:  # noqa: BLE001 - a bad pattern, an unresolvable reference, …
        raise Unusable(str(error)[:_MAX_MESSAGE]) from None
    told = [{"path": path_of(error.absolute_path), "message": _message(error)} for error in found]
    return sorted(told, key=lambda problem: problem["path"])


def is_bounded(schema: object) -> bool:
    """Return whether checking takes time in proportion to the arguments, whatever they are."""
    if isinstance(schema, dict):
        return not (schema.keys() & _UNBOUNDED) and all(map(is_bounded, schema.values()))
    return not isinstance(schema, list) or all(map(is_bounded, schema))


def weight(schema: object) -> int:
    """Return how many parts a schema has."""
    if isinstance(schema, dict):
        return 1 + sum(map(weight, schema.values()))
    return 1 + sum(map(weight, schema)) if isinstance(schema, list) else 1


def _message(error: ValidationError) -> str:
    # The library quotes the whole value, which the agent knows already.
    text = error.message
    return text if len(text) <= _MAX_MESSAGE else f"{text[:_MAX_MESSAGE]}…"
