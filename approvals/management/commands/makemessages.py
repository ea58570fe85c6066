"""`makemessages` that also finds the phrases of the packages that know no Django."""

from typing import Any

from django.core.management.commands import makemessages


class Command(makemessages.Command):
    # The names and arguments of `approvals.phrases`.
    xgettext_options = [
        *makemessages.Command.xgettext_options, "--keyword=phrase", "--keyword=phrases:1,2",
    ]  # fmt: skip

    def handle(self, *args: Any, **options: Any) -> None:
        # Nobody reads the words of tests.
        options["ignore_patterns"] = [*options["ignore_patterns"], "tests/*"]
        super().handle(*args, **options)
