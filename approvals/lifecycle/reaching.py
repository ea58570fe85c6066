"""Whether enough people are left to approve what is held: told once, and once more if it changes.

People leave groups, and their accounts are deactivated; each of them signs in one stage only. What
too few are left for stays held: a quorum is never lowered.
"""

from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import F

from approvals import access
from approvals.errors import Conflict
from approvals.lifecycle.moving import locked, tell
from approvals.lifecycle.states import S
from approvals.models import ToolCall, database_now


@transaction.atomic(durable=True)
def look_at_reach(call_id: UUID) -> ToolCall:
    """Tell that a held call is out of the reach of whom there is by now, or within it again.

    Raises:
        Conflict: it is not held any more, or that was told already.
    """
    call = locked(call_id)
    before = call.version
    if call.status != S.PENDING or tell_reach(call, at=database_now()).version == before:
        raise Conflict("There is nothing new to tell of the call.", call_id=call_id)
    return call


def tell_reach(call: ToolCall, *, at: datetime) -> ToolCall:
    """Tell it of a call that is locked, and pending, if it is not what was told last."""
    lacking = access.out_of_reach([call]).get(call.pk)
    if bool(lacking) == call.is_out_of_reach:
        return call
    held = ToolCall.objects.filter(pk=call.pk, status=S.PENDING)
    held.update(version=F("version") + 1, is_out_of_reach=bool(lacking))
    call.refresh_from_db(fields=["version", "is_out_of_reach"])
    code = "call.out_of_reach" if lacking else "call.within_reach"
    # Groups, and no names of people: whoever reads the trail of a call may read this.
    told: dict[str, object] = {"groups": lacking} if lacking else {}
    tell(call, code, actor="clock", at=at, **told)
    return call
