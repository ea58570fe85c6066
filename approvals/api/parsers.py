"""JSON bodies, read the one strict way; see `approvals.canonical`."""

from collections.abc import Mapping
from typing import Any

from rest_framework.parsers import BaseParser

from approvals import canonical
from approvals.errors import InvalidInput


class StrictJSONParser(BaseParser):
    """Refuses duplicate keys, NaN, numbers and depths beyond the limits, and what is no object."""

    media_type = "application/json"
    max_bytes = canonical.MAX_BODY_BYTES
    limits = canonical.BODY

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
        raw = stream.read(self.max_bytes + 1)
        value = canonical.parse(raw, max_bytes=self.max_bytes, limits=self.limits)
        if not isinstance(value, dict):
            raise InvalidInput("The body must be a JSON object.")
        return value


class LargeJSONParser(StrictJSONParser):
    """Reads bodies that hold a whole policy, as large as a file of rules may be."""

    max_bytes = 1024 * 1024
    limits = canonical.DEFINITION
