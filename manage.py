#!/usr/bin/env python3
"""The one entry point, `python3 manage.py COMMAND [--data DIR] ...`; sets up `.venv` if it must."""

import os
import sys


def main():  # type: () -> None
    """Hand over to Django, in an interpreter that has what the command needs."""
    # This file must parse on old Pythons, so that their users get a sentence, not a traceback.
    if sys.version_info < (3, 11):
        sys.stderr.write(
            "Countersign needs Python 3.11 or newer and this is Python %d.%d:"
            " install one and start it with that, as in `python3.11 manage.py demo`.\n"
            % sys.version_info[:2]
        )
        sys.exit(2)

    from config import bootstrap, environments
    from config.env import ConfigurationError

    arguments = bootstrap.start(sys.argv)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

    from django.core.management import execute_from_command_line

    try:
        execute_from_command_line(arguments)
    except ConfigurationError as error:  # raised while the settings are read
        environments.say(str(error))
        sys.exit(2)


if __name__ == "__main__":
    main()
