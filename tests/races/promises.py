"""What holds when things happen at once, the test of each, and the guard that it aims at.

A literal table. `manage.py race_guards` takes each guard out in a copy, and every test that aims at
it has to fail there.
"""

from dataclasses import dataclass

SQLITE, POSTGRES = "sqlite", "postgres"
BOTH = (SQLITE, POSTGRES)


@dataclass(frozen=True)
class Promise:
    """One race, how it ends, and who says so.

    Attributes:
        line: of LINES.
        test: `file::function`, with every one of its parameters.
        guard: a key of GUARDS.
        databases: where taking the guard out must make the test fail.
        why: where that is one database only.
    """

    line: str
    says: str
    test: str
    guard: str
    databases: tuple[str, ...] = BOTH
    why: str = ""


_DECIDING = "tests/approvals/test_races_deciding.py::"
_RELEASES = "tests/approvals/test_races_releasing.py::"
_SUBMITS = "tests/approvals/test_races_submission.py::"
_CHANGING = "tests/approvals/test_races_changing.py::"
_WAKING = "tests/mcp_bridge/test_races_waking.py::"
_FAILPOINTS = "tests/mcp_bridge/test_failpoints.py::"
_WAITING = "tests/mcp_bridge/test_waiting.py::"
_POLICY = "tests/approvals/test_races_policy.py::"
_QUEUES = "SQLite has one lock for all who write and gives it to any who wait, in no order."
_NO_SERVER = "SQLite is a library: there is no server that could go away."

PROMISES: tuple[Promise, ...] = (
    Promise(
        "two approvers at once", "One of them decides, and the other is told it is too late.",
        _DECIDING + "test_of_two_approvers_at_once_one_decides", "call-lock",
    ),
    Promise(
        "approve against reject", "One of them stands.",
        _DECIDING + "test_of_an_approval_and_a_rejection_at_once_one_stands", "call-lock",
    ),
    Promise(
        "approve against reject", "One of them stands, also below the deny quorum.",
        "tests/approvals/test_races_stages.py::"
        "test_the_last_no_and_the_last_yes_at_once_one_stands", "call-lock",
    ),
    Promise(
        "one person twice", "The second vote is told that it was cast already.",
        _DECIDING + "test_one_person_in_two_tabs_decides_once", "call-and-voter-lock",
    ),
    Promise(
        "one person twice", "The database keeps one decision, whoever writes.",
        _DECIDING + "test_one_decision_per_person_is_the_databases_own_law", "one-decision",
    ),
    Promise(
        "the last two votes of a quorum", "Both count, and the call is approved.",
        _DECIDING + "test_the_last_two_votes_of_a_quorum_at_once_approve",
        "call-lock-before-counting",
    ),
    Promise(
        "the last votes of two stages", "They count in turn, whoever comes first.",
        "tests/approvals/test_races_stages.py::"
        "test_the_last_votes_of_two_stages_at_once_keep_their_order", "whose-turn",
    ),
    Promise(
        "the last votes of two stages", "One of two members fills the last place of a stage.",
        "tests/approvals/test_races_stages.py::"
        "test_of_two_members_at_once_one_fills_the_last_place_of_a_stage", "stage-lock",
    ),
    Promise(
        "vote against loss of role", "A vote that waited while the role went is refused.",
        _DECIDING + "test_a_vote_that_waited_while_its_role_went_is_refused",
        "look-under-the-lock",
    ),
    Promise(
        "vote against loss of role", "Who takes a role away waits for the vote under way.",
        _DECIDING + "test_who_takes_a_role_away_waits_for_the_vote_that_is_under_way",
        "voter-lock", (POSTGRES,), "SQLite has one lock for all who write, and no others.",
    ),
    Promise(
        "approve against expiry", "A vote that waited across the deadline is too late.",
        _DECIDING + "test_a_vote_that_waited_across_the_deadline_finds_the_call_expired",
        "call-lock",
    ),
    Promise(
        "approve against expiry", "A vote and the clock end a call once.",
        _DECIDING + "test_a_vote_and_the_clock_at_the_deadline_end_a_call_once", "call-lock",
    ),
    Promise(
        "expiry against claim and dispatch", "A claim that waited across the deadline is none.",
        _RELEASES + "test_a_claim_that_waited_across_the_deadline_is_none", "call-lock",
    ),
    Promise(
        "expiry against claim and dispatch", "A dispatch that did so sends nothing.",
        _RELEASES + "test_a_dispatch_that_waited_across_the_deadline_sends_nothing", "call-lock",
    ),
    Promise(
        "expiry against claim and dispatch", "A claim and the clock agree, in either order.",
        _RELEASES + "test_the_clock_and_a_claim_that_waited_across_the_deadline_agree",
        "call-lock", (POSTGRES,), _QUEUES,
    ),
    Promise(
        "expiry against claim and dispatch", "A dispatch and the clock agree, in either order.",
        _RELEASES + "test_the_clock_and_a_dispatch_that_waited_across_the_deadline_agree",
        "call-lock", (POSTGRES,), _QUEUES,
    ),
    Promise(
        "cancel against claim and dispatch", "A call withdrawn as it is claimed is withdrawn.",
        _RELEASES + "test_a_call_withdrawn_as_it_is_claimed_is_withdrawn", "call-lock",
    ),
    Promise(
        "cancel against claim and dispatch", "A call is withdrawn or dispatched, never both.",
        _RELEASES + "test_a_call_is_withdrawn_or_dispatched_never_both", "call-lock",
    ),
    Promise(
        "disconnect before and after the ticket", "Before it: the call is made and found again.",
        _WAITING + "test_a_client_that_goes_away_before_its_ticket_is_made_finds_its_call_again",
        "hold-beyond-the-request",
    ),
    Promise(
        "disconnect before and after the ticket", "After it: the call stays and is found again.",
        _WAITING + "test_a_client_that_goes_away_leaves_its_call_and_finds_it_again",
        "note-who-left",
    ),
    Promise(
        "50 submits with one key", "They are one call, also those without a key.",
        _SUBMITS + "test_fifty_submits_of_one_request_are_one_call", "agent-lock",
    ),
    Promise(
        "50 submits with one key", "With other arguments each, all but one are told so.",
        _SUBMITS + "test_one_key_with_fifty_requests_is_one_call", "agent-lock",
    ),
    Promise(
        "re-issue without a key", "It joins the call that stands.",
        _SUBMITS + "test_fifty_submits_of_one_request_are_one_call", "agent-lock",
    ),
    Promise(
        "one wake-up to two workers", "One of them has the claim.",
        _RELEASES + "test_one_wake_up_to_many_workers_is_one_claim", "call-lock",
    ),
    Promise(
        "one wake-up to two workers", "One claim in two threads is one dispatch.",
        _RELEASES + "test_one_claim_in_two_threads_is_one_dispatch", "call-lock",
    ),
    Promise(
        "one wake-up to two workers", "The database keeps one dispatch, whoever writes.",
        _RELEASES + "test_one_dispatch_per_call_is_the_databases_own_law", "one-dispatch",
    ),
    Promise(
        "a wake-up days late or before the commit is visible", "Days late, it sends nothing.",
        _WAKING + "test_a_wake_up_that_comes_days_late_sends_nothing", "deadline-under-the-lock",
    ),
    Promise(
        "a wake-up days late or before the commit is visible",
        "Before the commit it does nothing, and another comes after it.",
        _WAKING
        + "test_a_wake_up_before_its_commit_is_visible_does_nothing_and_another_comes_after_it",
        "hints-after-the-commit",
    ),
    Promise(
        "Redis flushed or stopped in each state", "What is lost with it is made up for.",
        _CHANGING + "test_whatever_was_lost_with_the_broker_is_made_up_for_in_each_state",
        "sweep-wakes",
    ),
    Promise(
        "kill -9 after claim … result commit", "It ends as the table says, place by place.",
        _FAILPOINTS + "test_a_worker_that_is_killed_leaves_what_the_table_says", "sweep-loses",
    ),
    Promise(
        "SIGSTOP past the lease at each of those", "It ends as the table says, place by place.",
        _FAILPOINTS + "test_a_worker_that_hangs_past_its_lease_ends_as_the_table_says",
        "nothing-leaves-after-the-lease",
    ),
    Promise(
        "late definite answer while unknown", "It settles the call.",
        "tests/mcp_bridge/test_release.py::"
        "test_no_answer_in_time_is_unknown_and_a_late_answer_settles_it",
        "late-answers",
    ),
    Promise(
        "late definite answer while unknown", "It beats the sweep, whichever comes first.",
        _RELEASES + "test_a_late_answer_beats_the_sweep_whichever_comes_first", "call-lock",
    ),
    Promise(
        "late definite answer while unknown", "It or a person settles the call, never both.",
        _RELEASES + "test_a_late_answer_or_a_person_settles_a_call_never_both", "call-lock",
    ),
    Promise(
        "definition, address, credential or policy changed in between",
        "What a call is bound to may change at no moment before its dispatch.",
        _CHANGING + "test_what_a_call_is_bound_to_may_change_at_no_moment_before_its_dispatch",
        "binding-again",
    ),
    Promise(
        "definition, address, credential or policy changed in between",
        "A policy that gets stricter at any moment counts.",
        _CHANGING + "test_a_policy_that_gets_stricter_at_any_moment_before_a_dispatch_counts",
        "today-again",
    ),
    Promise(
        "agent, upstream or tool disabled after approval", "Nothing is sent.",
        _RELEASES + "test_what_was_switched_off_while_a_dispatch_waited_is_not_sent",
        "today-again",
    ),
    Promise(
        "ambiguous COMMIT", "Nothing is sent.",
        "tests/mcp_bridge/test_release_database.py::"
        "test_a_dispatch_that_was_committed_without_word_of_it_sends_nothing",
        "unclear-commit",
    ),
    Promise(
        "database stopped at random moments", "It does not cost the outcome.",
        "tests/mcp_bridge/test_release_database.py::"
        "test_a_database_that_goes_away_during_the_call_does_not_cost_the_outcome",
        "outcome-again", (POSTGRES,), _NO_SERVER,
    ),
    Promise(
        "clock steps", "A machine's clock that leaps changes nothing about a release.",
        _WAKING + "test_a_machines_clock_that_leaps_during_a_release_changes_nothing",
        "boot-time-clock",
    ),
    Promise(
        "clock steps", "Deadlines are the database's.",
        _CHANGING + "test_deadlines_are_the_databases_whatever_the_machines_clock_says",
        "database-clock", (POSTGRES,), "SQLite has no clock but the machine's.",
    ),
    Promise(
        "page shows version n, row is n+1", "Its form is refused.",
        "tests/approvals/test_web_deciding.py::test_a_form_from_before_somebody_signed_is_refused",
        "form-of-this-version",
    ),
    Promise(
        "pending cap with 50 submits at cap − 1", "An agent has one more.",
        _SUBMITS + "test_fifty_submits_at_one_below_the_limit_are_one_more", "agent-lock",
    ),
    Promise(
        "pending cap with 50 submits at cap − 1", "A domain has one more.",
        _SUBMITS + "test_many_agents_at_one_below_a_domains_limit_are_one_more", "domain-lock",
    ),
    Promise(
        "50 submits at once under a budget for 25", "25 pass, and 25 are held.",
        _SUBMITS + "test_of_fifty_refunds_at_once_twenty_five_pass_a_budget_for_twenty_five",
        "budget-lock",
    ),
    Promise(
        "audit insert fails at each statement", "Nothing moves.",
        "tests/approvals/test_lifecycle_trail.py::"
        "test_nothing_moves_when_its_event_cannot_be_written",
        "move-with-its-event",
    ),
    Promise(
        "two signatures on one proposal", "One of them puts it in force, once.",
        _POLICY + "test_of_two_signatures_at_once_one_puts_it_in_force", "proposal-lock",
    ),
    Promise(
        "signature against withdrawal", "One of them stands.",
        _POLICY + "test_of_a_signature_and_a_withdrawal_at_once_one_stands", "proposal-lock",
    ),
    Promise(
        "signature against withdrawal", "Of the clock and a withdrawal, one stands.",
        _POLICY + "test_the_clock_and_a_withdrawal_at_once_one_stands", "proposal-lock",
    ),
    Promise(
        "signature against another policy", "What was written for another version is refused.",
        _POLICY + "test_of_a_signature_and_another_version_at_once_one_comes_first",
        "still-the-version",
    ),
    Promise(
        "signature against loss of role", "A signature that waited while the role went is refused.",
        _POLICY + "test_a_signature_that_waited_while_the_role_went_is_refused",
        "administrator-lock",
    ),
    Promise(
        "two policies at once", "One replaces what both were written for, the other is told.",
        _POLICY + "test_of_two_versions_at_once_one_replaces_what_both_were_written_for",
        "look-again-under-the-lock",
    ),
    Promise(
        "two policies at once", "What loosens is found against the version that came meanwhile.",
        _POLICY + "test_what_loosens_only_against_the_version_that_came_meanwhile_is_found",
        "look-again-under-the-lock",
    ),
    Promise(
        "one draft in two windows", "One of them saves, and the other is told.",
        _POLICY + "test_of_two_windows_that_save_at_once_one_is_told", "draft-lock",
    ),
    Promise(
        "one draft in two windows", "Published twice, it is one version.",
        _POLICY + "test_a_draft_published_twice_at_once_is_one_version", "draft-once",
    ),
)  # fmt: skip

# Every race that was thought of at the design. What is not in PROMISES is elsewhere, or not there.
LINES = (
    "two approvers at once",
    "approve against reject",
    "one person twice",
    "the last two votes of a quorum",
    "the last votes of two stages",
    "vote against loss of role",
    "approve against expiry",
    "expiry against claim and dispatch",
    "cancel against claim and dispatch",
    "disconnect before and after the ticket",
    "50 submits with one key",
    "re-issue without a key",
    "one wake-up to two workers",
    "a wake-up days late or before the commit is visible",
    "Redis flushed or stopped in each state",
    "kill -9 after claim … result commit",
    "SIGSTOP past the lease at each of those",
    "late definite answer while unknown",
    "definition, address, credential or policy changed in between",
    "agent, upstream or tool disabled after approval",
    "kill switch with 1,000 approved",
    "ambiguous COMMIT",
    "database stopped at random moments",
    "clock steps",
    "restart with 10,000 pending",
    "page shows version n, row is n+1",
    "pending cap with 50 submits at cap − 1",
    "50 submits at once under a budget for 25",
    "old worker, new schema",
    "audit insert fails at each statement",
    "two signatures on one proposal",
    "signature against withdrawal",
    "signature against another policy",
    "signature against loss of role",
    "two policies at once",
    "one draft in two windows",
)
ELSEWHERE = {
    "kill switch with 1,000 approved": "There is none that stops everything; an agent, an upstream"
    " or a tool is switched off, and that is above.",
    "restart with 10,000 pending": "With one it is in tests/flows/test_restart.py; ten thousand are"
    " a matter of size.",
    "old worker, new schema": "There is no released schema yet that an older worker could meet.",
}
