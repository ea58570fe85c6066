"""Story: machines read the log of an installation that says all it can; no secret is in it."""

import json
from pathlib import Path

import httpx2

from tests.flows.errands import CUSTOMER, READ, REFUND, refund
from tests.support.agents import RawAgent
from tests.support.running import until

CANARY = "canary-7f1c2a"  # in what agents and people send
PLANTED = "planted-4d90e1"  # the name of an agent: an event's actor, which a log does tell


def lines_of(installation):
    """Return what was written, on the screen and in the file; each line as JSON, or as it is."""
    written = [installation.process.log, *(installation.data / "logs").glob("*.log*")]
    assert len(written) > 1
    return [line for path in written for line in Path(path).read_text().splitlines()]


def found(installation, secret):
    # Of bytes that a database's error quotes, only the hexadecimal form would be there.
    forms = (secret, secret.encode().hex())
    return [line for line in lines_of(installation) if any(form in line for form in forms)]


def provoke(installation, agent, bo):
    """Send the canary in every place an agent or a person can put it, most of them wrong."""
    agent.call(READ, {**CUSTOMER, CANARY: CANARY})  # not of the schema
    agent.ask("tools/call", {"name": CANARY, "arguments": [CANARY], "_meta": {CANARY: CANARY}})
    agent.ask(f"tools/{CANARY}", {"cursor": {CANARY: 1}})
    agent.ask("initialize", {"protocolVersion": [CANARY], "capabilities": CANARY})
    strange = {"Authorization": f"Bearer cs_{CANARY}_{CANARY}"}
    for headers in (strange, {"Authorization": f"Bearer {agent.key}"}):
        httpx2.post(f"{installation.url}/mcp", headers=headers, content=f'{{"{CANARY}": NaN')
    bo.http.get("/history/", params={"q": CANARY})


def test_a_log_tells_calls_by_id_and_neither_arguments_nor_keys(stopped):
    stopped.start(LOG_FORMAT="json", LOG_LEVEL="DEBUG")
    agent, bo = stopped.raw("hasty"), stopped.person("bo")
    held, refused = (agent.call(REFUND, refund(CANARY)).call_id for _ in range(2))
    bo.approve(held)
    bo.sees(held, "succeeded")
    bo.decide(refused, "reject", f"No: {CANARY}.")
    provoke(stopped, agent, bo)
    made = stopped.manage("create_agent", PLANTED, "--owner", "ann", "--domain", "billing")
    planted = RawAgent(stopped.url, made.split()[-1])
    until(lambda: planted.ask("tools/list", {}).status_code == 200, "the key being known")
    planted.call(READ, CUSTOMER)

    until(lambda: found(stopped, PLANTED), "the planted name being found")
    secrets = [CANARY, *(key.split("_", 2)[2] for key in (agent.key, planted.key))]
    assert {secret: found(stopped, secret) for secret in secrets} == {s: [] for s in secrets}
    ours = [json.loads(line) for line in lines_of(stopped) if line.startswith("{")]
    codes = {line.get("event") for line in ours if line.get("call_id") == held}
    assert {"call.held", "call.approved", "call.dispatched", "call.succeeded"} <= codes
    stray = [line for line in lines_of(stopped) if not line.startswith("{")]
    assert all("Countersign is ready" in line for line in stray)
