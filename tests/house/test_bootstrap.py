"""What a newcomer meets before anything is installed: real starts of `manage.py`."""

import ast
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from config import bootstrap
from tests.support import tiny_project
from tests.support.tiny_project import ROOT, Done, TinyProject


@pytest.fixture
def fresh(tmp_path) -> TinyProject:
    return tiny_project.create(tmp_path / "clone")


@pytest.fixture(scope="module")
def _built(tmp_path_factory) -> TinyProject:
    project = tiny_project.create(tmp_path_factory.mktemp("tiny") / "clone")
    assert project.start("check").code == 0
    return project


@pytest.fixture
def built(_built, tmp_path) -> TinyProject:
    return tiny_project.copy(_built, tmp_path / "clone")


@pytest.fixture
def silent_index() -> Iterator[socket.socket]:
    """An index that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        yield server


def waiting_on(server: socket.socket) -> dict[str, str]:
    address = f"http://127.0.0.1:{server.getsockname()[1]}/simple"
    return {"PIP_INDEX_URL": address, "PIP_NO_INDEX": "0", "PIP_FIND_LINKS": ""}


def is_one_sentence(done: Done) -> bool:
    lines = done.err.strip().splitlines()
    return lines[-1].startswith("Countersign") and "Traceback" not in done.err and not done.out


def test_first_start_builds_and_the_second_sets_up_nothing(fresh):
    first = fresh.start("hello", "--flag")
    shutil.rmtree(fresh.root / "index")
    second = fresh.start("hello", "--flag")

    assert first.code == second.code == 0
    assert "installing what requirements.txt lists into .venv" in first.err
    assert f"command hello --flag version 5.2.0 prefix {fresh.root}/.venv" in second.out
    assert second.err == ""


def test_newer_lock_updates_the_environment(built):
    built.lock("5.2.1")

    done = built.start("hello")

    assert "version 5.2.1" in done.out
    assert built.start("hello").err == ""


def test_tests_upgrade_an_environment_made_for_running(built):
    assert "devtool False" in built.start("hello").out

    done = built.start("test", "-x")

    assert "installing what requirements-dev.txt lists" in done.err
    assert "command test -x" in done.out
    assert "devtool True" in done.out
    assert built.start("hello").err == ""


def test_environment_of_an_interpreter_that_has_everything_is_used(built):
    """A container image or somebody's own environment: no stamp of ours, every version right."""
    built.stamp.unlink()

    done = built.start("hello", python=built.root / ".venv/bin/python")

    assert done.code == 0
    assert done.err == ""


def test_ctrl_c_says_one_line_and_the_next_start_repairs(fresh, silent_index):
    process = fresh.popen("hello", **waiting_on(silent_index))
    connection, _ = silent_index.accept()

    with connection:
        process.send_signal(signal.SIGINT)
        stopped = fresh.wait(process)
    repaired = fresh.start("hello")

    assert stopped.code == 130
    assert stopped.err.splitlines()[1:] == [
        "Countersign: stopped while setting up; the next start does the rest."
    ]
    assert "version 5.2.0" in repaired.out


def test_start_after_a_kill_waits_for_the_orphan_and_then_repairs(fresh, silent_index):
    killed = fresh.popen("hello", **waiting_on(silent_index))
    connection, _ = silent_index.accept()
    killed.kill()
    killed.communicate(timeout=10)

    second = fresh.popen("hello")
    assert second.stderr is not None
    said = second.stderr.readline()
    silent_index.close()
    connection.close()  # the orphaned pip gives up
    done = fresh.wait(second)

    assert said == "Countersign: another start is setting up; waiting for it.\n"
    assert done.code == 0
    assert "version 5.2.0" in done.out


def test_of_two_starts_at_once_one_builds_and_both_run(fresh):
    processes = [fresh.popen("hello") for _ in range(2)]

    done = [fresh.wait(process) for process in processes]

    assert [one.code for one in done] == [0, 0]
    assert sum("installing" in one.err for one in done) == 1


@pytest.mark.parametrize("stamp", ["unfinished", "[]", '{"requirements.txt": "old"}'])
def test_unfinished_or_foreign_stamp_is_repaired(built, stamp):
    built.stamp.write_text(stamp)

    done = built.start("hello")

    assert done.code == 0
    assert "installing" in done.err


def test_unfinished_environment_is_emptied_before_it_is_built(built):
    leftover = built.packages / "half_written.py"
    leftover.touch()
    built.stamp.write_text("unfinished")

    built.start("hello")

    assert not leftover.exists()


def test_removed_package_is_brought_back(built):
    shutil.rmtree(built.packages / "django")

    assert "version 5.2.0" in built.start("hello").out


def test_environment_of_an_exchanged_python_is_built_anew(built):
    """An upgrade of the system turned Python 3.10 into 3.11 below the environment."""
    built.packages.parent.rename(built.packages.parent.with_name("python3.10"))

    assert "version 5.2.0" in built.start("hello").out


def test_environment_that_lost_its_head_does_not_loop(built):
    (built.root / ".venv" / "pyvenv.cfg").unlink()

    done = built.start("hello")

    assert done.code == 2
    assert is_one_sentence(done)
    assert "delete it and run the same command again" in done.err


def test_broken_uv_is_no_obstacle(fresh):
    uv = fresh.root / "home" / "uv"
    uv.write_text("#!/bin/sh\necho 'error: no certificates'; exit 2\n")
    uv.chmod(0o755)

    done = fresh.start("hello", PATH=f"{uv.parent}:/usr/bin:/bin")

    assert done.code == 0
    assert "uv gave up (error: no certificates); going on without it." in done.err
    assert "version 5.2.0" in done.out


def test_no_network_is_one_sentence(fresh):
    done = fresh.start(
        "hello", PIP_INDEX_URL="http://127.0.0.1:1/simple", PIP_NO_INDEX="0", PIP_FIND_LINKS=""
    )

    assert done.code == 2
    assert is_one_sentence(done)
    assert "check the network" in done.err


@pytest.mark.parametrize("lock", ["django==5.2.0\n", "django==5.2.0 --hash=sha256:" + "0" * 64])
def test_package_without_its_locked_hash_is_not_installed(fresh, lock):
    (fresh.root / "requirements.txt").write_text(lock)

    done = fresh.start("hello")

    assert done.code == 2
    assert is_one_sentence(done)


def test_missing_venv_module_is_one_sentence(fresh):
    shim = fresh.root / "home" / "sitecustomize.py"
    shim.write_text("import sys\nsys.modules['ensurepip'] = None\n")

    done = fresh.start("hello", PYTHONPATH=str(shim.parent))

    assert done.code == 2
    assert is_one_sentence(done)
    assert "apt install python3-venv" in done.err


def test_read_only_folder_is_one_sentence(fresh):
    fresh.root.chmod(0o555)
    # Root may write everywhere, as long as it has that capability.
    drop = ["setpriv", "--bounding-set=-dac_override"] if os.geteuid() == 0 else []
    try:
        run = subprocess.run(
            [*drop, tiny_project.PYTHON, "manage.py", "hello"],
            cwd=fresh.root,
            env=fresh.environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        fresh.root.chmod(0o755)
    done = Done(run.returncode, run.stdout, run.stderr)

    assert done.code == 2
    assert is_one_sentence(done)
    assert "cannot be written (Permission denied)" in done.err


def test_old_python_is_one_sentence():
    source = (ROOT / "manage.py").read_text()
    pretend = (
        "import runpy, sys; sys.version_info = (3, 6, 15, 'final', 0);"
        " runpy.run_path('manage.py', run_name='__main__')"
    )

    done = subprocess.run(
        [sys.executable, "-c", pretend], cwd=ROOT, capture_output=True, text=True, check=False
    )

    ast.parse(source, feature_version=(3, 6))  # raises where it does not parse
    assert source.isascii()  # Python 2 reads nothing else
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "needs Python 3.11 or newer and this is Python 3.6" in done.stderr


def test_bootstrap_needs_nothing_but_the_standard_library():
    done = subprocess.run(
        [sys.executable, "-S", "-W", "error", "-c", "import config.bootstrap"],
        cwd=ROOT,
        check=False,
    )

    assert done.returncode == 0


def test_bootstrap_can_be_forbidden(fresh):
    done = fresh.start("hello", COUNTERSIGN_NO_BOOTSTRAP="1")

    assert done.code == 2
    assert is_one_sentence(done)
    assert not (fresh.root / ".venv").exists()


@pytest.mark.parametrize(
    ("arguments", "setting"),
    [([], {"PENDING_PER_AGENT": "many"}), (["--data", "/dev/null/x"], {})],
)
def test_setting_that_cannot_be_used_is_one_sentence(arguments, setting):
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}

    run = subprocess.run(
        [sys.executable, "manage.py", "check", *arguments],
        cwd=ROOT,
        env={**inherited, **setting},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    done = Done(run.returncode, run.stdout, run.stderr)

    assert done.code == 2
    assert is_one_sentence(done)


def test_bare_interpreter_does_not_provide_the_requirements():
    assert bootstrap.provides(ROOT / "requirements-dev.txt")  # this one does
    assert not bootstrap.provides(ROOT / "tests/thirdparty/mcp-server-git.txt")


@pytest.mark.parametrize("form", [["--data", "here"], ["--data=here"]])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_data_is_taken_from_any_command_and_made_absolute(monkeypatch, tmp_path, form, place):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COUNTERSIGN_DATA", "before")
    rest = ["up", "--port=1"]

    kept = bootstrap.take_data(["manage.py", *rest[:place], *form, *rest[place:]])

    assert kept == ["manage.py", "up", "--port=1"]
    assert os.environ["COUNTERSIGN_DATA"] == str(tmp_path / "here")


def test_what_stands_after_two_dashes_is_not_ours(monkeypatch):
    monkeypatch.setenv("COUNTERSIGN_DATA", "before")

    assert bootstrap.take_data(["m", "test", "--", "--data", "x"])[2:] == ["--", "--data", "x"]
    assert os.environ["COUNTERSIGN_DATA"] == "before"


@pytest.mark.parametrize(
    "arguments", [["--data"], ["--data="], ["--data", "--port"], ["--data", "manage.py"]]
)
def test_data_without_a_folder_is_one_sentence(fresh, arguments):
    done = fresh.start("up", *arguments)

    assert done.code == 2
    assert is_one_sentence(done)
    assert done.err.startswith("Countersign: --data ")
