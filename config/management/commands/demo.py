"""`manage.py demo`: everything started, with people to sign in as and two calls that wait."""

from typing import Any

from django.conf import settings

from config import demo, starting
from config.management.commands import up


class Command(up.Command):
    help = "Starts Countersign with example people, upstreams and an agent, on SQLite."

    def handle(self, *args: str, **options: Any) -> None:
        if not settings.IS_EMBEDDED or settings.DATABASE_URL:
            raise starting.CannotStart(
                "The demo runs on its own: unset DATABASE_URL and REDIS_URL first."
            )
        self.stdout.write("Preparing the demo…")
        self.stdout.flush()
        super().handle(*args, **options)

    def prepare(self) -> None:
        """Create what the demo shows, before anything serves it."""
        self.demo = demo.prepare()

    def ready(self, url: str) -> None:
        """Send the first calls through the bridge, then say what to open."""
        demo.send_first_calls(self.demo, url)
        self.stdout.write(demo.words(self.demo, url))
        self.stdout.flush()
