"""Freezes: periods of one domain in which no rule lets a write through by itself."""

from datetime import datetime

from django.db import models
from django.db.models import F, Q

from approvals.models.catalog import Domain


class Freeze(models.Model):
    """One period, from `begins_at` (included) to `ends_at` (excluded); what is over stays."""

    domain = models.ForeignKey(Domain, on_delete=models.CASCADE, related_name="freezes")
    reason = models.CharField(max_length=140)
    begins_at = models.DateTimeField()
    ends_at = models.DateTimeField()  # ended early: when it was
    # Whose approval is asked meanwhile: the name of a group of the domain; empty: any approver.
    group = models.CharField(max_length=64, blank=True)
    reads = models.BooleanField(default=False)  # it holds reads as well
    added_by = models.CharField(max_length=64)  # actor, as in audit events
    ended_by = models.CharField(max_length=64, blank=True)  # only where that was early

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(begins_at__lte=F("ends_at")), name="freeze_begins_before_it_ends"
            ),
        ]
        indexes = [
            # Whether one is on in a domain, asked for each call that a rule allows there.
            models.Index(fields=["domain", "ends_at"], name="freeze_of_domain"),
        ]

    def __str__(self) -> str:
        return f"{self.domain}: {self.reason}"

    def is_on(self, at: datetime) -> bool:
        """Tell whether it is on at a moment."""
        return self.begins_at <= at < self.ends_at
