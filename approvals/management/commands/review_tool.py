"""`manage.py review_tool`: says what a tool does, pinned to its definition as listed now."""

from argparse import ArgumentParser
from typing import Any

from approvals.administration import catalog
from approvals.administration.writing import COMMAND
from approvals.management import base
from approvals.models import Tool


class Command(base.Command):
    help = "Records what a tool does; when its definition changes, somebody has to look again."

    def declare(self, parser: ArgumentParser) -> None:
        parser.add_argument("upstream", metavar="UPSTREAM")
        parser.add_argument("tool", metavar="TOOL", help="as the upstream calls it")
        parser.add_argument("--effect", required=True, choices=Tool.Effect.values)

    def act(self, *, upstream: str, tool: str, effect: str, **_: Any) -> None:
        found = catalog.get_tool(upstream, tool)
        before = found.effect
        found = catalog.review_tool(found, effect=effect, actor=COMMAND)
        self.stdout.write(
            f"{found.exposed_name}: {before} → {found.effect}"
            f" (definition {found.definition_digest[:16]})."
        )
