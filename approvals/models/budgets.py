"""What admitted calls took of budgets of rules; `approvals.budgets` alone writes and adds up."""

from django.db import models

from approvals.models.calls import ToolCall


class BudgetLock(models.Model):
    """What admissions under one budget queue up behind, by the name of its rule."""

    rule = models.CharField(max_length=100, primary_key=True)

    def __str__(self) -> str:
        return self.rule


class BudgetUse(models.Model):
    """The part of a rule's budget that one call took when it was admitted.

    Whether it still has it is told by the call's own state, so that the two cannot differ.
    """

    call = models.OneToOneField(
        ToolCall, primary_key=True, on_delete=models.PROTECT, related_name="budget_use"
    )
    rule = models.CharField(max_length=100)  # by name: a new version of the policy counts on
    account = models.CharField(max_length=100)  # whose calls are added up: "agent support"
    counts = models.CharField(max_length=300, blank=True)  # "amount USD:minor"; empty: calls
    amount = models.BigIntegerField()  # in ten-thousandths
    at = models.DateTimeField()

    class Meta:
        indexes = [
            # What is spent of one account since its hour or day began.
            models.Index(fields=["rule", "account", "at"], name="budget_spent"),
        ]

    def __str__(self) -> str:
        return f"{self.rule}: {self.amount} by {self.call_id}"
