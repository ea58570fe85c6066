"""The Celery application: `celery -A config.celery`, and the embedded worker."""

import logging.config
import os

from celery import Celery
from celery.signals import setup_logging

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("countersign")
app.config_from_object("django.conf:settings", namespace="CELERY")
# `approvals.tasks` by convention; the release lives beside the sessions it uses.
app.autodiscover_tasks()
app.autodiscover_tasks(["mcp_bridge"], related_name="release")


@setup_logging.connect(weak=False)
def _log_like_the_others(**_: object) -> None:
    """Keep Celery's commands (beat) from setting up lines of their own form."""
    from django.conf import settings

    logging.config.dictConfig(settings.LOGGING)
