"""JSON bodies, read the one strict way; see `approvals.canonical`."""

from collections.abc import Mapping
from typing import Any

from rest_framework.parsers import BaseParser

from approvals import canonical
from approvals.errors import InvalidInput


class StrictJSONParser(BaseParser):
    """Refuses duplicate keys, NaN, numbers and depths beyond the limits, and what is no object."""

    media_type = "application/json"

    def parse(
        self,
        stream: Any,
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        """Return the object a body stands for.

        Raises:
            InvalidInput: it is not JSON, not an object, or beyond a limit.
        """
        value = canonical.parse(stream.read(canonical.MAX_BODY_BYTES + 1))
        if not isinstance(value, dict):
            raise InvalidInput("The body must be a JSON object.")
        return value
