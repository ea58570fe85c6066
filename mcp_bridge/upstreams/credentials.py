"""Turns references such as `${BILLING_TOKEN}` into values, in the process that uses them.

Values never reach the database, a log line, an error or a message: only the names do.
"""

import os
import re
from collections.abc import Collection, Mapping

from approvals.errors import Misconfigured

REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
# Shorter values ("1", "true") would black out half of every sentence they happen to be in.
_SHORTEST_SECRET = 4


def resolve(settings: Mapping[str, str], *, upstream: str) -> dict[str, str]:
    """Return settings with every reference replaced by this process's environment.

    Raises:
        Misconfigured: a variable is not set; the message names it.
    """
    return {name: _resolved(str(text), upstream) for name, text in settings.items()}


def names(settings: Mapping[str, str]) -> set[str]:
    """Return the variables that settings refer to."""
    return {name for text in settings.values() for name in REFERENCE.findall(str(text))}


def overlaid(plain: Mapping[str, str], write: Mapping[str, str]) -> dict[str, str]:
    """Return the write set laid over the plain one.

    What refers to a secret belongs to its own set only: a worker has the secrets of the write set,
    and need not have those of the plain one.
    """
    return {key: text for key, text in plain.items() if not REFERENCE.search(text)} | dict(write)


def redacted(text: str, variables: Collection[str]) -> str:
    """Return what an upstream said, with the values of these variables taken out."""
    for name in sorted(variables):
        value = os.environ.get(name, "")
        if len(value) >= _SHORTEST_SECRET:
            text = text.replace(value, f"${{{name}}}")
    return text


def _resolved(text: str, upstream: str) -> str:
    def value(found: re.Match[str]) -> str:
        known = os.environ.get(found[1])
        if known is None:
            raise Misconfigured(
                f"The environment variable {found[1]}, which the upstream {upstream} needs, is not"
                " set in this process."
            )
        return known

    return REFERENCE.sub(value, text)
