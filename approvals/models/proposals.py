"""What is to become the policy: working copies, and what waits for a second signature."""

from django.db import models
from django.db.models import F, Q

from approvals.models.people import Person
from approvals.models.policy import PolicyVersion


class PolicyDraft(models.Model):
    """One administrator's working copy of the rules; nobody is governed by it."""

    author = models.OneToOneField(Person, on_delete=models.CASCADE, related_name="policy_draft")
    based_on = models.PositiveIntegerField()  # the version it was begun from; 0: the seed
    document = models.JSONField()  # {"rules": [...]}; may be wrong in any way `policy.load` tells
    revision = models.PositiveIntegerField(default=1)  # +1 per save; an older one saves nothing
    changed_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.author}'s draft"


class Proposal(models.Model):
    """A policy under which a call could need fewer people: it waits for a second administrator.

    Only `administration.proposals` moves it, once, from open to where it ends.
    """

    class State(models.TextChoices):
        OPEN = "open"  # it waits
        SIGNED = "signed"  # another administrator signed it, and it came into force then
        WITHDRAWN = "withdrawn"  # an administrator took it back
        EXPIRED = "expired"  # nobody signed it in time
        APPLIED = "applied"  # nobody else could have signed it: it came into force by the clock

    document = models.JSONField()  # {"rules": [...]}, as `policy.dump` writes it
    based_on = models.PositiveIntegerField()  # the version it is to replace, and no other
    source = models.CharField(max_length=200)  # as of a version
    reason = models.CharField(max_length=500, blank=True)
    proposed_by = models.CharField(max_length=64)  # actor, as in audit events
    proposer = models.ForeignKey(
        Person, null=True, on_delete=models.PROTECT, related_name="proposals"
    )  # null: the command line
    evidence = models.JSONField()  # what could need fewer people, see administration.loosening
    effect = models.JSONField(default=dict)  # what trying it had shown by then; {}: nobody tried it
    state = models.CharField(max_length=12, choices=State.choices, default=State.OPEN)
    opened_at = models.DateTimeField()
    # When it comes into force by the clock; null: it does not, another administrator is there.
    applies_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField()
    signed_by = models.ForeignKey(
        Person, null=True, on_delete=models.PROTECT, related_name="signed_proposals"
    )
    ended_at = models.DateTimeField(null=True)
    end_reason = models.CharField(max_length=500, blank=True)  # why it was withdrawn, or expired
    version = models.OneToOneField(
        PolicyVersion, null=True, on_delete=models.PROTECT, related_name="proposal"
    )  # what it became

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(signed_by=None) | Q(proposer=None) | ~Q(signed_by=F("proposer")),
                name="proposal_signed_by_another",
            ),
            models.CheckConstraint(
                condition=Q(state="signed", signed_by__isnull=False)
                | (~Q(state="signed") & Q(signed_by=None)),
                name="proposal_signed_has_a_signer",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["signed", "applied"], version__isnull=False)
                | (~Q(state__in=["signed", "applied"]) & Q(version=None)),
                name="proposal_in_force_has_a_version",
            ),
            models.CheckConstraint(
                condition=Q(state="open", ended_at=None)
                | (~Q(state="open") & Q(ended_at__isnull=False)),
                name="proposal_open_has_not_ended",
            ),
        ]
        indexes = [
            # What waits, for the queue and, once a second, for the sweep.
            models.Index(
                fields=["expires_at"], condition=Q(state="open"), name="proposal_that_waits"
            ),
        ]

    def __str__(self) -> str:
        return f"proposal {self.pk}"

    @property
    def is_open(self) -> bool:
        """Tell whether it still waits."""
        return self.state == self.State.OPEN
