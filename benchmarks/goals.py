"""Every figure that `manage.py benchmark` prints, and what it should be: the one place for both."""

from dataclasses import dataclass

ONE, SIXTEEN, MANY = "1 caller", "16 callers", "64 callers"
SQLITE, POSTGRES, REDIS = "SQLite", "PostgreSQL", "PostgreSQL and Redis"


@dataclass(frozen=True)
class Figure:
    """One number that was measured.

    Attributes:
        name: as the goals have it.
        where: under which circumstances; a goal may count only under some.
        value: in the unit of its goal.
    """

    name: str
    where: str
    value: float


@dataclass(frozen=True)
class Goal:
    """What a figure should be.

    Attributes:
        words: what it is, for the table.
        limit: at most this, or at least where `is_least`; None: it is only told.
        counts: where the limit counts; empty: everywhere.
    """

    name: str
    words: str
    unit: str
    limit: float | None = None
    is_least: bool = False
    counts: tuple[str, ...] = ()

    def asked(self) -> str:
        """Return the limit in words; empty where there is none."""
        if self.limit is None:
            return ""
        return f"{'≥' if self.is_least else '≤'} {self.limit:g}"

    def is_missed(self, value: float) -> bool:
        """Tell whether a value misses the goal."""
        if self.limit is None:
            return False
        return value < self.limit if self.is_least else value > self.limit


# In the order of the table: ratios first, as they mean the same on every machine.
GOALS = (
    Goal("read_p50", "governed read, p50", "× direct", 3.5, counts=(ONE, SIXTEEN)),
    Goal("read_rate", "governed reads, throughput", "× direct", 0.3, True, (ONE, SIXTEEN)),
    Goal("read_p50", "governed read, p50", "× direct"),
    Goal("read_rate", "governed reads, throughput", "× direct"),
    Goal("versus_p50", "governed read against another commit, p50", "×", 1.1),
    Goal("versus_rate", "governed reads against it, throughput", "×"),
    Goal("versus_cpu", "governed reads against it, CPU", "×"),
    Goal("flood", "others' reads beside a flood, p95", "× beside calm", 1.5),
    Goal("policy", "a call judged by the policy, p95", "ms", 1),
    Goal("backtest", "a policy of 500 rules tried on 100,000 calls", "s", 20),
    Goal("backtest_of_one_tool", "the same, all 200 conditions on each call", "s"),
    Goal("to_screen", "held → screen, p95", "ms", 150),
    Goal("to_upstream", "click → upstream, p95", "ms", 150, counts=(SQLITE, POSTGRES)),
    Goal("to_upstream", "click → upstream, p95", "ms", 100, counts=(REDIS,)),
    Goal("to_agent", "upstream answer → agent, p95", "ms", 150),
    Goal("submits", "calls held", "/s", 100, True, (POSTGRES,)),
    Goal("submits", "calls held", "/s", 50, True, (SQLITE,)),
    Goal("submit_p99", "a call held, p99", "ms", 500),
    Goal("memory", "memory with 10,000 held", "MB", 600),
    Goal("queue_of_held", "page: queue with 10,000 held open, p95", "ms", 300),
    Goal("held_answered", "of 10,000 held, answered in the end", "%", 100, True),
    Goal("reconverge", "500 pages right after a restart", "s", 10),
    Goal("restart", "start with 10,000 + 10,000, until it serves", "s", 10),
    Goal("out_of_order", "approved calls out of turn after it", "calls", 0),
    Goal("queue", "page: queue, p95", "ms", 150),
    Goal("queue_of_everything", "page: queue of everything, p95", "ms", 150),
    Goal("call", "page: a call, p95", "ms", 100),
    Goal("history", "page: history, p95", "ms", 500),
    Goal("history_search", "page: history search, p95", "ms", 500),
    Goal("history_of_an_approver", "page: an approver's history, p95", "ms"),
    Goal("insights", "page: insights, p95", "ms"),
)


def goal_of(figure: Figure) -> Goal:
    """Return the first goal that speaks of a figure.

    Raises:
        LookupError: nobody said what it is.
    """
    for goal in GOALS:
        if goal.name == figure.name and (not goal.counts or figure.where in goal.counts):
            return goal
    raise LookupError(f"no goal speaks of {figure}")
