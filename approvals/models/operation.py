"""What processes tell each other through the database: something changed, and I am alive."""

from django.db import models
from django.db.models import F


class Revision(models.Model):
    """A counter that caches of policy, keys and catalogue compare, at most every second."""

    number = models.PositiveBigIntegerField(default=0)

    def __str__(self) -> str:
        return str(self.number)

    @classmethod
    def current(cls) -> int:
        """Return the counter; 0 before the first change."""
        return cls.objects.filter(pk=1).values_list("number", flat=True).first() or 0

    @classmethod
    def bump(cls) -> None:
        """Tell every cache to load again. Call it inside the transaction that changed something."""
        if not cls.objects.filter(pk=1).update(number=F("number") + 1):
            cls.objects.get_or_create(pk=1, defaults={"number": 1})


class Heartbeat(models.Model):
    """When a timed task last ran to its end; /readyz compares it with the clock."""

    name = models.CharField(max_length=40, primary_key=True)
    at = models.DateTimeField()

    def __str__(self) -> str:
        return self.name
