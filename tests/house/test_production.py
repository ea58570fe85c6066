"""What the production files promise: one image, each part its own secrets, every setting named."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
OURS = {"web", "bridge", "worker", "beat", "migrate"}
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]


def files_of(service: str) -> list[str]:
    entries = SERVICES[service]["env_file"]
    return [entry["path"] if isinstance(entry, dict) else entry for entry in entries]


def test_every_part_runs_from_the_one_image():
    assert set(SERVICES) == OURS | {"postgres", "redis"}
    assert {SERVICES[name]["image"] for name in OURS} == {"countersign"}


@pytest.mark.parametrize("name", ["web", "bridge"])
def test_pages_and_agents_have_processes_of_their_own(name):
    command = SERVICES[name]["command"].split()

    assert command[:2] == ["uvicorn", f"config.asgi:{name}"]
    assert command[command.index("--ws") + 1] == "websockets-sansio"


def test_only_the_worker_sees_write_credentials():
    seen = {name: [file for file in files_of(name) if "write" in file] for name in OURS}

    assert seen.pop("worker") == ["credentials/write.env"]
    assert not any(seen.values())
    assert "credentials/read.env" in files_of("bridge")
    assert "credentials/read.env" not in files_of("web")


def test_every_part_waits_for_the_migration():
    for name in OURS - {"migrate"}:
        waits_for = SERVICES[name]["depends_on"]["migrate"]
        assert waits_for == {"condition": "service_completed_successfully"}
    assert SERVICES["migrate"]["command"].split()[:3] == ["python", "manage.py", "migrate"]


def test_no_secret_is_written_down():
    for name, service in SERVICES.items():
        for variable, value in service.get("environment", {}).items():
            if re.search("SECRET|PASSWORD|TOKEN", variable) or re.search("://.*@", value):
                assert re.search(r"\$\{\w+:\?", value), f"{name}: {variable}"
    written = re.findall(r"^(SECRET_KEY|POSTGRES_PASSWORD)=(.*)$", example(), re.MULTILINE)
    assert written == [("SECRET_KEY", ""), ("POSTGRES_PASSWORD", "")]


def example() -> str:
    return (ROOT / ".env.example").read_text()


def test_example_names_every_setting_and_no_other():
    read = r"env\.(?:text|number|flag|words)\(\s*\"(\w+)\""
    settings = (ROOT / "config" / "settings.py").read_text()
    used = set(re.findall(read, settings)) | {"SECRET_KEY", "COUNTERSIGN_DATA"}
    used |= set(re.findall(r"\$\{(\w+):", (ROOT / "docker-compose.yml").read_text()))

    named = set(re.findall(r"^(?:# )?([A-Z_]+)=", example(), re.MULTILINE))

    assert named == used


def test_what_the_image_copies_is_enough_to_start(tmp_path):
    copied = re.findall(r"^COPY (?!--from)(.+) (\S+)$", (ROOT / "Dockerfile").read_text(), re.M)
    for sources, target in copied[1:]:  # the first one feeds the installation of packages
        for source in sources.split():
            _copy(ROOT / source, tmp_path / target / (source if target == "./" else ""))
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}

    done = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=tmp_path,
        env={**environment, "COUNTERSIGN_NO_BOOTSTRAP": "1", "SECRET_KEY": "x" * 50},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "no issues" in done.stdout
    assert not (tmp_path / "var").exists()  # the image's file system is read-only


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


def test_build_context_lets_in_what_the_image_copies():
    allowed = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.M)

    assert {source for line in copied for source in line.split()} == set(allowed)
