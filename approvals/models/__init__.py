"""The tables: data, constraints and querysets. Rules about when a row may change live elsewhere."""

from approvals.models.agents import Agent, AgentKey
from approvals.models.audit import AuditEvent, AuditStream
from approvals.models.backtests import Backtest
from approvals.models.budgets import BudgetLock, BudgetUse
from approvals.models.calls import Decision, Dispatch, ToolCall
from approvals.models.catalog import (
    ApproverGroup,
    Domain,
    Tool,
    ToolDefinition,
    Upstream,
)
from approvals.models.clock import database_now
from approvals.models.freezes import Freeze
from approvals.models.history import HistoryRow
from approvals.models.operation import Heartbeat, Revision
from approvals.models.people import Person
from approvals.models.policy import PolicyVersion, RuleRow
from approvals.models.presence import Look
from approvals.models.proposals import PolicyDraft, Proposal
from approvals.models.waiting import bound_waiting, is_lock_wait

__all__ = [
    "Agent",
    "AgentKey",
    "ApproverGroup",
    "AuditEvent",
    "AuditStream",
    "Backtest",
    "BudgetLock",
    "BudgetUse",
    "Decision",
    "Dispatch",
    "Domain",
    "Freeze",
    "Heartbeat",
    "HistoryRow",
    "Look",
    "Person",
    "PolicyDraft",
    "PolicyVersion",
    "Proposal",
    "Revision",
    "RuleRow",
    "Tool",
    "ToolCall",
    "ToolDefinition",
    "Upstream",
    "bound_waiting",
    "database_now",
    "is_lock_wait",
]
