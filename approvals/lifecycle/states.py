"""The states of a call as sets, and the arrows between them; triggers hold the same as literals."""

from approvals.models import ToolCall

S = ToolCall.Status

MOVES = {
    S.PENDING: frozenset({S.APPROVED, S.REJECTED, S.EXPIRED, S.CANCELLED, S.VOID}),
    S.APPROVED: frozenset({S.CLAIMED, S.EXPIRED, S.CANCELLED, S.VOID}),
    S.CLAIMED: frozenset({S.APPROVED, S.DISPATCHED, S.EXPIRED, S.CANCELLED, S.VOID}),
    S.DISPATCHED: frozenset({S.SUCCEEDED, S.FAILED, S.UNKNOWN}),
    S.UNKNOWN: frozenset({S.SUCCEEDED, S.FAILED}),
}
SETTLED = frozenset(S) - MOVES.keys()
ANSWERED = SETTLED | {S.UNKNOWN}  # the agent is told; somebody still owns an unknown
UNSENT = frozenset({S.PENDING, S.APPROVED, S.CLAIMED})  # nothing has left for the upstream
