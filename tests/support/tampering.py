"""A hand that changes rows past the guards, as somebody with the database's password could."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from django.db import models, transaction
from django.utils import timezone

from approvals import guards
from approvals.models import Agent, AgentKey, Domain, Person, Tool, ToolCall, Upstream
from tests.support.world import World

Column: TypeAlias = "models.Field[Any, Any]"

_SWAPS = {"approve": "reject", "reject": "approve", "void": "expired"}


@contextmanager
def by_hand() -> Iterator[None]:
    """Let the block change what it likes, and then undo it."""
    with transaction.atomic():
        guards.drop()
        yield
        transaction.set_rollback(True)


class Hand:
    """Changes one column of one row to another value that the column can hold."""

    def __init__(self, world: World) -> None:
        """Make a second row of everything that calls refer to."""
        domain = Domain.objects.create(name="other")
        upstream = Upstream.objects.create(
            domain=domain, name="other", transport="http", launch={"url": "http://127.0.0.1:9/"}
        )
        tool = Tool.objects.create(
            upstream=upstream, name="refund", exposed_name="other__refund", definition_digest="d"
        )
        agent = Agent.objects.create(name="other", owner=world.eve)
        key = AgentKey.objects.create(agent=agent, prefix="other", acts_for=world.eve)
        self._others: dict[type[models.Model], models.Model] = {
            Domain: domain, Upstream: upstream, Tool: tool, Agent: agent, AgentKey: key,
            Person: world.eve,
        }  # fmt: skip

    def change(self, row: models.Model, field: Column) -> None:
        """Change one column of the row in the database."""
        before = getattr(row, field.attname)
        if isinstance(field, models.ForeignKey):
            after = self._other_row(row, field.related_model).pk
        elif field.name in ("status", "verdict"):
            after = _SWAPS.get(before, "void")
        else:
            after = other(before, field)
        assert after != before, field
        type(row)._default_manager.filter(pk=row.pk).update(**{field.attname: after})

    def _other_row(self, row: models.Model, model: Any) -> models.Model:
        if model is not ToolCall:
            return self._others[model]
        untouched = ToolCall.objects.filter(superseded_by=None, dispatch=None, decisions=None)
        return untouched.exclude(pk=row.pk).order_by("pk")[0]


def other(value: Any, field: Column) -> Any:
    """Return another value of the same kind."""
    match value:
        case bool():
            return not value
        case int():
            return value + 1000
        case datetime():
            return value + timedelta(microseconds=1)
        case dict():
            return value | {"message": "changed"}
        case uuid.UUID():
            return uuid.uuid4()
        case bytes() | memoryview():
            return bytes(value) + b" "
        case str():
            return f"{value[:-1]}{'x' if value[-1:] != 'x' else 'y'}"
    return timezone.now() if isinstance(field, models.DateTimeField) else b"{}"
