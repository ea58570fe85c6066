"""The REST verbs of the policy: read, draft, publish, propose, sign; for people with a session.

Auditors read, administrators do the rest; of everybody else, nobody reads whole policies here.
"""

from typing import Any

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from approvals import access, observations
from approvals.administration import drafts, policy, proposals
from approvals.api import policy_shapes as shapes
from approvals.api.paging import NewestOpened
from approvals.api.parsers import LargeJSONParser
from approvals.api.serializers import ProblemSerializer
from approvals.api.views import PROBLEMS, person_of, read_body
from approvals.errors import NotAllowed, NotFound
from approvals.models import Person, PolicyDraft, PolicyVersion, Proposal
from approvals.phrases import phrase

_READING = {status: PROBLEMS[status] for status in (401, 403, 404)}
_DOING = {
    **PROBLEMS,
    409: OpenApiResponse(ProblemSerializer, "Somebody was faster; the message says who or what."),
}


class _Policy(APIView):
    """A verb of the policy; what somebody may not do is noted in their own stream."""

    parser_classes = [LargeJSONParser]

    def handle_exception(self, exc: Exception) -> Response:
        """Note a refusal, then answer as usual."""
        if isinstance(exc, NotAllowed):
            observations.person_event(person_of(self.request), "policy.refused", why=exc.message)
        return super().handle_exception(exc)


def _reader(request: Request) -> Person:
    person = person_of(request)
    if not access.may_read_policies(person):
        raise NotAllowed(access.may_read_policies(person).why)
    return person


def _administrator(request: Request) -> Person:
    person = person_of(request)
    if not access.may_administer(person):
        raise NotAllowed(access.may_administer(person).why)
    return person


def _published(found: PolicyVersion | Proposal) -> Response:
    is_version = isinstance(found, PolicyVersion)
    told = {"version": found if is_version else None, "proposal": None if is_version else found}
    return Response(shapes.PublicationSerializer(told).data, status=201)


class Policy(_Policy):
    """The policy in force."""

    @extend_schema(responses={200: shapes.VersionSerializer, **_READING})
    def get(self, request: Request) -> Response:
        """Show its rules; version 0 is what an installation begins with."""
        _reader(request)
        newest = PolicyVersion.objects.order_by("-number").first()
        return Response(shapes.VersionSerializer(newest or _SEED).data)

    @extend_schema(
        request=shapes.PolicyInput, responses={201: shapes.PublicationSerializer, **_DOING}
    )
    def post(self, request: Request) -> Response:
        """Put whole new rules in force, or propose them where a call could need fewer people."""
        person = _administrator(request)
        wanted = read_body(shapes.PolicyInput, request)
        actor = f"person:{person.get_username()}"
        found = policy.publish(
            {"rules": wanted["rules"]}, source="REST", actor=actor, person=person,
            reason=wanted["reason"], based_on=wanted["based_on"],
        )  # fmt: skip
        return _published(found)


_SEED = PolicyVersion(number=0, source="", loaded_by="")


class Version(_Policy):
    """One version of the policy."""

    @extend_schema(responses={200: shapes.VersionSerializer, **_READING})
    def get(self, request: Request, number: int) -> Response:
        """Show its rules, who loaded and who signed it."""
        _reader(request)
        version = PolicyVersion.objects.filter(number=number).first() if number else _SEED
        if version is None:
            raise NotFound(phrase("There is no such version."))
        return Response(shapes.VersionSerializer(version).data)


class Draft(_Policy):
    """Your draft."""

    @extend_schema(responses={200: shapes.DraftSerializer, **_READING})
    def get(self, request: Request) -> Response:
        """Show it, and what is wrong with it still."""
        return _draft(drafts.get(_administrator(request)))

    @extend_schema(request=None, responses={201: shapes.DraftSerializer, **_DOING})
    def post(self, request: Request) -> Response:
        """Begin one, as a copy of the rules in force; one that is there stays as it is."""
        return _draft(drafts.begin(_administrator(request)), status=201)


def _draft(draft: PolicyDraft | None, status: int = 200) -> Response:
    if draft is None:
        raise NotFound(phrase("You have no draft."))
    return Response(shapes.DraftSerializer(draft).data, status=status)


class DraftRules(_Policy):
    """The rules of your draft."""

    @extend_schema(request=shapes.DraftInput, responses={201: shapes.DraftSerializer, **_DOING})
    def post(self, request: Request) -> Response:
        """Save them all; they may be wrong still."""
        person = _administrator(request)
        wanted = read_body(shapes.DraftInput, request)
        document = {"rules": wanted["rules"]}
        return _draft(drafts.save(person, document, revision=wanted["revision"]), status=201)


class DraftRebase(_Policy):
    """Your draft, on top of what somebody else published meanwhile."""

    @extend_schema(request=None, responses={201: shapes.RebasedSerializer, **_DOING})
    def post(self, request: Request) -> Response:
        """Put it there; where both changed a rule, it keeps its own, and the rule is named."""
        person = _administrator(request)
        conflicts = drafts.rebase(person)
        told = {"draft": drafts.get(person), "conflicts": conflicts}
        return Response(shapes.RebasedSerializer(told).data, status=201)


class DraftPublication(_Policy):
    """The publication of your draft."""

    @extend_schema(
        request=shapes.DraftPublicationInput,
        responses={201: shapes.PublicationSerializer, **_DOING},
    )
    def post(self, request: Request) -> Response:
        """Put it in force, or propose it where a call could need fewer people."""
        person = _administrator(request)
        return _published(
            drafts.publish(person, **read_body(shapes.DraftPublicationInput, request))
        )


class DraftDiscarding(_Policy):
    """The end of your draft."""

    @extend_schema(request=None, responses={204: None, **_DOING})
    def post(self, request: Request) -> Response:
        """Throw it away."""
        drafts.discard(_administrator(request))
        return Response(status=204)


class Proposals(ListAPIView[Proposal]):
    """Proposals, newest first."""

    serializer_class = shapes.ProposalSerializer
    pagination_class = NewestOpened

    @extend_schema(
        responses={200: shapes.ProposalSerializer(many=True), 401: PROBLEMS[401]},
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """List those you may see: auditors and administrators all, everybody else none."""
        return super().get(request, *args, **kwargs)

    def get_queryset(self) -> Any:
        """Return what the person may see."""
        visible = access.proposals_visible_to(person_of(self.request))
        return visible.select_related("signed_by", "version")


class OneProposal(_Policy):
    """One proposal."""

    @extend_schema(responses={200: shapes.ProposalSerializer, **_READING})
    def get(self, request: Request, proposal_id: int) -> Response:
        """Show its rules, what could need fewer people, and the binding that a signature names."""
        proposal = access.get_proposal(person_of(request), proposal_id)
        return Response(shapes.ProposalSerializer(proposal).data)


class Signature(_Policy):
    """The second signature."""

    @extend_schema(
        request=shapes.SignatureInput, responses={201: shapes.ProposalSerializer, **_DOING}
    )
    def post(self, request: Request, proposal_id: int) -> Response:
        """Sign what another administrator proposed; it is in force then."""
        person = person_of(request)
        proposal = access.get_proposal(person, proposal_id)
        binding = read_body(shapes.SignatureInput, request)["binding"]
        signed = proposals.sign(proposal.pk, signer=person, binding=binding)
        return Response(shapes.ProposalSerializer(signed).data, status=201)


class ProposalWithdrawal(_Policy):
    """The end of a proposal."""

    @extend_schema(
        request=shapes.ProposalWithdrawalInput,
        responses={201: shapes.ProposalSerializer, **_DOING},
    )
    def post(self, request: Request, proposal_id: int) -> Response:
        """Take it back, with a reason."""
        person = person_of(request)
        proposal = access.get_proposal(person, proposal_id)
        reason = read_body(shapes.ProposalWithdrawalInput, request)["reason"]
        withdrawn = proposals.withdraw(proposal.pk, person=person, reason=reason)
        return Response(shapes.ProposalSerializer(withdrawn).data, status=201)
