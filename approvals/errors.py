"""Every refusal Countersign gives, as one tree; anybody may import this, it imports only phrases.

What a class `says` is its default message: in English for agents and scripts, translated by pages.
Its `code` is stable and is what scripts compare; agents see the codes invalid_input, not_found,
not_allowed, rate_limited, queue_full, temporarily_unavailable, upstream_error, definition_changed,
idempotency_mismatch, expired and void (the kinds rejected, cancelled and outcome_unknown are ends
of a call, told from its row).
"""

from approvals.phrases import Phrase, phrase


class ApprovalsError(Exception):
    says: Phrase = phrase("The request could not be carried out.")
    code: str = "error"
    http_status: int = 500
    # True: the same request, sent again later, may succeed.
    retryable: bool = False

    def __init__(
        self,
        message: str = "",
        *,
        path: str | None = None,
        call_id: object = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        """Say what went wrong.

        Args:
            message: for the person or model that reads it; what the class `says` when empty.
            path: the place in the input, as a JSON path such as `$.items[3].amount`.
            call_id: the call it is about; kept as text.
            retry_after_seconds: when asking again first makes sense.
        """
        self.message = message or self.says
        super().__init__(self.message)
        self.path = path
        self.call_id = None if call_id is None else str(call_id)
        self.retry_after_seconds = retry_after_seconds

    def as_dict(self) -> dict[str, object]:
        """Return the JSON object an agent or a script is given; what is not known is left out."""
        known: dict[str, object] = {
            "retry_after_seconds": self.retry_after_seconds,
            "call_id": self.call_id,
            "path": self.path,
        }
        told: dict[str, object] = {
            "kind": self.code,
            "message": self.message,
            "retryable": self.retryable,
        }
        return told | {key: value for key, value in known.items() if value is not None}


class InvalidInput(ApprovalsError):
    says = phrase("The input is not valid.")
    code = "invalid_input"
    http_status = 400
    path: str

    def __init__(
        self,
        message: str = "",
        *,
        path: str | None = None,
        problems: list[dict[str, str]] | None = None,
        call_id: object = None,
    ) -> None:
        """Name one place (`path`), or every place that is wrong (`problems`).

        Problems are objects {"path", "message"}, made from `path` and `message` when left out. The
        first one gives `path` and, when there is no message, all of them give the message.
        """
        if problems and not message:
            message = "; ".join(f"{problem['path']}: {problem['message']}" for problem in problems)
        if problems and path is None:
            path = problems[0]["path"]
        super().__init__(message, path=path or "$", call_id=call_id)
        self.problems = problems or [{"path": self.path, "message": self.message}]

    def as_dict(self) -> dict[str, object]:
        return super().as_dict() | {"problems": self.problems}


class NotFound(ApprovalsError):
    says = phrase("There is nothing by that name or id, or it is not yours to see.")
    code = "not_found"
    http_status = 404


class NotAllowed(ApprovalsError):
    says = phrase("You may see this, but it is not yours to do.")
    code = "not_allowed"
    http_status = 403


class Conflict(ApprovalsError):
    says = phrase("The call is no longer in the state this needs.")
    code = "conflict"
    http_status = 409


class PolicyChanged(Conflict):
    says = phrase("Another version of the policy came meanwhile.")
    code = "policy_changed"


class DraftChanged(Conflict):
    says = phrase("Your draft was changed in another window; look at what is there now.")
    code = "draft_changed"

    def __init__(self, message: str = "", *, draft: object = None) -> None:
        """Take the draft that is there now, for whoever shows what differs."""
        super().__init__(message)
        self.draft = draft


class ProposalEnded(Conflict):
    says = phrase("This proposal has ended.")
    code = "proposal_ended"


class IllegalMove(Conflict):
    says = phrase("No arrow leads from the call's state to that one.")
    code = "illegal_move"


class LostRace(Conflict):
    says = phrase("Somebody else changed the call in the same moment; read it again.")
    code = "lost_race"


class StaleBinding(Conflict):
    says = phrase(
        "The page showed something other than what would run now; read it again, then decide."
    )
    code = "stale_binding"


class LookAgain(Conflict):
    says = phrase("Look again: this form was never shown to you, or only this very moment.")
    code = "look_again"


class AlreadyDecided(Conflict):
    says = phrase("You have already decided on this call.")
    code = "already_decided"


class CallSettled(Conflict):
    says = phrase("The call is settled; nothing can change it any more.")
    code = "settled"


class CallExpired(Conflict):
    says = phrase("The call's time is over.")
    code = "expired"


class QuarantineRunning(Conflict):
    says = phrase("It is too early to settle this call: its answer may still arrive.")
    code = "quarantine"
    retryable = True


class IdempotencyMismatch(Conflict):
    says = phrase("This idempotency key was used before, with another tool or other arguments.")
    code = "idempotency_mismatch"


class BindingBroken(Conflict):
    says = phrase("What would run is no longer what people were asked about.")
    code = "void"


class FenceLost(Conflict):
    says = phrase("Another worker has claimed this call since; this one may no longer act for it.")
    code = "fence_lost"


class DefinitionChanged(ApprovalsError):
    says = phrase(
        "The tool's definition changed; list the tools again and look at it before you call it."
    )
    code = "definition_changed"
    http_status = 409
    retryable = True


class RateLimited(ApprovalsError):
    says = phrase("Too many requests in too short a time.")
    code = "rate_limited"
    http_status = 429
    retryable = True


class QueueFull(ApprovalsError):
    says = phrase("Too many calls are waiting for people already.")
    code = "queue_full"
    http_status = 429
    retryable = True


class TemporarilyUnavailable(ApprovalsError):
    says = phrase("This cannot be done right now; nothing was changed.")
    code = "temporarily_unavailable"
    http_status = 503
    retryable = True


class UpstreamError(ApprovalsError):
    says = phrase("The upstream server gave no usable answer.")
    code = "upstream_error"
    http_status = 502


class Misconfigured(ApprovalsError):
    says = phrase("Countersign is not configured for this; an operator has to look.")
    code = "configuration"
