"""The practice domain: a server that does no harm, to see a first call held and decided."""

import sys

from django.conf import settings
from django.db import transaction

from approvals.administration import agents, catalog
from approvals.administration.catalog import UpstreamSpec
from approvals.errors import Conflict
from approvals.models import Agent, Domain, Person, Upstream
from approvals.phrases import Phrase, phrase

NAME = "practice"  # of the domain, of its server and of its agent
TOOL = "send_postcard"
_TAKEN: dict[type[Domain | Upstream | Agent], Phrase] = {
    Domain: phrase("There is a domain called %(name)s already.", name=NAME),
    Upstream: phrase("There is an upstream called %(name)s already.", name=NAME),
    Agent: phrase("There is an agent called %(name)s already.", name=NAME),
}


@transaction.atomic
def set_up(person: Person, *, actor: str) -> str:
    """Create the domain, its server and an agent for one person; return the agent's key.

    Four eyes are off: the person owns the agent, and decides on its calls alone. The tool is left
    unreviewed, so that its calls are held.

    Raises:
        Conflict: something by that name is there already.
    """
    for model, words in _TAKEN.items():
        if model.objects.filter(name=NAME).exists():
            raise Conflict(words)
    domain = catalog.create_domain(
        NAME,
        purpose="To try Countersign out; nothing here reaches anybody.",
        owner=person,
        actor=actor,
        four_eyes=False,
    )
    catalog.add_approvers(domain, [person], actor=actor)
    catalog.put_upstream(_server(), domain=domain, actor=actor)
    agent = agents.create_agent(NAME, owner=person, domains=[NAME], actor=actor)
    return agents.create_key(agent, acts_for=person, label="First run", actor=actor)


def _server() -> UpstreamSpec:
    launch = {
        "command": sys.executable,
        "args": ["-m", "mcp_bridge.practice"],
        "cwd": str(settings.BASE_DIR),
    }
    return UpstreamSpec(NAME, "stdio", launch)
