"""Figures for Prometheus at `/metrics`: who may read them, and the page both doors answer with.

Figures come from the database, so that each process tells the same and a restart forgets none;
only what says "this process" is its own. A label is the name of a domain, a state or a verdict:
nothing an agent or an upstream can choose, and nothing of what a call carries.
"""

import hmac

from django.conf import settings

from approvals.metrics.exposition import CONTENT_TYPE, rendered
from approvals.metrics.measured import count_here, everything

__all__ = ["CONTENT_TYPE", "count_here", "is_offered", "may_read", "page"]


def is_offered() -> bool:
    """Return whether there is a token; without one there is no such address."""
    return bool(settings.METRICS_TOKEN)


def may_read(authorization: str) -> bool:
    """Return whether an Authorization header carries the token."""
    scheme, _, given = authorization.partition(" ")
    is_same = hmac.compare_digest(given.strip().encode(), settings.METRICS_TOKEN.encode())
    return is_offered() and scheme.lower() == "bearer" and is_same


def page() -> str:
    """Return every figure in Prometheus's text format.

    Raises:
        DatabaseError: nobody can tell.
    """
    return rendered(everything())
