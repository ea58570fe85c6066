"""The shapes of the REST interface: calls, decisions and events out; decisions and evidence in."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from approvals.api import values
from approvals.models import AuditEvent, Decision, ToolCall

_OBJECT = {"type": "object", "additionalProperties": True}


class DecisionSerializer(serializers.ModelSerializer[Decision]):
    """One person's answer."""

    approver = serializers.CharField(source="approver.username")

    class Meta:
        model = Decision
        fields = ["approver", "verdict", "stage", "reason", "binding", "assurance", "at"]
        read_only_fields = fields


class StageSerializer(serializers.Serializer[Any]):
    """One stage of a rule that asks groups, and how many have signed in it."""

    group = serializers.CharField()
    quorum = serializers.IntegerField()
    signed = serializers.IntegerField()


class CallSerializer(serializers.ModelSerializer[ToolCall]):
    """A call with everything an approval covers."""

    tool = serializers.CharField(source="tool_name")
    domain = serializers.CharField(source="domain.name")
    upstream = serializers.CharField(source="upstream.name")
    agent = serializers.CharField(source="agent.name")
    owner = serializers.CharField(source="owner.username")
    acts_for = serializers.CharField(source="acts_for.username")
    arguments = serializers.SerializerMethodField()
    decisions = DecisionSerializer(many=True)
    stages = serializers.SerializerMethodField()
    deny_quorum = serializers.SerializerMethodField()
    rejections = serializers.SerializerMethodField()
    outcome = serializers.SerializerMethodField()
    failure_kind = serializers.SerializerMethodField()
    result = serializers.SerializerMethodField()

    class Meta:
        model = ToolCall
        fields = [
            "id", "status", "version", "binding", "sentence", "tool", "effect", "domain",
            "upstream", "agent", "owner", "acts_for", "claimed_acts_for", "arguments",
            "arguments_digest", "definition_digest", "quorum", "four_eyes", "stages",
            "stage", "asked_group", "escalated_to", "deny_quorum", "rejections", "reminders",
            "is_out_of_reach", "decisions", "held_because", "created_at", "decide_by_at",
            "run_by_at", "moved_at", "settled_at", "status_reason", "outcome", "failure_kind",
            "result", "result_digest", "result_is_cut",
        ]  # fmt: skip
        read_only_fields = fields

    @extend_schema_field(_OBJECT)
    def get_arguments(self, call: ToolCall) -> Any:
        """Return the arguments, from the bytes that people approve."""
        return values.stored(call.arguments)

    @extend_schema_field(StageSerializer(many=True))
    def get_stages(self, call: ToolCall) -> Any:
        """Return the groups that are asked one after the other; none: any approvers are."""
        return values.stages(call)

    @extend_schema_field(serializers.IntegerField())
    def get_deny_quorum(self, call: ToolCall) -> int:
        """Return how many noes end it."""
        return values.deny_quorum(call)

    @extend_schema_field(serializers.IntegerField())
    def get_rejections(self, call: ToolCall) -> int:
        """Return how many have said no."""
        return sum(one.verdict == Decision.Verdict.REJECT for one in call.decisions.all())

    @extend_schema_field(
        serializers.ChoiceField(["succeeded", "failed", "unknown"], allow_null=True)
    )
    def get_outcome(self, call: ToolCall) -> str | None:
        """Return how it ended, once it was sent."""
        return values.outcome(call)

    @extend_schema_field(serializers.ChoiceField(ToolCall.Failure.choices, allow_null=True))
    def get_failure_kind(self, call: ToolCall) -> str | None:
        """Return why it failed; null unless it did."""
        return call.failure_kind or None

    @extend_schema_field({**_OBJECT, "nullable": True})
    def get_result(self, call: ToolCall) -> Any:
        """Return the upstream's answer; null while there is none."""
        return values.stored(call.result)


class CallInListSerializer(CallSerializer):
    """A call in a list: a result beyond 16 KiB is null there, and its digest is not empty."""

    @extend_schema_field({**_OBJECT, "nullable": True})
    def get_result(self, call: ToolCall) -> Any:
        """Return the upstream's answer where it is short."""
        return values.stored(getattr(call, "short_result", None))


class DecisionInput(serializers.Serializer[Any]):
    """A decision on exactly what the binding stands for."""

    verdict = serializers.ChoiceField(Decision.Verdict.choices)
    binding = serializers.CharField(max_length=64)
    reason = serializers.CharField(max_length=1000, allow_blank=True, default="")


class SettlementInput(serializers.Serializer[Any]):
    """What a person found out about a call whose outcome is unknown."""

    outcome = serializers.ChoiceField(["ran", "not-ran"])
    evidence = serializers.CharField(max_length=900)


class WithdrawalInput(serializers.Serializer[Any]):
    """The agent owner's reason for taking a call back."""

    reason = serializers.CharField(max_length=1000, allow_blank=True, default="")


class EventSerializer(serializers.ModelSerializer[AuditEvent]):
    """One event of the trail and its place in the chain."""

    class Meta:
        model = AuditEvent
        fields = ["stream", "seq", "code", "actor", "at", "digest", "previous"]
        read_only_fields = fields


class ProblemSerializer(serializers.Serializer[Any]):
    """Why a request was refused."""

    kind = serializers.CharField()
    message = serializers.CharField()
    retryable = serializers.BooleanField()
    path = serializers.CharField(required=False)
    call_id = serializers.UUIDField(required=False)
    retry_after_seconds = serializers.FloatField(required=False)
