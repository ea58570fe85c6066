"""Every refusal of the REST interface as `{kind, message, …}`, with its HTTP status."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404
from rest_framework import exceptions, status
from rest_framework.response import Response

from approvals.errors import ApprovalsError

_KINDS = {
    status.HTTP_400_BAD_REQUEST: "invalid_input",
    status.HTTP_401_UNAUTHORIZED: "not_signed_in",
    status.HTTP_403_FORBIDDEN: "not_allowed",
    status.HTTP_404_NOT_FOUND: "not_found",
    status.HTTP_405_METHOD_NOT_ALLOWED: "method_not_allowed",
    status.HTTP_406_NOT_ACCEPTABLE: "not_acceptable",
    status.HTTP_415_UNSUPPORTED_MEDIA_TYPE: "unsupported_media_type",
    status.HTTP_429_TOO_MANY_REQUESTS: "rate_limited",
}


def handle(error: Exception, context: dict[str, Any]) -> Response | None:
    """Return the answer for an error; None, which is a 500, for one nobody foresaw."""
    if isinstance(error, ApprovalsError):
        return Response(error.as_dict(), status=error.http_status)
    if isinstance(error, Http404):
        error = exceptions.NotFound("There is no such thing, or it is not yours to see.")
    if isinstance(error, PermissionDenied):
        error = exceptions.PermissionDenied()
    if isinstance(error, exceptions.ValidationError):
        return _invalid(error)
    if isinstance(error, exceptions.APIException):
        return _foreseen(error)
    return None


def _foreseen(error: exceptions.APIException) -> Response:
    told = {
        "kind": _KINDS.get(error.status_code, "error"),
        "message": str(error.detail),
        "retryable": error.status_code == status.HTTP_429_TOO_MANY_REQUESTS,
    }
    header = getattr(error, "auth_header", None)
    headers = {"WWW-Authenticate": header} if header else {}
    return Response(told, status=error.status_code, headers=headers)


def _invalid(error: exceptions.ValidationError) -> Response:
    problems = list(_problems(error.detail, "$"))
    message = "; ".join(f"{problem['path']}: {problem['message']}" for problem in problems)
    told = {
        "kind": "invalid_input",
        "message": message,
        "retryable": False,
        "path": problems[0]["path"] if problems else "$",
        "problems": problems,
    }
    return Response(told, status=status.HTTP_400_BAD_REQUEST)


def _problems(detail: Any, path: str) -> list[dict[str, str]]:
    if isinstance(detail, dict):
        return [p for key, value in detail.items() for p in _problems(value, f"{path}.{key}")]
    if isinstance(detail, list):
        return [problem for item in detail for problem in _problems(item, path)]
    return [{"path": path, "message": str(detail)}]
