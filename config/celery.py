"""The Celery application: `celery -A config.celery`, and the embedded worker."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("countersign")
app.config_from_object("django.conf:settings", namespace="CELERY")
# `approvals.tasks` by convention; the release lives beside the sessions it uses.
app.autodiscover_tasks()
app.autodiscover_tasks(["mcp_bridge"], related_name="release")
