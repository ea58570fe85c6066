"""Held calls, the decisions on them and their dispatch. Only `approvals.lifecycle` moves them."""

import uuid

from django.db import models
from django.db.models import F, Q

from approvals.models.agents import Agent, AgentKey
from approvals.models.catalog import Domain, Tool, Upstream
from approvals.models.people import Person


class ToolCall(models.Model):
    """One `tools/call` that an agent asked for and that people, or a named rule, decide on.

    Only `approvals.lifecycle` writes `status`; everything else reads it. What the agent asked,
    the binding and the deadlines never change; the database refuses it.
    """

    class Status(models.TextChoices):
        PENDING = "pending"  # people are being asked
        APPROVED = "approved"  # quorum reached or a rule allows it; no worker has it yet
        CLAIMED = "claimed"  # one worker leases it; nothing has been sent
        DISPATCHED = "dispatched"  # point of no return: the upstream may have acted
        SUCCEEDED = "succeeded"  # the upstream answered with a result
        FAILED = "failed"  # a definite answer that it did not work, or that nothing ran
        UNKNOWN = "unknown"  # sent, and we cannot tell what happened
        REJECTED = "rejected"  # a person said no
        EXPIRED = "expired"  # nobody decided, or nothing ran, in time
        CANCELLED = "cancelled"  # the agent or its owner withdrew it
        VOID = "void"  # what people were asked about is no longer what would run

    class Failure(models.TextChoices):
        TOOL_ERROR = "tool_error"  # the tool answered isError
        UPSTREAM_ERROR = "upstream_error"  # a JSON-RPC error the upstream wrote; nothing ran
        NOT_SENT = "not_sent"  # the connection was never opened
        NOT_RUN = "not_run"  # a person settled an unknown with evidence

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    # -- who asked, immutable
    agent = models.ForeignKey(Agent, on_delete=models.PROTECT, related_name="calls")
    key = models.ForeignKey(AgentKey, null=True, on_delete=models.SET_NULL, related_name="+")
    owner = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")  # agent's, then
    acts_for = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    claimed_acts_for = models.CharField(
        max_length=200, blank=True
    )  # the agent's words; bind nothing
    # -- what was asked, immutable
    domain = models.ForeignKey(Domain, on_delete=models.PROTECT, related_name="calls")
    upstream = models.ForeignKey(Upstream, on_delete=models.PROTECT, related_name="+")
    upstream_address = models.CharField(max_length=1000)
    credential_ref = models.CharField(max_length=1000)  # a reference, never a value
    tool = models.ForeignKey(Tool, on_delete=models.PROTECT, related_name="calls")
    tool_name = models.CharField(max_length=64)  # as agents call it
    effect = models.CharField(max_length=12)  # as judged: read … destructive, unreviewed, changed
    definition_digest = models.CharField(max_length=64)
    arguments = (
        models.BinaryField()
    )  # RFC 8785 bytes of the validated object: shown, approved, sent
    arguments_digest = models.CharField(max_length=64)  # SHA-256 hex of those bytes
    sentence = models.CharField(max_length=300)  # the words people were shown
    supersedes = models.OneToOneField(
        "self", null=True, on_delete=models.PROTECT, related_name="superseded_by"
    )
    # -- how it was judged, immutable
    policy_version = models.PositiveIntegerField()  # recorded, not bound
    rule = models.JSONField()  # the governing rule as it read then
    rule_digest = models.CharField(max_length=64)
    held_because = models.CharField(
        max_length=500, blank=True, db_default="", default=""
    )  # why, although its rule says otherwise; empty where it is not so
    quorum = models.PositiveSmallIntegerField()  # approvals needed; 0: admitted by an allow rule
    four_eyes = models.BooleanField()  # owner and acts_for may not approve
    binding = models.CharField(max_length=64)  # SHA-256 hex over everything an approval covers
    decide_by_at = models.DateTimeField()
    run_by_at = models.DateTimeField()
    created_at = models.DateTimeField()
    # -- where it is
    status = models.CharField(max_length=12, choices=Status.choices, default=Status.PENDING)
    version = models.PositiveIntegerField(default=1)  # +1 per change; pages drop older news
    moved_at = models.DateTimeField()  # when it came into this status
    settled_at = models.DateTimeField(null=True)
    status_reason = models.CharField(max_length=1000, blank=True)  # why rejected, void, unknown …
    # -- whom it waits for; follows from the rule, the decisions and the clock, kept for the queue
    stage = models.PositiveSmallIntegerField(default=0, db_default=0)  # its turn, from 1; 0: none
    asked_group = models.CharField(
        max_length=64, blank=True, default="", db_default=""
    )  # empty: all approvers
    escalated_to = models.CharField(
        max_length=64, blank=True, default="", db_default=""
    )  # a group, by now
    # When the clock next tells people of it, or asks another group; null: it has nothing to say.
    attend_at = models.DateTimeField(null=True)
    reminders = models.PositiveSmallIntegerField(default=0, db_default=0)  # how many were told
    # -- how it ended
    failure_kind = models.CharField(max_length=16, choices=Failure.choices, blank=True)
    result = models.BinaryField(null=True)  # JSON bytes of the CallToolResult, at most 1 MiB
    result_digest = models.CharField(max_length=64, blank=True)  # of the whole, before any cut
    result_is_cut = models.BooleanField(default=False)
    # -- operation; none of these change the version
    fence = models.PositiveIntegerField(default=0)  # +1 per claim, never back
    claimed_by = models.CharField(max_length=100, blank=True)
    lease_until = models.DateTimeField(null=True)
    claims_failed = models.PositiveSmallIntegerField(default=0)
    not_before = models.DateTimeField(null=True)  # parked: do not claim earlier
    needs_attention = models.CharField(max_length=500, blank=True)
    idempotency_key = models.CharField(max_length=200, blank=True)  # the caller's own
    joins_repeats = models.BooleanField(default=True)  # identical calls still join this ticket
    repeats = models.PositiveIntegerField(
        default=0, db_default=0
    )  # identical calls that were answered from its rejection
    agent_seen_at = models.DateTimeField(null=True)  # last asked for its answer
    agent_left_at = models.DateTimeField(
        null=True
    )  # its connection dropped, and it has not been back
    answer_delivered_at = models.DateTimeField(null=True)  # its answer reached an open request

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["agent", "idempotency_key"],
                condition=~Q(idempotency_key=""),
                name="one_call_per_idempotency_key",
            ),
            models.UniqueConstraint(
                fields=["agent", "tool", "arguments_digest"],
                condition=Q(joins_repeats=True, idempotency_key=""),
                name="one_open_call_per_request",
            ),
            models.CheckConstraint(
                condition=Q(decide_by_at__lte=F("run_by_at")), name="decided_before_run"
            ),
        ]
        indexes = [
            # What an agent asks again after it was rejected.
            models.Index(
                fields=["agent", "arguments_digest"],
                condition=Q(status="rejected"),
                name="call_rejected",
            ),
            # The sweeps: what expires, what waits for a worker, whose lease is over.
            models.Index(fields=["status", "decide_by_at"], name="call_sweep"),
            models.Index(fields=["status", "attend_at"], name="call_to_attend"),
            # The queue and the history of one domain; caps per domain.
            models.Index(fields=["domain", "status", "-created_at"], name="call_of_domain"),
            # What is at an upstream; whose call goes there next, and which of theirs.
            models.Index(
                fields=["upstream", "status", "agent", "moved_at"], name="call_of_upstream"
            ),
            # Caps per agent; an agent's calls.
            models.Index(fields=["agent", "status"], name="call_of_agent"),
            # How many wait for somebody, in every view of the queue: read from the index alone.
            models.Index(
                fields=[
                    "status",
                    "domain",
                    "four_eyes",
                    "owner",
                    "acts_for",
                    "version",
                    "asked_group",
                    "escalated_to",
                    "id",
                ],
                name="call_waiting",
            ),
            # What unsent calls were made for, from the index alone: the sweep compares it.
            models.Index(
                fields=["tool", "definition_digest", "status"],
                condition=Q(settled_at=None),
                name="call_unsettled",
            ),
            # Which settled calls identical ones still join; the sweep lets go of those.
            models.Index(
                fields=["settled_at"], condition=Q(joins_repeats=True), name="call_joined"
            ),
            # The queue's calls whose outcome is unknown, longest ago first.
            models.Index(fields=["status", "moved_at"], name="call_by_move"),
            # What an agent asked of a tool in the last hour and day, for conditions on `history`.
            models.Index(fields=["agent", "tool", "created_at"], name="call_of_agent_and_tool"),
            # What came before a call, of its tool: what is unusual about it, from the index alone.
            models.Index(fields=["-created_at", "tool", "id"], name="call_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.tool_name} {self.id}"


class Decision(models.Model):
    """One person's answer on one call, as bound to exactly what that person was shown."""

    class Verdict(models.TextChoices):
        APPROVE = "approve"
        REJECT = "reject"

    call = models.ForeignKey(ToolCall, on_delete=models.PROTECT, related_name="decisions")
    approver = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="decisions")
    verdict = models.CharField(max_length=8, choices=Verdict.choices)
    stage = models.PositiveSmallIntegerField(default=0, db_default=0)  # as its call's, then
    reason = models.CharField(max_length=1000, blank=True)
    binding = models.CharField(max_length=64)  # the one the page showed
    assurance = models.CharField(max_length=16, default="session")  # how the person was known
    at = models.DateTimeField()
    # Copied so that the database itself can refuse an owner's approval.
    owner = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    acts_for = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    four_eyes = models.BooleanField()

    class Meta:
        ordering = ["at", "pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["call", "approver", "binding"], name="one_decision_per_person"
            ),
            models.CheckConstraint(
                condition=Q(four_eyes=False)
                | Q(verdict="reject")
                | (~Q(approver=F("owner")) & ~Q(approver=F("acts_for"))),
                name="four_eyes_hold",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.verdict} {self.call_id}"


class Dispatch(models.Model):
    """The point of no return of one call; that there is at most one is the database's promise."""

    call = models.OneToOneField(ToolCall, on_delete=models.PROTECT, related_name="dispatch")
    fence = models.PositiveIntegerField()  # of the claim that sent it
    worker = models.CharField(max_length=100)
    binding = models.CharField(max_length=64)
    definition_digest = models.CharField(max_length=64)  # as the worker saw it upstream
    at = models.DateTimeField()
    answer_by_at = models.DateTimeField()  # after this the sweep calls it unknown

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["call", "fence"], name="one_dispatch_per_fence"),
        ]

    def __str__(self) -> str:
        return f"{self.call_id}#{self.fence}"
