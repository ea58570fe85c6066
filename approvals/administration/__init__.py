"""Verbs that change who and what: people, agents, catalogue, policy; each writes its event."""

from approvals.administration import agents, catalog, people, policy

__all__ = ["agents", "catalog", "people", "policy"]
