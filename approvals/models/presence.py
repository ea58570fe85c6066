"""Who has a call open right now; a hint for colleagues, never a lock and never evidence."""

from django.db import models

from approvals.models.calls import ToolCall
from approvals.models.people import Person


class Look(models.Model):
    """When a person's page last said that it shows a call."""

    call = models.ForeignKey(ToolCall, on_delete=models.CASCADE, related_name="looks")
    person = models.ForeignKey(Person, on_delete=models.CASCADE, related_name="+")
    at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["call", "person"], name="one_look_per_person"),
        ]

    def __str__(self) -> str:
        return f"{self.person_id} {self.call_id}"
