"""Builds the JSON Schemas of the examples' tools; pure, for billing.py, deploys.py and echo.py."""

from typing import Any

Schema = dict[str, Any]


def object_of(properties: Schema, *, optional: tuple[str, ...] = ()) -> Schema:
    """Return the schema of an object with these members and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }


def list_of(items: Schema) -> Schema:
    """Return the schema of a list."""
    return {"type": "array", "items": items}


def text(description: str, **more: Any) -> Schema:
    """Return the schema of a text."""
    return {"type": "string", "description": description, **more}


def whole(description: str, **more: Any) -> Schema:
    """Return the schema of a whole number."""
    return {"type": "integer", "description": description, **more}
