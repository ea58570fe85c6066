"""The Django application: installs guards around migrations and registers system checks."""

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate, pre_migrate


class ApprovalsConfig(AppConfig):
    """Everything about deciding."""

    name = "approvals"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Connect what must happen around migrations; checks register themselves on import."""
        from approvals import checks  # noqa: F401 - registers system checks

        pre_migrate.connect(_drop_guards, sender=self)
        post_migrate.connect(_install_guards, sender=self)


def _drop_guards(using: str, **_: Any) -> None:
    from django.db import connections

    from approvals import guards

    # SQLite rebuilds a table on ALTER and loses its triggers; and a trigger that names another
    # table breaks that table's ALTER. PostgreSQL keeps them, so there they stay in force.
    if connections[using].vendor == "sqlite":
        guards.drop()


def _install_guards(using: str, **_: Any) -> None:
    from django.db import connections

    from approvals import guards

    # An unfinished `migrate approvals zero` leaves no tables to guard.
    if "approvals_auditevent" in connections[using].introspection.table_names():
        guards.install()
