"""Tries of a policy on past calls, as REST: asked for, then looked at until they are done."""

from typing import Any, cast

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from approvals import access
from approvals.administration import backtests
from approvals.api.serializers import ProblemSerializer
from approvals.models import Backtest, Person

_REFUSALS = {
    400: OpenApiResponse(ProblemSerializer, "The rules are wrong; each place is named."),
    401: OpenApiResponse(ProblemSerializer, "Nobody is signed in; an agent's key does not count."),
    403: OpenApiResponse(ProblemSerializer, "Only an administrator may try a policy."),
    404: OpenApiResponse(ProblemSerializer, "There is none, or it is not yours to see."),
}


class TryInput(serializers.Serializer[Any]):
    """A policy as `load_rules` reads it."""

    rules = serializers.ListField(child=serializers.JSONField(), max_length=1_000)


class TrySerializer(serializers.ModelSerializer[Backtest]):
    """How far a try is, and what it found."""

    asked_by = serializers.CharField(source="asked_by.username")
    result = serializers.JSONField(help_text="{} until it is done; what is listed is cut.")

    class Meta:
        model = Backtest
        fields = [
            "id", "state", "why", "done", "total", "days", "based_on", "asked_by", "begun_at",
            "ended_at", "result",
        ]  # fmt: skip
        read_only_fields = fields


class Tries(APIView):
    """Try a policy before it lives."""

    @extend_schema(
        request=TryInput,
        responses={202: TrySerializer, **{code: _REFUSALS[code] for code in (400, 401, 403)}},
    )
    def post(self, request: Request) -> Response:
        """Ask for a try on the calls of the last 30 days; look at it until it is done."""
        backtest = backtests.begin(_person(request), request.data)
        return Response(TrySerializer(backtest).data, status=202)


class Try(APIView):
    """One try."""

    @extend_schema(responses={200: TrySerializer, **{code: _REFUSALS[code] for code in (401, 404)}})
    def get(self, request: Request, try_id: int) -> Response:
        """Show how far it is, and what it found."""
        return Response(TrySerializer(access.get_backtest(_person(request), try_id)).data)


def _person(request: Request) -> Person:
    return cast(Person, request.user)
