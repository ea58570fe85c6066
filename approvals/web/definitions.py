"""Reads the definitions of tools that calls were made under; one query for a whole page."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from approvals.models import ToolCall, ToolDefinition

Definitions = Mapping[str, Mapping[str, Any]]  # by digest


def of(calls: Iterable[ToolCall]) -> Definitions:
    """Return the definitions these calls were judged by, as parsed JSON objects."""
    wanted = {call.definition_digest for call in calls}
    kept = ToolDefinition.objects.in_bulk(wanted) if wanted else {}
    return {digest: json.loads(bytes(row.body)) for digest, row in kept.items()}
