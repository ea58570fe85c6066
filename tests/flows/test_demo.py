"""Story: a newcomer's first command, the line it prints, and the first refund they approve."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE

import pytest

from tests.support.running import ROOT, Installation, Person, Process, until

pytestmark = pytest.mark.sqlite


@pytest.fixture
def demo(tmp_path: Path):
    """Return an installation whose process is `manage.py demo`."""
    installation = Installation(tmp_path)
    command = [sys.executable, "manage.py", "demo", "--port", str(installation.port)]
    environment = installation.environment()
    installation.process = Process(
        [*command, "--data", str(tmp_path)], tmp_path / "out", environment
    )
    yield installation
    installation.close()


def said(demo: Installation) -> str:
    return demo.process.log.read_text()


def signed_in(demo: Installation, name: str) -> Person:
    password = re.findall(r"password (\S+)", said(demo))[-1]
    demo.people[name] = Person(demo.url, name, password)
    return demo.people[name]


def pending(person: Person, amount: int) -> str:
    """Return the id of the pending refund of this amount; empty where there is none."""
    calls = person.get("calls/", status="pending")["results"]
    return next((call["id"] for call in calls if call["arguments"].get("amount") == amount), "")


def test_the_demo_opens_on_a_refund_and_a_deploy_and_the_refund_can_be_approved(demo):
    demo.process.start("Ctrl-C stops everything")
    bo = signed_in(demo, "bo")
    refund = bo.call(pending(bo, 42_000))
    before = len(demo.refunds())

    bo.approve(refund["id"])
    bo.sees(refund["id"], "succeeded")
    (row,) = demo.refunds(refund["id"])
    assert refund["arguments"]["amount"] == row["amount"] == 42_000
    assert len(demo.refunds()) == before + 1

    line = shlex.split(next(line for line in said(demo).splitlines() if "agent.py" in line))
    asking = [sys.executable, *line[1:]]
    with subprocess.Popen(asking, cwd=ROOT, env=demo.environment(), stdout=PIPE) as agent:
        second = until(lambda: pending(bo, 1850), "the refund of the line that was printed")
        bo.approve(second)
        told, _ = agent.communicate(timeout=30)
    assert agent.returncode == 0, told
    assert demo.refunds(second)
    assert signed_in(demo, "dee").get("calls/", status="pending")["results"]
    assert demo.stop() == 0

    demo.process.start("Ctrl-C stops everything")  # goes on where it ended
    assert len(bo.get("calls/", status="succeeded")["results"]) == 2


def test_the_demo_says_in_one_sentence_why_it_does_not_start(demo):
    demo.manage(
        "create_person", "ann", "--role", "admin", "--password-stdin", stdin="long-enough-9"
    )

    refused = demo.try_manage("demo")

    assert "holds an installation already: choose --data DIR" in refused
    assert "Traceback" not in refused


@pytest.mark.parametrize("url", ["mysql://u:secret-word@h/d", "nonsense", "foo://x"])
def test_a_database_without_guards_is_refused_in_one_sentence(demo, url: str):
    demo.settings = {"DATABASE_URL": url}

    refused = demo.try_manage("up")

    assert refused.startswith("Countersign: DATABASE_URL must be postgres://")
    assert refused.count("\n") == 1
    assert "secret-word" not in refused
