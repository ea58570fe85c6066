"""`manage.py verify_audit`: shows that the trail is whole, or where it is not."""

from typing import Any

from approvals import lifecycle
from approvals.audit.verify import Verification
from approvals.management import base
from approvals.wording import clean

_SHOWN = 100  # one deleted table should not fill the terminal


class Command(base.Command):
    help = (
        "Recomputes every chain of the audit trail and replays every call; exit code 1 and the"
        " places when anything was changed, dropped, put in or cut off. It writes nothing, and may"
        " run beside a server."
    )

    def act(self, **_: Any) -> None:
        moves = {status.value: targets for status, targets in lifecycle.MOVES.items()}
        verification = Verification(moves)
        found = 0
        for problem in verification.problems():
            found += 1
            if found <= _SHOWN:
                self.stdout.write(clean(str(problem), 500))
        counts = (
            f"{verification.events} events in {verification.streams} streams,"
            f" {verification.calls} calls"
        )
        if found:
            more = f" (the first {_SHOWN} are listed)" if found > _SHOWN else ""
            places = "one place" if found == 1 else f"{found} places"
            raise base.Error(f"The audit trail is broken in {places}{more}; looked at {counts}.")
        self.stdout.write(f"The audit trail is whole: {counts}.")
