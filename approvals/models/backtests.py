"""Tries of a policy on past calls: asked for by an administrator, run by a worker, kept a while."""

from django.db import models
from django.db.models import Q

from approvals.models.people import Person


class Backtest(models.Model):
    """One policy as somebody wanted to see it tried on the calls of the last days.

    Only `approvals.administration.backtests` writes it. It decides nothing.
    """

    class State(models.TextChoices):
        RUNNING = "running"  # a worker has it, or will
        DONE = "done"
        FAILED = "failed"  # `why` says why; to be tried again
        CANCELLED = "cancelled"  # the same person asked for another one meanwhile

    asked_by = models.ForeignKey(Person, on_delete=models.CASCADE, related_name="backtests")
    document = models.JSONField()  # {"rules": [...]}, as `policy.load` reads it
    document_digest = models.CharField(max_length=64)  # SHA-256 hex of its canonical bytes
    based_on = models.PositiveIntegerField()  # version in force when it was asked for; 0: none yet
    days = models.PositiveSmallIntegerField(default=30, db_default=30)  # back from `begun_at`
    state = models.CharField(max_length=10, choices=State.choices, default=State.RUNNING)
    done = models.PositiveIntegerField(default=0)  # calls tried so far
    total = models.PositiveIntegerField(default=0)  # calls there are; 0 until a worker looked
    result = models.JSONField(default=dict)  # as `policy.Comparison.as_dict` gives; {} until done
    why = models.CharField(max_length=500, blank=True)  # it failed or was cancelled
    begun_at = models.DateTimeField()
    taken_at = models.DateTimeField(null=True)  # by a worker; whoever writes it runs it
    moved_at = models.DateTimeField()  # last sign of life
    ended_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            # What somebody asked for, newest first: the try of a draft, and what is too many.
            models.Index(fields=["asked_by", "-begun_at"], name="backtest_of_person"),
            # The sweep: what no worker took, and what one left behind.
            models.Index(
                fields=["moved_at"], condition=Q(state="running"), name="backtest_running"
            ),
        ]

    def __str__(self) -> str:
        return f"try {self.pk} by {self.asked_by}"
