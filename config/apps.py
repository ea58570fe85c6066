"""The wiring as a Django application: what every process needs, whichever way it was started."""

from django.apps import AppConfig
from django.conf import settings

from approvals import failpoints
from config import env


class ConfigConfig(AppConfig):
    """Wiring."""

    name = "config"

    def ready(self) -> None:
        """Register the checks, and make our Celery application the current one.

        Web, bridge and commands send messages without ever starting a worker; without this import
        theirs would go to Celery's own default, a broker that nobody runs.
        """
        try:
            failpoints.arm(settings.FAILPOINTS)
        except ValueError as error:
            raise env.ConfigurationError(f"COUNTERSIGN_FAILPOINTS: {error}") from error
        from config import celery, checks  # noqa: F401 - importing them is the point
