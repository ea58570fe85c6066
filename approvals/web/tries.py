"""What a policy would have done with the calls of the last days, at `/policies/tries/<id>/`.

`approvals/_try.html` shows it on that page and wherever else a try is; it needs `try`, made by
`shown`, and the style sheet history.css.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.functional import Promise, cached_property
from django.utils.translation import gettext, gettext_lazy, ngettext

from approvals import access, figures, policy
from approvals.administration import backtests
from approvals.errors import InvalidInput, NotFound
from approvals.models import Backtest, Person, database_now
from approvals.policy import sentences
from approvals.policy.comparing import Change, more_a_day
from approvals.translating import translated
from approvals.web import charts, refusing
from approvals.web.accounts import signed_in
from approvals.web.days import day_words

S = Backtest.State
O = policy.Outcome  # noqa: E741 - as `S` for states
MOST_ROWS: Final = 10  # of one list, where nobody asked for all
_HEIGHT: Final = 114  # px
_SERIES: tuple[Promise, ...] = (
    gettext_lazy("held then, and with these rules"),
    gettext_lazy("held only with these rules"),
    gettext_lazy("held only then"),
)


@dataclass(frozen=True)
class Look:
    """How an outcome or a change looks."""

    words: Promise
    tone: str
    icon: str


OUTCOMES: Final = {
    O.ALLOW: Look(gettext_lazy("Passed"), "ok", "check"),
    O.HOLD: Look(gettext_lazy("Held"), "warn", "clock"),
    O.DENY: Look(gettext_lazy("Refused"), "bad", "x"),
}
CHANGES: Final = {
    Change.PASSES: Look(gettext_lazy("Would pass, nobody asked"), "bad", "alert"),
    Change.FEWER: Look(gettext_lazy("Would be held for less"), "bad", "alert"),
    Change.HELD: Look(gettext_lazy("Would be held"), "warn", "clock"),
    Change.REFUSED: Look(gettext_lazy("Would be refused"), "idle", "x"),
    Change.MORE: Look(gettext_lazy("Would be held for more"), "warn", "clock"),
    Change.OTHERS: Look(gettext_lazy("Would be held for others"), "idle", "repeat"),
}


@dataclass(frozen=True)
class Side:
    """How a call was, or would have been, treated."""

    told: Mapping[str, Any]

    @property
    def look(self) -> Look:
        """Return how its outcome looks."""
        return OUTCOMES[O(self.told["outcome"])]

    @property
    def people(self) -> str:
        """Return who is asked; empty where nobody is."""
        if self.told["outcome"] != O.HOLD:
            return ""
        stages = tuple(policy.Stage(group, quorum) for group, quorum in self.told["stages"])
        rule = policy.Rule(1, "", O.HOLD, quorum=self.told["quorum"], stages=stages)
        return translated(sentences.to_people(rule)).rstrip(",")


@dataclass(frozen=True)
class Row:
    """One call that would have been treated otherwise."""

    call_id: str
    sentence: str  # empty where the reader may not see the call
    at: datetime
    change: Look
    before: Side
    after: Side


@dataclass(frozen=True)
class Group:
    """How often one group would be asked."""

    domain: str
    name: str  # empty: the domain's approvers
    before: int
    after: int
    hours: list[int]  # more than then, by the hour of day

    @property
    def more(self) -> int:
        """Return how much more often it would be asked."""
        return self.after - self.before

    @property
    def busiest(self) -> str:
        """Return the hour of day at which most would be added; empty where nothing would."""
        most = max(self.hours)
        hour = self.hours.index(most)
        return f"{hour:02}:00" if most > 0 else ""


@dataclass(frozen=True)
class Day:
    """How many calls of one day were and would be held."""

    words: str
    counts: list[int]  # by series


class Shown:
    """A try as the page shows it."""

    def __init__(self, backtest: Backtest, person: Person, *, is_whole: bool = False) -> None:
        """Prepare.

        Args:
            person: who reads; calls that are not theirs to see are told without their sentence.
            is_whole: show all calls that are listed, not only the newest of them.
        """
        self.backtest, self.is_whole = backtest, is_whole
        self._person, self._found = person, backtest.result

    @property
    def is_running(self) -> bool:
        """Return whether it is under way."""
        return self.backtest.state == S.RUNNING

    @property
    def is_done(self) -> bool:
        """Return whether there is something to show."""
        return self.backtest.state == S.DONE

    @property
    def is_empty(self) -> bool:
        """Return whether there was no call to try it on."""
        return not self._found.get("calls")

    @property
    def calls(self) -> int:
        """Return on how many calls it was tried."""
        return int(self._found["calls"])

    @property
    def why(self) -> str:
        """Return why it ended without a result."""
        return translated(self.backtest.why)

    @property
    def says(self) -> str:
        """Return in a sentence what it means for people."""
        more = more_a_day(self._found, self.backtest.days)
        if not more:
            return gettext("It would ask people as often as they were asked.")
        words = (
            gettext("It would ask people %(number)s more times a day.")
            if more > 0
            else gettext("It would ask people %(number)s fewer times a day.")
        )
        return words % {"number": f"{abs(more):,.1f}".removesuffix(".0")}

    @cached_property
    def former(self) -> int:
        """Return how many of the calls were judged by another version than the one in force."""
        counts = self._found["versions"].items()
        return sum(calls for number, calls in counts if int(number) != self.backtest.based_on)

    @property
    def kpis(self) -> list[tuple[str, str, str]]:
        """Return heading, number and remark of each figure on top."""
        small, before, after = backtests.brief(self._found), *self._sides()
        held, passed = after[O.HOLD], after[O.ALLOW]
        less, unjudged = small["looser"], small["unjudged"]
        return [
            (gettext("Held"), f"{held:,}", _compared(held, before[O.HOLD])),
            (gettext("Passed"), f"{passed:,}", _compared(passed, before[O.ALLOW])),
            (gettext("Refused"), f"{after[O.DENY]:,}", gettext("of those that were taken then")),
            (gettext("Asked less"), f"{less:,}", gettext("fewer people would be asked, or none")),
            (gettext("Not judged"), f"{unjudged:,}", gettext("held: no condition could say")),
        ]

    @property
    def outcomes(self) -> list[tuple[Look, int, int]]:
        """Return how many calls came to each outcome, then and with these rules."""
        before, after = self._sides()
        return [(look, before[outcome], after[outcome]) for outcome, look in OUTCOMES.items()]

    @property
    def changes(self) -> list[tuple[Look, int]]:
        """Return how many calls would have been treated otherwise, by how."""
        counts = self._found["changed"]
        return [(look, counts[how]) for how, look in CHANGES.items() if counts[how]]

    @cached_property
    def days(self) -> list[Day]:
        """Return the days, each with its counts by series."""
        return [
            Day(
                day_words(date.fromisoformat(day["day"])),
                [day["held"], day["newly_held"], day["no_longer_held"]],
            )
            for day in self._found["days"]
        ]

    @property
    def series(self) -> Sequence[Promise]:
        """Return what the tones of the charts mean, those that occur."""
        return _SERIES if any(day.counts[2] for day in self.days) else _SERIES[:2]

    @property
    def chart(self) -> charts.Chart:
        """Return the calls that were and would be held, by day."""
        bars = [day.counts for day in self.days]
        then, now = (side[O.HOLD] for side in self._sides())
        finding = gettext(
            "Calls held each day: %(before)s in all then, %(after)s with these rules."
        ) % {"before": f"{then:,}", "after": f"{now:,}"}
        return charts.stacked(bars, [day.words for day in self.days], _HEIGHT, finding)

    @cached_property
    def groups(self) -> list[Group]:
        """Return who would be asked how often, most added first."""
        return [_group(told) for told in self._found["groups"]]

    @property
    def by_hour(self) -> charts.Chart:
        """Return the requests for approval by the hour of day, over all groups."""
        told = self._found["groups"]
        hours = [
            (sum(one["before"][hour] for one in told), sum(one["after"][hour] for one in told))
            for hour in range(24)
        ]
        bars = [[min(pair), max(0, pair[1] - pair[0]), max(0, pair[0] - pair[1])] for pair in hours]
        busiest = figures.peak([after for _, after in hours])
        finding = gettext(
            "Requests for approval by hour of day. Most with these rules at %(hour)s: %(most)s."
        ) % {"hour": f"{busiest:02}:00", "most": f"{hours[busiest][1]:,}"}
        return charts.stacked(bars, [f"{hour:02}:00" for hour in range(24)], _HEIGHT, finding)

    @property
    def hours(self) -> range:
        """Return the hours of a day."""
        return range(24)

    @property
    def unjudged(self) -> list[dict[str, Any]]:
        """Return the rules that could not be judged of calls: position, name, calls, why, call."""
        return [one | {"why": translated(one["why"])} for one in self._found["unjudged"]]

    @property
    def rules(self) -> list[dict[str, Any]]:
        """Return how many calls each rule would have governed: position, name, calls."""
        return list(self._found["rules"])

    @cached_property
    def looser(self) -> "Listed":
        """Return calls that people were asked about, and for which fewer or none would be asked."""
        changed = self._found["changed"]
        return self._listed("looser", changed[Change.PASSES] + changed[Change.FEWER])

    @cached_property
    def others(self) -> "Listed":
        """Return the other calls that would have been treated otherwise."""
        return self._listed("others", sum(self._found["changed"].values()) - self.looser.count)

    def _sides(self) -> tuple[dict[str, int], dict[str, int]]:
        return self._found["before"], self._found["after"]

    def _listed(self, key: str, count: int) -> "Listed":
        told = self._found[key] if self.is_whole else self._found[key][:MOST_ROWS]
        calls = access.visible_to(self._person).filter(pk__in=[one["call"] for one in told])
        seen = {str(pk): sentence for pk, sentence in calls.values_list("pk", "sentence")}
        return Listed(count, len(self._found[key]), [_row(one, seen) for one in told])


@dataclass(frozen=True)
class Listed:
    """Calls that would have been treated otherwise, the newest first."""

    count: int  # all there are
    kept: int  # those of which more is known than that
    rows: list[Row]


@signed_in
def page(request: HttpRequest, person: Person, try_id: int) -> HttpResponse:
    """Show a try; a POST asks for another one of the same policy."""
    backtest = _found(person, try_id)
    if request.method == "POST":
        return _again(request, person, backtest)
    context = {"try": Shown(backtest, person, is_whole="all" in request.GET), "now": database_now()}
    return render(request, "approvals/policy_try.html", context)


@signed_in
def state(request: HttpRequest, person: Person, try_id: int) -> HttpResponse:
    """How far it is, or what it found: the part that the page asks for while it runs."""
    context = {"try": Shown(_found(person, try_id), person), "now": database_now()}
    return render(request, "approvals/_try.html", context)


def _again(request: HttpRequest, person: Person, backtest: Backtest) -> HttpResponse:
    try:
        backtest = backtests.begin(person, backtest.document, days=backtest.days)
    except InvalidInput as error:
        # What the rules name may be gone by now.
        words = gettext("It cannot be tried again: %(why)s")
        messages.warning(request, words % {"why": translated(error.message)})
    return HttpResponseRedirect(reverse("policy_try", args=[backtest.pk]))


def _found(person: Person, try_id: int) -> Backtest:
    try:
        return access.get_backtest(person, try_id)
    except NotFound:
        refusing.not_there()


def _compared(now: int, then: int) -> str:
    if now == then:
        return gettext("as then")
    if now > then:
        words = ngettext("%(number)s more than then", "%(number)s more than then", now - then)
        return words % {"number": f"{now - then:,}"}
    words = ngettext("%(number)s fewer than then", "%(number)s fewer than then", then - now)
    return words % {"number": f"{then - now:,}"}


def _group(told: Mapping[str, Any]) -> Group:
    before, after = told["before"], told["after"]
    more = [with_these - then for then, with_these in zip(before, after, strict=True)]
    return Group(told["domain"], told["group"], sum(before), sum(after), more)


def _row(told: Mapping[str, Any], seen: Mapping[str, str]) -> Row:
    return Row(
        call_id=told["call"],
        sentence=seen.get(told["call"], ""),
        at=datetime.fromisoformat(told["at"]),
        change=CHANGES[Change(told["change"])],
        before=Side(told["before"]),
        after=Side(told["after"]),
    )
