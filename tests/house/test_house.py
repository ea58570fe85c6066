"""The size of things, and the lock files: what no linter of ours counts."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
ELSEWHERE = {"var", "node_modules"}  # made at run time
LOCKS = ["requirements.txt", "requirements-dev.txt", "tests/thirdparty/mcp-server-git.txt"]


def files(*suffixes: str) -> list[Path]:
    """Return the project's own files, as paths from its root."""

    def walk(folder: Path) -> Iterator[Path]:
        for path in sorted(folder.iterdir()):
            if path.name.startswith(".") or path.name in ELSEWHERE:
                continue
            if path.is_dir():
                yield from walk(path)
            elif path.suffix in suffixes:
                yield path.relative_to(ROOT)

    return list(walk(ROOT))


def too_long(path: Path, text: str) -> list[str]:
    """Return what is too long: 400 lines for a file (tests 500), 50 for a function."""
    if "migrations" in path.parts:
        return []
    cap = 500 if path.parts[0] == "tests" else 400
    lines = text.count("\n")
    found = [f"{path}: {lines} lines, {cap} allowed"] if lines > cap else []
    if path.suffix == ".py":
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > 50:
                    found.append(
                        f"{path}:{node.lineno}: {node.name} has {length} lines, 50 allowed"
                    )
    return found


def pins(lock: str) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)==([^\s;\\]+)", (ROOT / lock).read_text(), re.MULTILINE))


def test_no_file_and_no_function_is_longer_than_the_guide_allows():
    paths = files(".py", ".js", ".html", ".sql", ".sh")

    found = [one for path in paths for one in too_long(path, (ROOT / path).read_text())]

    assert Path("manage.py") in paths
    assert found == []


@pytest.mark.parametrize(
    ("name", "text", "is_found"),
    [
        ("approvals/a.py", "x = 1\n" * 400, False),
        ("approvals/a.py", "x = 1\n" * 401, True),
        ("approvals/migrations/a.py", "x = 1\n" * 401, False),
        ("tests/a.py", "x = 1\n" * 401, False),
        ("tests/a.py", "x = 1\n" * 501, True),
        ("a.py", "def f():\n" + "    x = 1\n" * 49, False),
        ("a.py", "def f():\n" + "    x = 1\n" * 50, True),
        ("a.py", "class A:\n    async def f():\n" + "        x = 1\n" * 50, True),
        ("a.js", "x = 1\n" * 401, True),
    ],
)
def test_the_yardstick_itself_measures(name, text, is_found):
    assert bool(too_long(Path(name), text)) == is_found


def test_folders_of_tests_are_no_packages_that_could_hide_ours():
    tests = [path for path in files(".py") if path.parts[0] == "tests"]

    assert Path("tests/conftest.py") in tests
    assert not [path for path in tests if path.name == "__init__.py"]


def test_tests_run_on_the_versions_the_product_runs_on():
    product, tests = pins("requirements.txt"), pins("requirements-dev.txt")

    assert product
    assert {name: tests.get(name) for name in product} == product


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_files_carry_hashes_and_no_address(lock):
    text = (ROOT / lock).read_text()
    entries = re.split(r"^(?=[\w.-]+==)", text, flags=re.MULTILINE)

    assert len(entries) > 20
    assert all("--hash=sha256:" in entry for entry in entries[1:])
    assert not re.search(r"://|--find-links|--index|--extra|@ file", text)


def test_every_test_has_the_same_name_in_every_process():
    """By its name the session on PostgreSQL finds it; an address or a random value has none."""

    def names(seed: str) -> list[str]:
        command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "tests"]
        found = subprocess.run(
            command, cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return [line for line in found.stdout.splitlines() if "::" in line]

    first = names("1")

    assert len(first) > 1_000
    assert first == names("2")
