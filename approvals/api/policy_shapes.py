"""The shapes of policies in the REST interface: versions, drafts and proposals."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from approvals import policy, ruling
from approvals.administration import drafts, proposals
from approvals.models import PolicyDraft, PolicyVersion, Proposal

_OBJECT = {"type": "object", "additionalProperties": True}
_RULES = {"type": "array", "items": _OBJECT}


@extend_schema_field(_RULES)
class RulesField(serializers.JSONField):
    """The rules of a file, in order; the verb tells what is wrong with them, place by place."""


class VersionSerializer(serializers.ModelSerializer[PolicyVersion]):
    """One version of the policy; number 0 is what an installation begins with."""

    version = serializers.IntegerField(source="number")
    rules = serializers.SerializerMethodField()
    proposal = serializers.SerializerMethodField()

    class Meta:
        model = PolicyVersion
        fields = [
            "version", "rules", "source", "reason", "loaded_by", "loaded_at", "signed_by",
            "proposal", "effect",
        ]  # fmt: skip
        read_only_fields = fields

    @extend_schema_field(_RULES)
    def get_rules(self, version: PolicyVersion) -> list[Any]:
        """Return the rules as `load_rules` reads them, without the last, which is always there."""
        rules = ruling.rules_of(version) if version.pk else policy.SEED
        return list(policy.dump(rules)["rules"])

    @extend_schema_field({"type": "integer", "nullable": True})
    def get_proposal(self, version: PolicyVersion) -> int | None:
        """Return the number of the proposal that it was; null where it was none."""
        return Proposal.objects.filter(version=version.pk).values_list("pk", flat=True).first()


class ProposalSerializer(serializers.ModelSerializer[Proposal]):
    """A policy that waits, or waited, for a second signature."""

    rules = serializers.SerializerMethodField()
    signed_by = serializers.SerializerMethodField()
    version = serializers.SerializerMethodField()
    binding = serializers.SerializerMethodField()
    evidence = serializers.SerializerMethodField()

    class Meta:
        model = Proposal
        fields = [
            "id", "state", "based_on", "rules", "source", "reason", "proposed_by", "evidence",
            "effect", "binding", "opened_at", "applies_at", "expires_at", "signed_by", "ended_at",
            "end_reason", "version",
        ]  # fmt: skip
        read_only_fields = fields

    @extend_schema_field(_RULES)
    def get_rules(self, proposal: Proposal) -> list[Any]:
        """Return its rules as `load_rules` reads them."""
        return list(proposal.document["rules"])

    @extend_schema_field({"type": "string"})
    def get_signed_by(self, proposal: Proposal) -> str:
        """Return who signed it, by sign-in name; empty while nobody did."""
        return proposal.signed_by.get_username() if proposal.signed_by else ""

    @extend_schema_field({"type": "integer", "nullable": True})
    def get_version(self, proposal: Proposal) -> int | None:
        """Return the version that it became."""
        return proposal.version.number if proposal.version else None

    @extend_schema_field({"type": "string"})
    def get_binding(self, proposal: Proposal) -> str:
        """Return what a signature has to name."""
        return proposals.binding_of(proposal)

    @extend_schema_field(_OBJECT)
    def get_evidence(self, proposal: Proposal) -> Any:
        """Return what shows that a call could need fewer people."""
        return proposal.evidence


class DraftSerializer(serializers.ModelSerializer[PolicyDraft]):
    """Your working copy of the rules, and what is wrong with it still."""

    rules = serializers.SerializerMethodField()
    problems = serializers.SerializerMethodField()

    class Meta:
        model = PolicyDraft
        fields = ["based_on", "revision", "rules", "problems", "changed_at"]
        read_only_fields = fields

    @extend_schema_field(_RULES)
    def get_rules(self, draft: PolicyDraft) -> list[Any]:
        """Return its rules as they were saved."""
        return list(draft.document["rules"])

    @extend_schema_field(_RULES)
    def get_problems(self, draft: PolicyDraft) -> list[dict[str, str]]:
        """Return each place that keeps it from being published."""
        return drafts.problems(draft)


class PublicationSerializer(serializers.Serializer[Any]):
    """What became of a policy: the version that is in force now, or the proposal that waits."""

    version = VersionSerializer(allow_null=True)
    proposal = ProposalSerializer(allow_null=True)


class ConflictSerializer(serializers.Serializer[Any]):
    """One rule that both changed; a side is null where the rule is not there."""

    name = serializers.CharField()
    base = serializers.JSONField(allow_null=True)
    mine = serializers.JSONField(allow_null=True)
    theirs = serializers.JSONField(allow_null=True)


class RebasedSerializer(serializers.Serializer[Any]):
    """A draft on top of the version in force, which keeps its own where both changed a rule."""

    draft = DraftSerializer()
    conflicts = ConflictSerializer(many=True)


class PolicyInput(serializers.Serializer[Any]):
    """A whole new policy."""

    rules = RulesField()
    reason = serializers.CharField(max_length=500)
    based_on = serializers.IntegerField(min_value=0, allow_null=True, default=None)


class DraftInput(serializers.Serializer[Any]):
    """All rules of a draft, and the revision that was read."""

    rules = RulesField()
    revision = serializers.IntegerField(min_value=1)


class DraftPublicationInput(serializers.Serializer[Any]):
    """Why a draft is to be in force."""

    reason = serializers.CharField(max_length=500)
    revision = serializers.IntegerField(min_value=1)


class SignatureInput(serializers.Serializer[Any]):
    """A signature on exactly what the binding stands for."""

    binding = serializers.CharField(max_length=64)


class ProposalWithdrawalInput(serializers.Serializer[Any]):
    """Why a proposal is taken back."""

    reason = serializers.CharField(max_length=500)
