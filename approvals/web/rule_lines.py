"""Rules as lines of a page: how each looks, what it says, whose it is to see, what it did."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from approvals import access, budgets, policy, wording
from approvals.models import Person, database_now
from approvals.policy import clauses, telling
from approvals.policy.marking import Mark
from approvals.translating import translated
from approvals.web.argument_units import Tools

PERIOD = timedelta(days=30)
_NUMBERED = re.compile(r"rule \d+")  # how a rule is called that nobody gave a name
MOST_COUNTED = 20_000  # newest calls; beyond, the page says that it counts no further


@dataclass(frozen=True)
class Look:
    """How an outcome looks; *refuse* is what a rule does, as *reject* is what a person does."""

    tone: str
    icon: str
    verb: Promise


LOOKS = {
    policy.Outcome.ALLOW: Look("ok", "check", gettext_lazy("Allow")),
    policy.Outcome.HOLD: Look("warn", "clock", gettext_lazy("Hold")),
    policy.Outcome.DENY: Look("bad", "x", gettext_lazy("Refuse")),
}


@dataclass(frozen=True)
class Line:
    """One rule as people read it.

    Attributes:
        calls: how many it governed of late; None where nobody counts them.
        spent: of its budget, in this hour or day.
    """

    rule: policy.Rule
    is_last: bool = False  # the one that is always there
    is_hidden: bool = False  # of a domain that is not the reader's to see
    calls: int | None = None
    spent: Sequence[budgets.Spent] = ()
    marks: Sequence[Mark] = ()  # what is odd about it
    edit: str = ""  # the address of its form; empty where the reader may not, or it has none
    tools: Tools = field(default_factory=Tools)

    @property
    def look(self) -> Look:
        """Return how it looks."""
        return LOOKS[self.rule.outcome]

    @property
    def label(self) -> str:
        """Return its name for an attribute, where nothing can be spelled out."""
        return wording.clean(self.rule.name, 100)

    @property
    def words(self) -> str:
        """Return the rule without its verb, with its condition as it was written."""
        return translated(policy.to_clause(self.rule))

    @property
    def subject(self) -> list[str]:
        """Return which calls it is about, in parts, with amounts in their units."""
        said, _ = clauses.split(self.rule.condition)
        return telling.subject(self.rule, lambda keys: self.tools.money(self.rule, keys, said))

    @property
    def has_clauses(self) -> bool:
        """Tell whether it says a part of its condition otherwise than as CEL."""
        return bool(clauses.split(self.rule.condition)[0])

    @property
    def then(self) -> str:
        """Return what becomes of those."""
        return translated(telling.then(self.rule))

    @property
    def is_read_only(self) -> bool:
        """Tell whether all it lets through are reads, which pass and are no calls."""
        rule = self.rule
        is_of_reads = rule.effect == policy.Effect.READ or not (rule.effect or rule.tool)
        return rule.outcome == policy.Outcome.ALLOW and is_of_reads and not rule.budget


@dataclass(frozen=True)
class Counted:
    """How many calls each rule governed in the last 30 days, of those somebody may see."""

    by_name: Mapping[str, int]
    by_digest: Mapping[str, int]
    is_part: bool  # there were more

    def of(self, rule: policy.Rule) -> int:
        """Return how many a rule governed under the name that it has."""
        # “rule 3” may have been another rule before.
        is_numbered = _NUMBERED.fullmatch(rule.name) is not None
        return self.by_digest[rule.digest()] if is_numbered else self.by_name[rule.name]


def counted(person: Person) -> Counted:
    """Return how many calls rules governed, of those the person may see."""
    since = database_now() - PERIOD
    newest = access.visible_to(person).filter(created_at__gte=since).order_by("-created_at")
    found = list(newest.values_list("rule__name", "rule_digest")[: MOST_COUNTED + 1])
    rows = found[:MOST_COUNTED]
    names, digests = (Counter(row[column] for row in rows) for column in (0, 1))
    return Counted(names, digests, is_part=len(found) > MOST_COUNTED)


def lines(
    person: Person,
    rules: Sequence[policy.Rule],
    *,
    calls: Counted | None = None,
    spent: Mapping[str, Sequence[budgets.Spent]] | None = None,
) -> list[Line]:
    """Return rules as the person may read them."""
    visible = set(access.catalogue_of(person).values_list("name", flat=True))
    sees_all = person.is_auditor or person.is_administrator
    tools = Tools()
    return [
        Line(
            rule,
            is_last=rule.name == policy.LAST_RULE.name,
            # A rule may name a domain that does not exist yet; administrators must see it.
            is_hidden=bool(rule.domain) and rule.domain not in visible and not sees_all,
            calls=calls.of(rule) if calls else None,
            spent=spent.get(rule.name, ()) if spent else (),
            tools=tools,
        )
        for rule in rules
    ]
