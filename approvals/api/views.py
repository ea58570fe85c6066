"""The REST verbs: parse, check access, call one verb, show the row as it is now."""

from typing import Any, cast
from uuid import UUID

from django.db.models import Case, F, Prefetch, QuerySet, When
from django.db.models.functions import Length
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.views import APIView

from approvals import access, lifecycle, observations
from approvals.api import serializers
from approvals.api.paging import InOrder, NewestFirst
from approvals.api.values import SHORT_RESULT_BYTES
from approvals.errors import InvalidInput, NotAllowed
from approvals.models import AuditEvent, Decision, Person, ToolCall

_PROBLEM = serializers.ProblemSerializer
PROBLEMS = {
    400: OpenApiResponse(_PROBLEM, "The body is not as it must be."),
    401: OpenApiResponse(_PROBLEM, "Nobody is signed in; an agent's key does not count."),
    403: OpenApiResponse(_PROBLEM, "Yours to see, not to do. It is noted."),
    404: OpenApiResponse(_PROBLEM, "There is none, or it is not yours to see."),
    409: OpenApiResponse(_PROBLEM, "The call is no longer what this needs; the message says why."),
}
_SEEING = {status: PROBLEMS[status] for status in (401, 404)}


def person_of(request: Request) -> Person:
    """Return who asks; the door lets nobody else in."""
    return cast(Person, request.user)


def _loaded(calls: QuerySet[ToolCall]) -> QuerySet[ToolCall]:
    decisions = Decision.objects.select_related("approver")
    return calls.select_related(
        "agent", "domain", "upstream", "owner", "acts_for"
    ).prefetch_related(Prefetch("decisions", queryset=decisions))


def _shown(call_id: UUID) -> Response:
    call = _loaded(ToolCall.objects.filter(pk=call_id)).get()
    return Response(serializers.CallSerializer(call).data)


def read_body(serializer: type[Serializer[Any]], request: Request) -> dict[str, Any]:
    """Return what a body says, held to its shape."""
    body = serializer(data=request.data)
    body.is_valid(raise_exception=True)
    return cast(dict[str, Any], body.validated_data)


class Calls(ListAPIView[ToolCall]):
    """The calls you may see, newest first."""

    serializer_class = serializers.CallInListSerializer
    pagination_class = NewestFirst

    @extend_schema(
        parameters=[OpenApiParameter("status", enum=ToolCall.Status.values)],
        responses={200: serializers.CallInListSerializer(many=True), 401: PROBLEMS[401]},
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """List them, of one status or of all."""
        return super().get(request, *args, **kwargs)

    def paginate_queryset(self, queryset: Any) -> Any:
        """Return a page of them; an auditor's reading is noted."""
        page = super().paginate_queryset(queryset)
        observations.payload_read(person_of(self.request), page or [])
        return page

    def get_queryset(self) -> QuerySet[ToolCall]:
        """Return what the filter leaves of what the person may see."""
        calls = _loaded(access.visible_to(person_of(self.request)))
        short = When(result_size__lte=SHORT_RESULT_BYTES, then=F("result"))
        calls = calls.defer("result").annotate(result_size=Length("result"))
        calls = calls.annotate(short_result=Case(short, default=None))
        status = self.request.query_params.get("status")
        if status is None:
            return calls
        if status not in ToolCall.Status.values:
            known = ", ".join(ToolCall.Status.values)
            raise InvalidInput(f"No such status; there are {known}.", path="status")
        return calls.filter(status=status)


class Call(APIView):
    """One call."""

    @extend_schema(responses={200: serializers.CallSerializer, **_SEEING})
    def get(self, request: Request, call_id: UUID) -> Response:
        """Show it with its arguments, decisions and result; an auditor's reading is noted."""
        call = access.get_call(person_of(request), call_id)
        observations.payload_read(person_of(request), [call])
        return _shown(call.pk)


class _Verb(APIView):
    """A verb on one call; a forbidden try of somebody who may see it is noted."""

    refusal = ""

    def handle_exception(self, exc: Exception) -> Response:
        """Note a refusal in the person's own stream, then answer as usual."""
        if isinstance(exc, NotAllowed):
            observations.person_event(
                person_of(self.request), self.refusal, call=str(exc.call_id), why=exc.message
            )
        return super().handle_exception(exc)


class Decisions(_Verb):
    """Decide on a call."""

    refusal = "decision.refused"

    @extend_schema(
        request=serializers.DecisionInput,
        responses={201: serializers.CallSerializer, **PROBLEMS},
    )
    def post(self, request: Request, call_id: UUID) -> Response:
        """Approve or reject exactly what the binding stands for; a rejection needs a reason."""
        person = person_of(request)
        call = access.get_call(person, call_id)
        lifecycle.decide(call.pk, decider=person, **read_body(serializers.DecisionInput, request))
        return _created(call.pk)


class Settlement(_Verb):
    """Say what became of a call."""

    refusal = "settlement.refused"

    @extend_schema(
        request=serializers.SettlementInput,
        responses={201: serializers.CallSerializer, **PROBLEMS},
    )
    def post(self, request: Request, call_id: UUID) -> Response:
        """Settle a call whose outcome is unknown, with evidence, once no answer can come."""
        person = person_of(request)
        call = access.get_call(person, call_id)
        lifecycle.settle(call.pk, person=person, **read_body(serializers.SettlementInput, request))
        return _created(call.pk)


class Withdrawal(_Verb):
    """Take a call back."""

    refusal = "withdrawal.refused"

    @extend_schema(
        request=serializers.WithdrawalInput,
        responses={201: serializers.CallSerializer, **PROBLEMS},
    )
    def post(self, request: Request, call_id: UUID) -> Response:
        """Withdraw an unsent call, as the owner of the agent that made it."""
        person = person_of(request)
        call = access.get_call(person, call_id)
        permission = access.may_withdraw(person, call)
        if not permission:
            raise NotAllowed(permission.why, call_id=call.pk)
        reason = read_body(serializers.WithdrawalInput, request)["reason"]
        lifecycle.cancel(call.pk, actor=f"person:{person.get_username()}", reason=reason)
        return _created(call.pk)


def _created(call_id: UUID) -> Response:
    response = _shown(call_id)
    response.status_code = 201
    return response


class Events(ListAPIView[AuditEvent]):
    """The trail of one call, in order."""

    serializer_class = serializers.EventSerializer
    pagination_class = InOrder

    @extend_schema(
        parameters=[OpenApiParameter("call", {"type": "string", "format": "uuid"}, required=True)],
        responses={200: serializers.EventSerializer(many=True), 400: PROBLEMS[400], **_SEEING},
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """List the events of a call you may see."""
        return super().get(request, *args, **kwargs)

    def get_queryset(self) -> QuerySet[AuditEvent]:
        """Return the events of the call that is asked for."""
        wanted = self.request.query_params.get("call")
        if not wanted:
            raise InvalidInput("Say which call: ?call=<id>.", path="call")
        call = access.get_call(person_of(self.request), wanted)
        return AuditEvent.objects.filter(stream=f"call:{call.pk}")
