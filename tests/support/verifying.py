"""Verifies a trail while a call moves on: `python -m tests.support.verifying`, on a new database.

Prints what was found. A process of its own, because SQLite in memory cannot do two things at once.
"""

import os
import threading

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")


def main() -> None:
    """Break one event, begin to verify, let a call be approved, and verify to the end."""
    from django.core.management import call_command
    from django.db import connection, transaction

    from approvals import guards, lifecycle
    from approvals.audit.verify import Verification
    from approvals.models import AuditEvent
    from tests.support import world as worlds

    call_command("migrate", verbosity=0)
    world = worlds.build()
    with transaction.atomic():
        calls = [worlds.hold(world, arguments={"n": number}) for number in range(3)]
    with transaction.atomic():
        guards.drop()
        AuditEvent.objects.filter(stream="agent:support", seq=1).update(actor="nobody")
        guards.install()

    def approve() -> None:
        for call in calls:
            lifecycle.decide(call.pk, decider=world.bo, verdict="approve", binding=call.binding)
        connection.close()

    problems = Verification({key.value: to for key, to in lifecycle.MOVES.items()}).problems()
    print(next(problems), flush=True)
    approver = threading.Thread(target=approve)
    approver.start()
    approver.join(10)
    print("approved" if not approver.is_alive() else "blocked", flush=True)
    for problem in problems:
        print(problem, flush=True)


if __name__ == "__main__":
    django.setup()
    main()
