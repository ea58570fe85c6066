"""The audit trail: insert-only events in streams, each carrying the digest of the one before."""

from django.db import models


class AuditStream(models.Model):
    """The head of one stream, so that a cut-off tail shows. Only `audit.record` writes it."""

    name = models.CharField(max_length=80, primary_key=True)
    seq = models.PositiveBigIntegerField(default=0)  # number of the newest event
    digest = models.CharField(max_length=64, blank=True)  # digest of the newest event

    def __str__(self) -> str:
        return self.name


class AuditEvent(models.Model):
    """One thing that happened. The database refuses to change or delete it."""

    stream = models.CharField(
        max_length=80
    )  # call:…, agent:…, upstream:…, policy, person:…, reads:…
    seq = models.PositiveBigIntegerField()  # 1, 2, 3 … within the stream
    code = models.CharField(max_length=40)  # past tense: call.approved
    actor = models.CharField(max_length=100)  # person:<name>, agent:<name>, worker:<name>, clock …
    at = models.DateTimeField()
    data = models.BinaryField()  # RFC 8785 bytes of the facts
    digest = models.CharField(max_length=64)  # SHA-256 hex over all of the above and `previous`
    previous = models.CharField(max_length=64, blank=True)  # digest of seq - 1; empty for the first

    class Meta:
        constraints = [
            # Also serves reading a stream in order.
            models.UniqueConstraint(fields=["stream", "seq"], name="one_event_per_number"),
        ]
        indexes = [
            models.Index(fields=["at"], name="event_by_time"),  # history and export by period
        ]

    def __str__(self) -> str:
        return f"{self.stream}#{self.seq} {self.code}"
