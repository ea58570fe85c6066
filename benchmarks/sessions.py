"""People who are signed in: `python -m benchmarks.sessions N` prints a Cookie header of each.

Run as a process of its own, in the environment of an installation whose database is there.
"""

import json
import os
import sys

import django

DOMAIN = "billing"


def sign_in(people: int) -> list[str]:
    """Create approvers of a domain and a session for each, by the verbs that commands use."""
    from approvals.administration import people as administration
    from tests.support.visiting import visitor

    cookies = []
    for number in range(people):
        person = administration.create_person(
            f"page.{number}", role="approver", password=os.urandom(20).hex(), domains=[DOMAIN],
            actor="command",
        )  # fmt: skip
        morsels = visitor(person).cookies.items()
        cookies.append("; ".join(f"{name}={morsel.value}" for name, morsel in morsels))
    return cookies


def main() -> None:
    """Write JSON: a list of headers."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    sys.stdout.write(json.dumps(sign_in(int(sys.argv[1]))))


if __name__ == "__main__":
    main()
