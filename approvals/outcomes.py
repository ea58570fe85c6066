"""How a dispatched call ended, as a value; pure. The bridge makes it, the life cycle stores it."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass

from approvals import canonical

MAX_RESULT_BYTES = 1024 * 1024
_CUT_TEXT_BYTES = 64 * 1024

SUCCEEDED, FAILED, UNKNOWN = "succeeded", "failed", "unknown"


@dataclass(frozen=True)
class Outcome:
    """What became of one dispatched call.

    Attributes:
        status: succeeded, failed or unknown.
        failure_kind: tool_error, upstream_error, not_sent or not_run; empty unless failed.
        message: in words, why it failed or why nobody can tell.
        result: the upstream's CallToolResult as a JSON object, where it answered with one.
    """

    status: str
    failure_kind: str = ""
    message: str = ""
    result: Mapping[str, object] | None = None

    @classmethod
    def succeeded(cls, result: Mapping[str, object]) -> "Outcome":
        """The upstream answered with a result."""
        return cls(SUCCEEDED, result=result)

    @classmethod
    def failed(
        cls, kind: str, message: str, result: Mapping[str, object] | None = None
    ) -> "Outcome":
        """A definite answer that it did not work, or that nothing was sent."""
        return cls(FAILED, kind, message, result)

    @classmethod
    def unknown(cls, why: str) -> "Outcome":
        """Bytes left and no answer can be trusted: it may have happened."""
        return cls(UNKNOWN, message=why)


@dataclass(frozen=True)
class StoredResult:
    """A result as its row keeps it: JSON bytes, the digest of the whole, and whether it was cut."""

    body: bytes | None
    digest: str
    is_cut: bool


def stored(result: Mapping[str, object] | None) -> StoredResult:
    """Return what to store of a result: all of it up to 1 MiB, else its head, marked as cut."""
    if result is None:
        return StoredResult(None, "", False)
    # Half a surrogate has no bytes, but as a backslash escape it is JSON.
    body = _json(result).encode("utf-8", "backslashreplace")
    digest = canonical.digest(body)
    if len(body) <= MAX_RESULT_BYTES:
        return StoredResult(body, digest, False)
    head = body[:_CUT_TEXT_BYTES].decode(errors="ignore")
    mark = f"[cut by Countersign: the result had {len(body)} bytes, SHA-256 {digest}]"
    text = [{"type": "text", "text": mark}, {"type": "text", "text": head}]
    cut = {"content": text, "isError": bool(result.get("isError"))}
    return StoredResult(json.dumps(cut, ensure_ascii=False).encode(), digest, True)


def _json(result: Mapping[str, object]) -> str:
    """Return JSON text; not canonical, for a result is relayed and may hold any number."""
    try:
        return json.dumps(result, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except ValueError:  # NaN or an infinity, which some servers write and no JSON reader takes
        return json.dumps(_with_nulls(result), ensure_ascii=False, separators=(",", ":"))


def _with_nulls(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _with_nulls(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_with_nulls(item) for item in value]
    return value
