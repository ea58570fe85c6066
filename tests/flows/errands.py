"""What the agents of the stories ask for, and the rules they live under."""

import itertools
from typing import Any

REFUND = "billing__refund"
FRAGILE_REFUND = "fragile__refund"  # the same, by an upstream that counts, and breaks on request
READ = "billing__get_customer"
CUSTOMER = {"customer": "cus_9120"}

EXAMPLES = {"billing": ("get_customer:read", "refund:write")}
FRAGILE = {"fragile": "billing", "shop": "shop"}  # upstreams that break on request, and where
# How long each one's requests are held open, in seconds.
AGENTS = {
    "patient": 25, "hasty": 0, "stranger": 0, "brief": 25, "careful": 0, "flood": 0, "full": 0,
}  # fmt: skip
RULES: list[dict[str, Any]] = [
    {"name": "reads pass", "effect": "read", "outcome": "allow"},
    {"name": "brief", "agent": "brief", "outcome": "hold", "expires_seconds": 10},
    {"name": "two of them", "agent": "careful", "outcome": "hold", "quorum": 2},
]

_amounts = itertools.count(101)


def refund(memo: str = "") -> dict[str, Any]:
    """Return a refund that nobody has asked for before, by its amount."""
    asked = {
        **CUSTOMER,
        "invoice": "in_2310",
        "amount": next(_amounts),
        "currency": "gbp",
        "reason": "damaged",
    }
    return asked | ({"memo": memo} if memo else {})
