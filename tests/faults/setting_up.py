"""Creates people, upstreams, rules and agents of a fault run: `python -m tests.faults.setting_up`.

Run as a process of its own with the installation's environment; it goes through the same verbs and
the same import command that an operator uses. Its one argument is JSON: folder, password, seed, and
the port of the ledger.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import django

from tests.faults import plans

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
LEDGER = Path(__file__).with_name("ledger.py")


def main(wanted: dict[str, Any]) -> None:
    """Create what there is to be."""
    from approvals.administration import agents, catalog, people, policy

    folder = Path(wanted["folder"])
    catalog.create_domain("bills", purpose="The fault run.", owner=None, actor="command")
    for name in (*plans.APPROVERS, plans.OWNER, plans.ADMINISTRATOR):
        people.create_person(
            name, role="admin" if name == plans.ADMINISTRATOR else "approver",
            password=wanted["password"], actor="command",
            domains=["bills"] if name in plans.APPROVERS else [],
        )  # fmt: skip
    import_upstreams(folder, wanted["seed"], wanted["port"])
    policy.load_rules({"rules": plans.rules(0)}, source="fault run 0", actor="command")
    ann = people.get_person(plans.OWNER)
    for asker in plans.ASKERS:
        agent = agents.create_agent(
            asker.name, owner=ann, domains=["bills"], actor="command",
            grace_seconds=asker.grace_seconds,
        )  # fmt: skip
        key = agents.create_key(agent, acts_for=ann, actor="command")
        (folder / f"{asker.name}.key").write_text(key)


def import_upstreams(folder: Path, seed: int, port: int) -> None:
    """Import the ledger over HTTP and over stdio, and review its tools."""
    from django.core.management import call_command

    from approvals.administration import catalog

    launch = [str(LEDGER), "--folder", str(folder), "--seed", str(seed)]
    servers = {
        "ledger": {"type": "http", "url": f"http://127.0.0.1:{port}/mcp"},
        "pipe": {"command": sys.executable, "args": launch},
    }
    file = folder / "upstreams.json"
    file.write_text(json.dumps({"mcpServers": servers}))
    call_command("import_upstreams", str(file), domain="bills")
    for upstream in plans.UPSTREAMS:
        for tool, effect in plans.EFFECTS.items():
            catalog.review_tool(catalog.get_tool(upstream, tool), effect=effect, actor="command")


if __name__ == "__main__":
    django.setup()
    main(json.loads(sys.argv[1]))
