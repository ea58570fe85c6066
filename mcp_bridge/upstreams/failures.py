"""Why an upstream could not be reached, as a value: for agents and approvers, and for operators."""

from dataclasses import dataclass

from mcp.shared.exceptions import MCPError

from approvals.errors import ApprovalsError, TemporarilyUnavailable
from mcp_bridge.upstreams.lines import Line
from mcp_bridge.upstreams.targets import Target


@dataclass(frozen=True)
class Failure:
    """How opening a session ended without one.

    Attributes:
        reason: in words, without secrets.
        last_words: of a child process, for operators.
        may_try_other: whether beginning it the other way may help.
    """

    reason: str
    last_words: str = ""
    may_try_other: bool = False

    def of(self, target: Target, wait_seconds: float) -> TemporarilyUnavailable:
        """Return the error for whoever wanted a session."""
        error = TemporarilyUnavailable(
            f"The upstream server {target.name} cannot be reached: {self.reason}.",
            retry_after_seconds=max(1.0, round(wait_seconds, 1)),
        )
        if self.last_words:
            # Paths, traces, whatever the child wrote: not in the message, which agents are told.
            error.add_note(f"Its last words: {self.last_words}")
        return error


def in_full(error: ApprovalsError) -> str:
    """Return what operators are told of an error."""
    return " ".join([error.message, *getattr(error, "__notes__", ())])


def reason_of(error: BaseException, line: Line | None, limit_seconds: float) -> str:
    """Return a failure in words: what the line knows, else the innermost exception."""
    if isinstance(error, TimeoutError):
        # What the line knows is then that we have left it.
        return f"it did not answer within {limit_seconds:.0f} s"
    if line is not None and line.trouble:
        return line.trouble
    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    if isinstance(error, ApprovalsError):
        return error.message[:1].lower() + error.message[1:].rstrip(".")
    if isinstance(error, MCPError):
        return f"it answered with the error {error.code}"
    return type(error).__name__
