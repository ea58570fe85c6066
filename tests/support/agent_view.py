"""What the bridge's tests ask for as an agent, and read from its answers, in both eras."""

import json
from typing import Any

import pytest

from approvals.administration import catalog, policy
from approvals.administration.catalog import UpstreamSpec
from approvals.models import AuditEvent, Domain
from tests.support.bridging import LEGACY, MODERN, Running
from tests.support.world import ACTOR, World, definition, list_tools

CUSTOMER = {"customer": "cus_8241", "amount": 1}
PROVENANCE = "countersign/provenance"
ERAS = pytest.mark.parametrize("era", [MODERN, LEGACY])
# For tables of bad input that is refused before a database is asked: one engine is enough.
BEFORE_SQL = pytest.mark.sqlite


def told(result: dict[str, Any]) -> dict[str, Any]:
    """Return the structured content of a tool result."""
    found: dict[str, Any] = result["structuredContent"]
    return found


def names(bridge: Running, key: str, **more: Any) -> list[str]:
    """Return the names on the first page of an agent's tools."""
    return [tool["name"] for tool in bridge.ask(key, "tools/list", **more)["result"]["tools"]]


def refusals() -> list[dict[str, Any]]:
    """Return what the trail keeps of refused calls, oldest first."""
    events = AuditEvent.objects.filter(code="call.refused").order_by("pk")
    return [json.loads(bytes(event.data)) for event in events]


def rules(*rules: dict[str, Any]) -> None:
    """Put a policy of these rules in force."""
    policy.load_rules({"rules": list(rules)}, source="test", actor=ACTOR)


def other_domain(world: World) -> Domain:
    """Create a domain that is not the agent's, with an upstream and the tool vault__open."""
    domain = catalog.create_domain("secret", purpose="Keys.", owner=world.ann, actor=ACTOR)
    spec = UpstreamSpec("vault", "http", {"url": "http://127.0.0.1:9/mcp", "headers": {}})
    list_tools(catalog.put_upstream(spec, domain=domain, actor=ACTOR), definition("open"))
    return domain
