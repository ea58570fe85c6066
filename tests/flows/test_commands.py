"""Story: an operator types commands while everything runs; it is seen within two seconds."""

import json

import httpx2

from tests.flows.errands import CUSTOMER, READ, REFUND, RULES, refund
from tests.support.agents import RawAgent
from tests.support.populate import breaking
from tests.support.running import PASSWORD, Person, until

SEEN_SECONDS = 4.0  # two are promised, and a busy machine may take as much again


def last_line(text: str) -> str:
    return text.rstrip("\n").rsplit("\n", 1)[-1]


def create_agent(installation, name, *options):
    """Create an agent by command; return it with the key that was printed."""
    said = installation.manage(
        "create_agent", name, "--owner", "ann", "--domain", "billing", *options
    )
    return RawAgent(installation.url, last_line(said))


def status_of(agent):
    return agent.ask("tools/list", {}).status_code


def test_new_agent_can_call_and_a_revoked_key_cannot(installation):
    agent = create_agent(installation, "newcomer", "--grace", "0")
    prefix = agent.key.split("_")[1]

    until(lambda: status_of(agent) == 200, "the key being known", SEEN_SECONDS)
    assert agent.call(READ, CUSTOMER).facts["id"] == CUSTOMER["customer"]
    assert agent.call(REFUND, refund()).facts["state"] == "pending"

    installation.manage("revoke_key", prefix)
    until(lambda: status_of(agent) == 401, "the key being refused", SEEN_SECONDS)


def test_agent_that_may_only_read_sees_no_write(installation):
    agent = create_agent(installation, "reader", "--effects", "read")
    until(lambda: status_of(agent) == 200, "the key being known", SEEN_SECONDS)

    answer = agent.ask("tools/call", {"name": REFUND, "arguments": refund()})

    assert set(agent.tools()) == {READ, "fragile__get_customer"}
    assert "Unknown tool" in answer.text


def test_new_person_signs_in_and_decides(installation, bo):
    call_id = installation.raw("hasty").call(REFUND, refund()).call_id
    installation.manage(
        "create_person", "flo", "--role", "approver", "--domain", "billing", "--password-stdin",
        stdin=f"{PASSWORD}\n",
    )  # fmt: skip

    flo = Person(installation.url, "flo")
    flo.approve(call_id)
    flo.http.close()

    assert bo.sees(call_id, "succeeded")["decisions"][0]["approver"] == "flo"


def test_new_rules_govern_the_next_call(installation, tmp_path):
    agent = installation.raw("hasty")
    words = "Refunds are closed until Monday."
    denial = {"name": "closed", "agent": "hasty", "tool": "*refund", "outcome": "deny"}
    try:
        load_rules(installation, tmp_path, [denial | {"message": words}, *RULES])
        denied = until(lambda: refused(agent), "the rule being in force", SEEN_SECONDS)
    finally:
        load_rules(installation, tmp_path, RULES)

    assert denied.facts["kind"] == "not_allowed"
    assert words in denied.text
    until(lambda: refused(agent) is None, "the old rules being in force", SEEN_SECONDS)


def refused(agent):
    answer = agent.call(REFUND, refund())
    return answer if answer.is_error else None


def load_rules(installation, folder, rules):
    file = folder / "rules.json"
    file.write_text(json.dumps({"rules": rules}))
    installation.manage("load_rules", str(file))


def test_allow_rule_runs_a_write_without_people_and_says_so(installation, tmp_path, bo):
    agent, asked = installation.raw("patient"), refund()
    rule = {"name": "small change", "agent": "patient", "tool": REFUND, "outcome": "allow"}
    try:
        load_rules(installation, tmp_path, [rule, *RULES])
        answer = agent.call(REFUND, asked)
    finally:
        load_rules(installation, tmp_path, RULES)

    assert answer.provenance["decided_by"] == "rule:small change"
    assert len(installation.refunds(answer.call_id)) == 1
    assert bo.call(answer.call_id)["decisions"] == []
    assert bo.events(answer.call_id)[0]["code"] == "call.admitted"


def test_new_upstream_is_listed_and_held_until_it_is_reviewed(installation, tmp_path, bo):
    agent = installation.raw("hasty")
    file = tmp_path / "mcp.json"
    entry = breaking("extra", installation.data)
    file.write_text(json.dumps({"mcpServers": {"extra": entry}}))

    said = installation.manage("import_upstreams", str(file), "--domain", "billing")

    assert "extra__refund" in said
    until(lambda: "extra__get_customer" in agent.tools(), "the tool being listed", SEEN_SECONDS)
    held = agent.call("extra__get_customer", CUSTOMER)
    assert bo.call(held.call_id)["effect"] == "unreviewed"
    agent.cancel(held.call_id)
    agent.status(held.call_id)

    installation.manage("review_tool", "extra", "get_customer", "--effect", "read")
    until(
        lambda: agent.call("extra__get_customer", CUSTOMER).facts.get("id"),
        "the read passing",
        SEEN_SECONDS,
    )


def test_new_domain_has_its_own_address(installation):
    installation.manage("create_domain", "travel", "--purpose", "Books trips.", "--owner", "dee")
    agent = RawAgent(f"{installation.url}/mcp/billing", installation.key_of("hasty"))
    elsewhere = RawAgent(f"{installation.url}/mcp/travel", installation.key_of("hasty"))

    assert REFUND in agent.tools()
    assert "shop__refund" not in agent.tools()
    assert elsewhere.ask("tools/list", {}).status_code == 404


def test_a_wrong_key_is_told_nothing(installation):
    key = installation.key_of("hasty")
    wrong = RawAgent(installation.url, key[:-3] + "xyz")

    answer = wrong.ask("tools/call", {"name": REFUND, "arguments": refund()})

    assert answer.status_code == 401
    assert "resource_metadata" in answer.headers["www-authenticate"]
    assert httpx2.get(f"{installation.url}/healthz").status_code == 200
