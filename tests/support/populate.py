"""Fills the database of a started installation: `python -m tests.support.populate JSON`.

Run as a process of its own, with the installation's environment; it goes through the same verbs and
the same import command that an operator uses.
"""

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

Entry = Mapping[str, Any]  # of an {"mcpServers": …} file
Tools = Sequence[str]  # each as name:effect

PEOPLE = (
    ("ann", "approver", ()),
    ("bo", "approver", ("billing", "deploys", "shop")),
    ("cy", "approver", ("billing", "deploys", "shop")),
    ("dee", "admin", ()),
    ("eve", "approver", ()),
    ("aud", "auditor", ()),
)
BILLING_TOOLS = ("refund:write", "get_customer:read")


def main(wanted: dict[str, Any]) -> None:
    """Create what `wanted` says.

    Its keys: password; examples, {name: [tool:effect, …]}, each a domain with its upstream;
    fragile, {name: domain}, upstreams that break; servers, {name: entry of an mcpServers file},
    each in the domain billing, to refund and get_customer; echo, a URL; rules; agents, {name:
    grace_seconds}, or grace_seconds of the one agent there is without it.
    """
    from django.conf import settings
    from django.core.management import call_command

    from approvals.administration import agents, catalog, people, policy

    call_command("migrate", verbosity=0)
    folder = Path(settings.DATA_DIR)
    domains = list(dict.fromkeys(domain for _, domain, *_ in upstreams(wanted, folder)))
    for name in domains:
        catalog.create_domain(name, purpose=f"The {name} example.", owner=None, actor="command")
    for name, role, approves in PEOPLE:
        people.create_person(
            name, role=role, password=wanted["password"], actor="command",
            domains=[domain for domain in approves if domain in domains],
            full_name=f"{name.capitalize()} Tester",
        )  # fmt: skip
    for name, domain, entry, tools in upstreams(wanted, folder):
        add_upstream(folder, (name, domain), entry, tools)
    if "rules" in wanted:
        policy.load_rules({"rules": wanted["rules"]}, source="tests", actor="command")
    ann = people.get_person("ann")
    for name, grace in wanted.get("agents", {"support": wanted.get("grace_seconds", 5)}).items():
        agent = agents.create_agent(
            name, owner=ann, domains=domains, actor="command", grace_seconds=grace
        )
        key = agents.create_key(agent, acts_for=ann, actor="command")
        (folder / f"{name}.key").write_text(key)


def upstreams(wanted: Mapping[str, Any], folder: Path) -> Iterator[tuple[str, str, Entry, Tools]]:
    """Yield name, domain, entry and tools of every upstream there is to be."""
    for name, tools in wanted["examples"].items():
        yield name, name, example(name, folder), tools
    for name, domain in wanted.get("fragile", {}).items():
        yield name, domain, breaking(name, folder), BILLING_TOOLS
    for name, entry in wanted.get("servers", {}).items():
        yield name, "billing", entry, BILLING_TOOLS
    if "echo" in wanted:
        yield "echo", "echo", {"type": "http", "url": wanted["echo"]}, ("echo:read",)


def example(name: str, folder: Path) -> Entry:
    """Return how to start one of the examples."""
    own = {
        "billing": ["--ledger", str(folder / "billing.sqlite3")],
        "deploys": ["--repo", str(folder / "deploys")],
    }
    return script(f"examples/{name}.py", *own[name])


def breaking(name: str, folder: Path) -> Entry:
    """Return how to start the billing example as an upstream that breaks."""
    ledger = ["--ledger", str(folder / "billing.sqlite3")]
    return script("tests/support/fragile.py", *ledger) | {
        "env": {"FRAGILE_FOLDER": str(folder / name)}
    }


def script(*arguments: str) -> dict[str, Any]:
    """Return how to start a script of ours."""
    from django.conf import settings

    return {"command": sys.executable, "args": [*arguments], "cwd": str(settings.BASE_DIR)}


def add_upstream(folder: Path, place: tuple[str, str], entry: Entry, tools: Tools) -> None:
    """Import the upstream of a name into a domain, and review its tools."""
    from django.core.management import call_command

    from approvals.administration import catalog

    name, domain = place
    file = folder / f"{name}.mcp.json"
    file.write_text(json.dumps({"mcpServers": {name: entry}}))
    call_command("import_upstreams", str(file), domain=domain)
    for tool, effect in (entry.split(":") for entry in tools):
        catalog.review_tool(catalog.get_tool(name, tool), effect=effect, actor="command")


if __name__ == "__main__":
    django.setup()
    main(json.loads(sys.argv[1]))
