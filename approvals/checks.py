"""System checks with stable ids: what an operator should know before a start."""

from collections.abc import Sequence
from typing import Any

from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import DatabaseError, connection


@register(Tags.database)
def guards_are_installed(databases: Sequence[str] | None, **_: Any) -> list[CheckMessage]:
    """approvals.E001: a database guard is missing or changed."""
    from approvals import guards

    if not databases or "approvals_toolcall" not in connection.introspection.table_names():
        return []
    return [Error(problem, id="approvals.E001") for problem in guards.problems()]


@register(Tags.database)
def upstreams_have_write_credentials(
    databases: Sequence[str] | None, **_: Any
) -> list[CheckMessage]:
    """approvals.W001: one credential serves reads and writes of an upstream."""
    from approvals.models import Upstream

    try:
        names = (
            list(
                Upstream.objects.filter(write_credentials=None, is_enabled=True).values_list(
                    "name", flat=True
                )
            )
            if databases
            else []
        )
    except DatabaseError:
        return []  # no tables yet
    return [
        Warning(
            f"Upstream {name} has one credential for both reads and writes: the process that"
            " agents talk to could write.",
            hint='Give it a second set: "countersign": {"write": {"env": …}} in its file.',
            id="approvals.W001",
        )
        for name in names
    ]
