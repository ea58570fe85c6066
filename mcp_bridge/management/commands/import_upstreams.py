"""`manage.py import_upstreams FILE --domain D`: makes a file's servers upstreams of a domain."""

import asyncio
import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.db import transaction

from approvals import wording
from approvals.administration import catalog
from approvals.administration.catalog import UpstreamSpec
from approvals.administration.writing import COMMAND
from approvals.errors import ApprovalsError
from approvals.management import base
from approvals.models import Tool, ToolDefinition, Upstream
from mcp_bridge.threads import in_database
from mcp_bridge.upstreams import importing, targets
from mcp_bridge.upstreams.catalog import refresh
from mcp_bridge.upstreams.connections import Connection
from mcp_bridge.upstreams.failures import in_full
from mcp_bridge.upstreams.targets import PLAIN, WRITE

_HINTS = ("readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint")


class Command(base.Command):
    help = 'Imports the servers of an {"mcpServers": …} file into a domain, and lists their tools.'

    def declare(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, metavar="FILE")
        parser.add_argument("--domain", required=True, metavar="D")

    def act(self, *, file: Path, domain: str, **_options: Any) -> None:
        upstreams = put(importing.read(base.read_json(file)), domain)
        self.warn_of_missing_purposes([domain])
        for upstream in upstreams:
            self.show(upstream, asyncio.run(list_now(upstream.pk)))

    def show(self, upstream: Upstream, troubles: list[str]) -> None:
        """Print an upstream, each tool with its hints, and what went wrong."""
        upstream.refresh_from_db()
        self.stdout.write(f"{upstream.name} ({upstream.transport}, domain {upstream.domain.name})")
        for tool in upstream.tools.filter(is_listed=True).order_by("name"):
            self.stdout.write(f"  {tool.exposed_name}: {tool.effect}; {_hints(tool)}")
        for dropped in upstream.dropped_tools:
            self.stderr.write(f"  dropped {dropped['name']}: {dropped['why']}")
        for trouble in troubles:
            self.warn(trouble)


@transaction.atomic
def put(specs: list[UpstreamSpec], domain: str) -> list[Upstream]:
    """Write all servers of a file, or none."""
    home, _is_new = catalog.ensure_domain(domain, actor=COMMAND)
    return [catalog.put_upstream(spec, domain=home, actor=COMMAND) for spec in specs]


async def list_now(upstream_id: int) -> list[str]:
    """List an upstream with each of its credential sets; return what went wrong, in words."""
    troubles = []
    for credentials in (PLAIN, WRITE):
        target = await in_database(targets.load, upstream_id, credentials)
        if target is None or (credentials == WRITE and not target.has_write_set):
            continue
        connection = Connection(target)
        try:
            await refresh(connection, actor=COMMAND)
        except ApprovalsError as error:
            which = f"With the {credentials} credentials: " if target.has_write_set else ""
            troubles.append(which + in_full(error))
        finally:
            await connection.close()
    return troubles


def _hints(tool: Tool) -> str:
    body = ToolDefinition.objects.get(digest=tool.definition_digest).body
    claimed = json.loads(bytes(body)).get("annotations", {})
    said = [f"{hint}={wording.clean(str(claimed[hint]), 20)}" for hint in _HINTS if hint in claimed]
    return f"claims {', '.join(said)}" if said else "claims nothing"
