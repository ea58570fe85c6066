"""The one door for `ToolCall.status`: states, arrows, and the verbs that walk them.

             ┌─ rejected      a person said no
 pending ────┼─ expired       nobody decided in time
    │        ├─ cancelled     the agent or its owner withdrew it
    │        └─ void          what people were asked about is no longer what would run
    ▼ quorum reached, or an allow rule
 approved ───┬─ expired │ cancelled │ void
    │  ▲     │
    ▼  │ lease over, nothing sent
 claimed ────┴─ expired │ cancelled │ void      leased by one worker; nothing has been sent
    ▼ committed before the first byte leaves
 dispatched ─┬─ succeeded │ failed              a definite answer
             └─ unknown ──► succeeded │ failed  a late answer with the same fence, or a person

Every verb is one transaction: a conditional UPDATE, one audit event, one hint after the commit. A
verb that finds a deadline passed or a binding broken commits that move first and raises after it.
"""

from approvals.lifecycle.attending import attend
from approvals.lifecycle.claiming import claim_next
from approvals.lifecycle.deciding import (
    begin,
    cancel,
    decide,
    expire,
    settle,
    settle_from,
    supersede,
    void,
)
from approvals.lifecycle.reaching import look_at_reach
from approvals.lifecycle.releasing import (
    Claim,
    claim,
    dispatch,
    finish,
    lapse,
    lose,
    renew,
    unclaim,
)
from approvals.lifecycle.states import ANSWERED, MOVES, SETTLED, UNSENT

__all__ = [
    "ANSWERED",
    "MOVES",
    "SETTLED",
    "UNSENT",
    "Claim",
    "attend",
    "begin",
    "cancel",
    "claim",
    "claim_next",
    "decide",
    "dispatch",
    "expire",
    "finish",
    "lapse",
    "look_at_reach",
    "lose",
    "renew",
    "settle",
    "settle_from",
    "supersede",
    "unclaim",
    "void",
]
