"""The table of races: every line is kept or said to be elsewhere, and every guard still stands.

That each test fails without its guard is seen by `.ci/guards`; here two of them are tried.
"""

import ast
from pathlib import Path

import pytest

from config import bootstrap
from tests.faults import planted
from tests.races import removing
from tests.races.guards import GUARDS
from tests.races.promises import BOTH, ELSEWHERE, LINES, PROMISES, SQLITE
from tests.support import racing
from tests.support.running import ROOT

TESTS = sorted({promise.test for promise in PROMISES})
FAILED = (pytest.fail.Exception.__module__, pytest.fail.Exception.__name__)
# Cheap ones: of what stands in a page, and of what a worker does.
TRIED = ["form-of-this-version", "today-again"]


def functions(path: Path) -> dict[str, ast.FunctionDef]:
    nodes = ast.parse(path.read_text()).body
    return {node.name: node for node in nodes if isinstance(node, ast.FunctionDef)}


def marks(test: str) -> set[str]:
    """Return the names of the marks on a test."""
    file, _, name = test.partition("::")
    decorators = functions(ROOT / file)[name].decorator_list
    return {ast.unparse(one).removeprefix("pytest.mark.").partition("(")[0] for one in decorators}


def test_every_race_that_was_thought_of_is_kept_or_is_said_to_be_elsewhere():
    kept = {promise.line for promise in PROMISES}

    assert kept | set(ELSEWHERE) == set(LINES)
    assert not kept & set(ELSEWHERE)


@pytest.mark.parametrize("test", TESTS)
def test_every_promise_has_its_test(test):
    file, _, name = test.partition("::")

    assert name in functions(ROOT / file)


def test_a_promise_of_one_database_says_why_and_its_test_may_run_there():
    for promise in PROMISES:
        assert bool(promise.why) == (promise.databases != BOTH), promise.says
        others = set(BOTH) - set(promise.databases)
        # What runs on one database only can promise nothing of the other.
        assert marks(promise.test) & set(BOTH) in (set(), set(promise.databases)), promise.says
        assert not others & marks(promise.test), promise.says


def test_every_guard_keeps_a_promise_and_every_promise_has_a_guard():
    assert {promise.guard for promise in PROMISES} == set(GUARDS)


def test_it_is_started_with_what_tests_need():
    requirements = bootstrap.requirements_for(["manage.py", "race_guards"])

    assert requirements.name == "requirements-dev.txt"


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    return planted.copy(tmp_path_factory.mktemp("guards"))


@pytest.mark.parametrize("name", GUARDS)
def test_every_guard_still_stands_in_the_code_and_what_is_left_can_be_read(name, tree):
    files = {edit.file for edit in GUARDS[name].edits}
    before = {file: (tree / file).read_text() for file in files}
    try:
        removing.take_out(GUARDS[name], tree)

        for file in files:
            left = (tree / file).read_text()
            assert left != before[file]
            if file.endswith(".py"):
                ast.parse(left)
    finally:
        for file, text in before.items():
            (tree / file).write_text(text)


@pytest.mark.timeout(1_800)  # each is a session of its own
@pytest.mark.parametrize("name", TRIED)
def test_without_its_guard_a_test_fails(name):
    tests = removing.tests_of(name, SQLITE)

    ran = removing.run(tests, GUARDS[name], SQLITE)

    assert removing.missed(tests, ran) == {}


@pytest.mark.parametrize(
    ("when", "outcome", "module", "error", "words", "is_as_it_must"),
    [
        ("call", "failed", "builtins", "AssertionError", "assert 1 == 2", True),
        ("call", "failed", *FAILED, "DID NOT RAISE", True),
        ("call", "failed", "approvals.errors", "BindingBroken", "", True),
        ("call", "passed", "", "", "", False),
        ("setup", "failed", "builtins", "AssertionError", "", False),
        ("call", "failed", *FAILED, "Timeout (>900.0s)", False),
        ("call", "failed", "builtins", "ModuleNotFoundError", "", False),
        ("call", "failed", "tests.support.racing", "OneOrderOnly", "", False),
    ],
)
def test_only_a_test_that_says_no_itself_has_failed_as_it_must(
    when, outcome, module, error, words, is_as_it_must
):
    ran = removing.Ran("test", when, outcome, module, error, words)

    assert ran.failed_as_it_must() == is_as_it_must


def test_what_did_not_run_or_passed_with_some_parameters_is_missed():
    failed = removing.Ran("a::b[1]", "call", "failed", "builtins", "AssertionError", "")
    passed = removing.Ran("a::b[2]", "call", "passed", "", "", "")

    assert removing.missed(["a::b"], [failed]) == {}
    assert set(removing.missed(["a::b", "a::c"], [failed, passed])) == {"a::b", "a::c"}


def test_a_race_goes_on_until_each_order_was_seen():
    went = []
    for race in racing.rounds("one", "other", least=3):
        race.went("other" if race.number == 7 else "one")
        went.append(race.number)

    assert went == list(range(8))


def goes(*orders: object) -> list[object]:
    """Let every round of a race go in the next of these orders, over and over."""
    seen = []
    for race in racing.rounds("one", "other"):
        race.went(orders[race.number % len(orders)])
        seen.append(race.order)
    return seen


def test_a_race_that_goes_either_way_ends():
    assert goes("one", "other") == ["one", "other"] * (racing.ROUNDS // 2)


@pytest.mark.parametrize("order", ["one", "a third", None])
def test_a_race_that_always_goes_one_way_or_does_not_say_fails(order):
    with pytest.raises(racing.OneOrderOnly):
        goes(order)
