"""A project of two small packages around our own `manage.py`, so that a set-up takes seconds.

What comes from outside is faked, an index of wheels in a folder; what `manage.py` needs
before Django is loaded are the real files, run by the Python below this environment.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PYTHON = Path(sys.base_prefix, "bin", "python3")
OURS = ["manage.py", *(f"config/{name}.py" for name in ("__init__", "bootstrap", "env"))]
OURS += ["config/environments.py"]
# Stands in for Django: says what it was asked and where it runs.
DJANGO = """
import importlib.util, os, sys
VERSION = {version!r}
def execute_from_command_line(argv):
    print("command", *argv[1:], "version", VERSION, "prefix", sys.prefix)
    print("devtool", importlib.util.find_spec("devtool") is not None)
    print("data", os.environ.get("COUNTERSIGN_DATA"))
"""


@dataclass(frozen=True)
class Done:
    """What one start of `manage.py` came to."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class TinyProject:
    """A folder that looks like a fresh clone."""

    root: Path

    @property
    def stamp(self) -> Path:
        """The file that says what was installed."""
        return self.root / ".venv" / "countersign.json"

    @property
    def packages(self) -> Path:
        """The environment's site-packages."""
        return next((self.root / ".venv" / "lib").glob("python3.*")) / "site-packages"

    def environment(self, **more: str) -> dict[str, str]:
        """Return the environment of a machine that has nothing but Python and the index."""
        return {
            "PATH": "/usr/bin:/bin",
            "HOME": str(self.root / "home"),
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self.root / "index"),
            "PIP_RETRIES": "0",
            **more,
        }

    def popen(
        self, *arguments: str, python: str | Path = PYTHON, **more: str
    ) -> subprocess.Popen[str]:
        """Start `manage.py` and do not wait."""
        return subprocess.Popen(
            [str(python), "manage.py", *arguments],
            cwd=self.root,
            env=self.environment(**more),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def start(self, *arguments: str, python: str | Path = PYTHON, **more: str) -> Done:
        """Start `manage.py` and wait for its end."""
        return self.wait(self.popen(*arguments, python=python, **more))

    def wait(self, process: subprocess.Popen[str]) -> Done:
        """Wait for the end of a start."""
        try:
            out, err = process.communicate(timeout=90)
        finally:
            process.kill()
        return Done(process.returncode, out, err)

    def publish(self, name: str, version: str, code: str = "") -> str:
        """Put a package into the index; return its line for a lock file."""
        wheel = self.root / "index" / f"{name}-{version}-py3-none-any.whl"
        wheel.parent.mkdir(exist_ok=True)
        about = f"{name}-{version}.dist-info"
        module = "django/core/management/__init__" if name == "django" else name
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr(f"{module}.py", code)
            archive.writestr(
                f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
            )
            archive.writestr(
                f"{about}/WHEEL",
                "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            )
            archive.writestr(f"{about}/RECORD", "")
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        return f"{name}=={version} \\\n    --hash=sha256:{digest}\n"

    def lock(self, django: str) -> None:
        """Write the requirements, with Django at this version."""
        product = self.publish("django", django, DJANGO.format(version=django))
        (self.root / "requirements.in").write_text("django\n")
        (self.root / "requirements.txt").write_text(product)
        (self.root / "requirements-dev.in").write_text("-r requirements.in\ndevtool\n")
        (self.root / "requirements-dev.txt").write_text(product + self.publish("devtool", "1.0"))


def create(root: Path) -> TinyProject:
    """Return a fresh clone without an environment."""
    for name in OURS:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    (root / "home").mkdir()
    project = TinyProject(root)
    project.lock("5.2.0")
    return project


def copy(project: TinyProject, root: Path) -> TinyProject:
    """Return a copy that a test may damage."""
    shutil.copytree(project.root, root, symlinks=True)
    return TinyProject(root)
