"""What the history and the insights find and count calls by; a copy, never the truth of a call."""

from django.db import models

from approvals.models.agents import Agent
from approvals.models.calls import ToolCall
from approvals.models.catalog import Domain
from approvals.models.people import Person


class HistoryRow(models.Model):
    """One call, small enough that all of them can be looked through for one page.

    `approvals.searching` writes it in the transaction that changes the call; pages show what the
    call's own row says.
    """

    call = models.OneToOneField(
        ToolCall, primary_key=True, on_delete=models.CASCADE, related_name="history_row"
    )
    created_at = models.DateTimeField()
    day = models.DateField()  # of created_at, UTC
    domain = models.ForeignKey(Domain, db_index=False, on_delete=models.CASCADE, related_name="+")
    agent = models.ForeignKey(Agent, db_index=False, on_delete=models.CASCADE, related_name="+")
    owner = models.ForeignKey(Person, db_index=False, on_delete=models.CASCADE, related_name="+")
    acts_for = models.ForeignKey(Person, db_index=False, on_delete=models.CASCADE, related_name="+")
    tool_name = models.CharField(max_length=64)
    status = models.CharField(max_length=12)
    by_rule = models.BooleanField()  # an allow rule let it through; nobody was asked
    deciders = models.TextField()  # ",bo,cy," or "rule:<name>"; empty: nobody
    decided_seconds = models.PositiveIntegerField(null=True)  # until people had decided
    text = models.TextField()  # lower case: what never changes of it
    said = models.TextField()  # lower case: who decided, and every reason given

    class Meta:
        indexes = [
            # The newest page of the history, and the page after any row of it.
            models.Index(fields=["-created_at", "-call"], name="history_newest"),
            # Calls a day by outcome, read from the index alone: the chart of the history, insights.
            models.Index(
                fields=["day", "status", "by_rule", "domain", "owner", "acts_for"],
                name="history_by_day",
            ),
            # The facets' counts, read from the index alone where no word is looked for.
            models.Index(
                fields=[
                    "status",
                    "domain",
                    "tool_name",
                    "agent",
                    "deciders",
                    "owner",
                    "acts_for",
                ],
                name="history_facets",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.tool_name} {self.call_id}"
