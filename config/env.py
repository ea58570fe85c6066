"""Reads the environment, once, for `config.settings`; nothing else looks at its variables."""

import os
import secrets
from pathlib import Path
from urllib.parse import urlsplit

PROJECT = Path(__file__).resolve().parent.parent


_THIS_MACHINE = ("127.0.0.1", "localhost", "::1")


class ConfigurationError(Exception):
    """What is set cannot be used; the message is one sentence that says what to do."""


def text(name: str, default: str = "") -> str:
    """Return the variable, stripped; an empty one counts as absent."""
    return os.environ.get(name, "").strip() or default


def number(name: str, default: int) -> int:
    """Return the variable as a whole number of zero or more.

    Raises:
        ConfigurationError: it is something else.
    """
    raw = text(name)
    if not raw:
        return default
    if not raw.isdecimal():
        raise ConfigurationError(f"{name} must be a whole number, not {raw!r}.")
    return int(raw)


def flag(name: str) -> bool:
    """Return whether the variable says yes: 1, true, yes or on."""
    return text(name).lower() in {"1", "true", "yes", "on"}


def words(name: str) -> list[str]:
    """Return the comma-separated parts of the variable."""
    return [part.strip() for part in text(name).split(",") if part.strip()]


def failpoints(public_url: str) -> str:
    """Return COUNTERSIGN_FAILPOINTS, where nobody but this machine is served.

    Raises:
        ConfigurationError: this is production, and must not break on purpose.
    """
    raw, address = text("COUNTERSIGN_FAILPOINTS"), urlsplit(public_url)
    if raw and (address.scheme == "https" or address.hostname not in _THIS_MACHINE):
        raise ConfigurationError(
            "COUNTERSIGN_FAILPOINTS is for tests of faults, and PUBLIC_URL says that this is no"
            " test: unset it."
        )
    return raw


def data_folder() -> Path:
    """Return the folder that holds database, secret key and logs (`--data`, else `var/`)."""
    return Path(text("COUNTERSIGN_DATA", str(PROJECT / "var"))).resolve()


def secret_key(folder: Path) -> str:
    """Return SECRET_KEY, or the key kept in the data folder, made at the first start.

    Raises:
        ConfigurationError: the folder cannot be written, or the key in it is damaged.
    """
    given = text("SECRET_KEY")
    if given:
        return given
    path = folder / "secret_key"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Exclusive creation: of two first starts at once, the second reads what the first wrote.
        with open(path, "x", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(secrets.token_urlsafe(50))
    except FileExistsError:
        pass
    except OSError as error:
        raise ConfigurationError(
            f"Cannot write {path} ({error.strerror}): choose another folder with --data DIR."
        ) from error
    try:
        kept = path.read_text(encoding="utf-8").strip()
    except UnicodeDecodeError:
        kept = ""
    if not kept:
        raise ConfigurationError(
            f"{path} is damaged: put back a copy, or delete it, and everybody signs in anew."
        )
    return kept
