"""The stored policy: versions, each an ordered set of rules; `ruling` reads them as values."""

from django.db import models
from django.db.models import Value


class PolicyVersion(models.Model):
    """One whole policy as it was loaded; the newest is in force."""

    number = models.PositiveIntegerField(unique=True)
    source = models.CharField(max_length=200)  # the file it came from
    reason = models.CharField(max_length=500, blank=True)  # why, in the words of whoever loaded it
    loaded_by = models.CharField(max_length=64)  # actor, as in audit events
    loaded_at = models.DateTimeField(auto_now_add=True)
    # Who gave the second signature, as in audit events; empty where none was asked for.
    signed_by = models.CharField(max_length=64, blank=True, db_default="", default="")
    # What trying it had shown when it was published; {}: nobody had tried it.
    effect = models.JSONField(db_default=Value({}, models.JSONField()), default=dict)

    def __str__(self) -> str:
        return f"version {self.number}"


class RuleRow(models.Model):
    """One rule of one policy version."""

    version = models.ForeignKey(PolicyVersion, on_delete=models.CASCADE, related_name="rules")
    position = models.PositiveIntegerField()
    name = models.CharField(max_length=100)
    body = models.JSONField()  # the remaining fields of policy.Rule

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["version", "position"], name="one_rule_per_position"),
        ]

    def __str__(self) -> str:
        return self.name
