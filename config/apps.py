"""The wiring as a Django application: what every process needs, whichever way it was started."""

from django.apps import AppConfig


class ConfigConfig(AppConfig):
    """Wiring."""

    name = "config"

    def ready(self) -> None:
        """Make our Celery application the current one.

        Web, bridge and commands send messages without ever starting a worker; without this import
        theirs would go to Celery's own default, a broker that nobody runs.
        """
        from config import celery  # noqa: F401 - importing it is the point
