"""Management commands run in this process: what they print where, and their exit code."""

import io
from dataclasses import dataclass

from django.core.management import call_command
from django.core.management.base import CommandError


@dataclass
class Said:
    """What a command printed, and its exit code."""

    out: str
    err: str
    code: int


def run(*arguments: str) -> Said:
    """Run a command as if it was typed."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    try:
        call_command(*arguments, stdout=out, stderr=err)
    except CommandError as error:
        # What Django prints of it, and the code it ends with, is shown by the tests of processes.
        err.write(str(error))
        code = error.returncode
    return Said(out.getvalue(), err.getvalue(), code)
