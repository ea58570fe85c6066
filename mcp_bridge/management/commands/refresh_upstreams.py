"""`manage.py refresh_upstreams [NAME …]`: reads the upstreams' lists again, now."""

import asyncio
from argparse import ArgumentParser
from typing import Any

from approvals.errors import InvalidInput
from approvals.management import base
from approvals.models import Upstream
from mcp_bridge.management.commands.import_upstreams import list_now


class Command(base.Command):
    help = "Reads the tool lists of all upstreams, or of those named, again."

    def declare(self, parser: ArgumentParser) -> None:
        parser.add_argument("names", nargs="*", metavar="NAME")

    def act(self, *, names: list[str], **_: Any) -> None:
        upstreams = Upstream.objects.filter(is_enabled=True).order_by("name")
        chosen = [upstream for upstream in upstreams if not names or upstream.name in names]
        if unknown := sorted(set(names) - {upstream.name for upstream in chosen}):
            raise InvalidInput(f"There is no upstream called {', '.join(unknown)}.", path="$")
        for upstream in chosen:
            troubles = asyncio.run(list_now(upstream.pk))
            count = upstream.tools.filter(is_listed=True).count()
            self.stdout.write(f"{upstream.name}: {count} tools")
            for trouble in troubles:
                self.stderr.write(f"  {trouble}")
