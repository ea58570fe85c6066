"""The demo: people, two domains with example upstreams, and an agent whose first calls wait."""

import contextlib
import json
import os
import secrets
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.core.management import call_command

from approvals.administration import agents, catalog, people, templates
from approvals.models import Person, Tool
from config.starting import CannotStart

ACTOR = "command"
_WORDS = [
    "amber",
    "birch",
    "cedar",
    "delta",
    "ember",
    "fjord",
    "grove",
    "heron",
    "iris",
    "juniper",
    "kelp",
    "larch",
    "maple",
]
_EFFECTS = {
    ("billing", "get_customer"): "read",
    ("billing", "list_invoices"): "read",
    ("billing", "refund"): "write",
    ("billing", "credit_note"): "write",
    ("deploys", "list_releases"): "read",
    ("deploys", "diff_release"): "read",
    ("deploys", "deploy"): "destructive",
    ("deploys", "rollback"): "destructive",
}
_SENTENCE = "Refund {amount|money:currency:minor} to {customer} · invoice {invoice}"
_PEOPLE = (  # name, full name, role, domains, for whom to sign in as them
    ("ann", "Ann Abel", "approver", (), "owns the agent; sees its calls, may not approve them"),
    ("bo", "Bo Berg", "approver", ("billing", "deploys"), "approves billing and deploys"),
    ("cy", "Cy Costa", "approver", ("billing",), "approves billing"),
    ("dee", "Dee Duarte", "admin", (), "administers"),
    ("ada", "Ada Aziz", "auditor", (), "audits: reads everything"),
)


@dataclass(frozen=True)
class Demo:
    """What a newcomer needs to know; kept in the data folder, readable by its owner only."""

    password: str

    @property
    def key_file(self) -> Path:
        """Return the file that holds the demo agent's key."""
        return Path(settings.DATA_DIR) / "demo-agent.key"


def prepare() -> Demo:
    """Create the demo in the data folder, or find the one an earlier start created.

    Raises:
        CannotStart: the folder belongs to a real installation, or what it says is damaged.
    """
    note = Path(settings.DATA_DIR) / "demo.json"
    if note.exists():
        return _noted(note)
    if Person.objects.exists():
        raise CannotStart(
            f"{settings.DATA_DIR} holds an installation already: choose --data DIR for the demo."
        )
    words = "-".join(secrets.choice(_WORDS) for _ in range(3))
    demo = Demo(password=f"{words}-{secrets.randbelow(90) + 10}")
    _create_people(demo)
    _create_domains()
    _create_agent(demo)
    # Last: a start that was interrupted before this line is told to choose another folder.
    _write_private(note, json.dumps({"password": demo.password}))
    return demo


def _noted(note: Path) -> Demo:
    password: object = None
    with contextlib.suppress(ValueError, LookupError, TypeError, RecursionError):
        password = json.loads(note.read_text(encoding="utf-8"))["password"]
    if not isinstance(password, str) or not password.isprintable():
        raise CannotStart(f"{note} is damaged: choose another --data DIR for a new demo.")
    return Demo(password)


def send_first_calls(demo: Demo, url: str) -> None:
    """Let the agent ask for a refund and a deploy, through the bridge like any other agent.

    Raises:
        CannotStart: a call was not held; the message has the agent's own last words.
    """
    for errand in (REFUND, DEPLOY):
        asked = subprocess.run(
            [sys.executable, *_agent(demo, url), *errand, "--no-wait"],
            cwd=settings.BASE_DIR,
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
        if asked.returncode:
            said = (asked.stderr or asked.stdout).strip().splitlines() or ["it said nothing"]
            raise CannotStart(f"The demo's agent could not ask for {errand[0]}: {said[-1]}")


def words(demo: Demo, url: str) -> str:
    """Return what `demo` prints once everything runs."""
    names = "\n".join(f"    {n:<4} {what}" for n, _, _, _, what in _PEOPLE)
    agent = " ".join(["python3", *_agent(demo, url), *_ANOTHER])
    ledger = _shown(Path(settings.DATA_DIR) / "billing.sqlite3")
    return f"""
Countersign is ready:  {url}/

  A refund and a deploy are waiting. Sign in as one of these, password {demo.password}
{names}

  See what an agent developer sees, while it waits and after you decide:
    {agent}

  Approved refunds are rows in {ledger} (table refunds).
  Ctrl-C stops everything; the next start goes on where this one ended.
"""


REFUND = ("refund", "--amount", "420", "--customer", "cus_8241", "--invoice", "in_2201")
DEPLOY = ("deploy", "--release", "v3.18.0", "--environment", "production")
_ANOTHER = ("refund", "--amount", "18.50", "--customer", "cus_7719", "--invoice", "in_2188")


def _agent(demo: Demo, url: str) -> list[str]:
    at = [] if url == "http://127.0.0.1:8000" else ["--url", f"{url}/mcp"]
    return ["examples/agent.py", "--key-file", _shown(demo.key_file), *at]


def _shown(path: Path) -> str:
    """Return a path as one would type it in the project's folder."""
    return str(
        path.relative_to(settings.BASE_DIR) if path.is_relative_to(settings.BASE_DIR) else path
    )


def _create_people(demo: Demo) -> None:
    for name, full_name, role, _, _ in _PEOPLE:
        people.create_person(
            name, role=role, password=demo.password, full_name=full_name, actor=ACTOR
        )


def _create_domains() -> None:
    folder = Path(settings.DATA_DIR)
    purposes = {
        "billing": "Money back to customers: refunds and credit notes.",
        "deploys": "What runs in production, and going back to what ran before.",
    }
    arguments = {
        "billing": ["examples/billing.py", "--ledger", str(folder / "billing.sqlite3")],
        "deploys": ["examples/deploys.py", "--repo", str(folder / "deploys")],
    }
    for name, purpose in purposes.items():
        owner = people.get_person("dee")
        domain = catalog.create_domain(name, purpose=purpose, owner=owner, actor=ACTOR)
        members = [people.get_person(p[0]) for p in _PEOPLE if name in p[3]]
        catalog.add_approvers(domain, members, actor=ACTOR)
        server = {"command": sys.executable, "args": arguments[name], "cwd": str(settings.BASE_DIR)}
        file = folder / f"{name}.mcp.json"
        file.write_text(json.dumps({"mcpServers": {name: server}}, indent=2))
        with open(os.devnull, "w") as nowhere:
            call_command("import_upstreams", str(file), domain=name, stdout=nowhere)
    for (upstream, name), effect in _EFFECTS.items():
        tool: Tool = catalog.get_tool(upstream, name)
        catalog.review_tool(tool, effect=effect, actor=ACTOR, person=people.get_person("dee"))
    templates.set_template(catalog.get_tool("billing", "refund"), _SENTENCE, actor=ACTOR)


def _create_agent(demo: Demo) -> None:
    owner = people.get_person("ann")
    agent = agents.create_agent(
        "support-triage", owner=owner, domains=["billing", "deploys"], actor=ACTOR
    )
    _write_private(demo.key_file, agents.create_key(agent, acts_for=owner, actor=ACTOR) + "\n")


def _write_private(path: Path, text: str) -> None:
    with open(path, "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(text)
