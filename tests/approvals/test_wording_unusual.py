"""What is unusual about a call: each line changes with the history, and none comes from little."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from approvals.wording import Earlier, Facts, Kind, Line, rows, unusual
from approvals.wording.confusables import skeleton

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
NAMES = ("amount", "currency", "customer", "notify", "lines", "memo", "user_id")
SCHEMA: dict[str, object] = {"properties": {name: {} for name in NAMES}}
USUAL = {"amount": 100, "currency": "usd"}


def earlier(number: int = 12, is_agents: bool = True, **changes: Any) -> list[Earlier]:
    """Return so many earlier calls, a day apart, at noon."""
    days = (NOON - timedelta(days=day) for day in range(1, number + 1))
    return [Earlier(is_agents, at, {**USUAL, **changes}) for at in days]


def facts(
    arguments: dict[str, Any], history: list[Earlier], schema: object = SCHEMA, **more: Any
) -> Facts:
    table = rows(arguments, schema)
    more = {"agent": "support", "effect": "write", "at": NOON, **more}
    return Facts(arguments=arguments, rows=table, earlier=tuple(history), **more)


def lines(arguments: dict[str, Any], history: list[Earlier], **more: Any) -> tuple[Line, ...]:
    return unusual(facts(arguments, history, **more)).lines


def plain(text: str) -> str:
    return text.replace("\u2068", "").replace("\u2069", "")


def said(arguments: dict[str, Any], history: list[Earlier], **more: Any) -> list[str]:
    return [plain(f"{line.fact} {line.why}") for line in lines(arguments, history, **more)]


def test_a_usual_call_has_no_line() -> None:
    assert lines(USUAL, earlier()) == ()


# -- numbers ---------------------------------------------------------------------------------------


def test_a_number_far_from_the_agents_own_names_median_number_and_largest() -> None:
    [line] = said({**USUAL, "amount": 520}, earlier(12))

    assert line.startswith("Amount 520 is 5.2× this agent’s median of 100 over 12 calls, ")
    assert line.endswith("and its largest in 90 days.")


def test_the_period_told_is_the_one_that_was_looked_at() -> None:
    odd = {**USUAL, "amount": 520}

    [days] = said(odd, earlier(12), period=timedelta(days=12, hours=3))
    [hours] = said(odd, earlier(12), period=timedelta(hours=30))

    assert days.endswith("and its largest in 12 days.")
    assert hours.endswith("and its largest in 1 d 06 h.")


def test_a_history_that_was_larger_before_says_so() -> None:
    [line] = said({**USUAL, "amount": 520}, [*earlier(12), *earlier(1, amount=900)])

    assert line.endswith("of 100 over 13 calls; its largest in 90 days is 900.")


MINOR = "Refund {amount|money:currency:minor}"


def test_money_is_written_as_the_template_writes_it() -> None:
    odd, smaller = {**USUAL, "amount": 42000}, [*earlier(11, amount=8400), *earlier(1, amount=9001)]

    [far] = said(odd, earlier(12, amount=8400), template=MINOR)
    [line] = lines(odd, earlier(12, amount=8400), template=MINOR)
    [largest] = said({**USUAL, "amount": 9002}, smaller, template="{amount|money:USD:minor}")
    [below] = said({**USUAL, "amount": -5}, earlier(), template="{amount|money:JPY:major}")

    assert far.startswith("Amount $420.00 is 5× this agent’s median of $84.00 over 12 calls")
    assert line.mark == "5× this agent’s median ($84.00 over 12 calls)"
    assert largest.startswith("Amount $90.02 is this agent’s largest")
    assert "The largest before was $90.01, the median $84.00, over 12 calls." in largest
    assert below.startswith("Amount -JPY 5 is below zero.")
    assert "smallest in 90 days is JPY 100, over 12 calls." in below


def test_a_median_between_two_amounts_is_rounded_to_one() -> None:
    history = [*earlier(6, amount=100), *earlier(6, amount=101)]

    [line] = said({**USUAL, "amount": 600}, history, template=MINOR)

    assert "median of $1.00 over 12 calls" in line


@pytest.mark.parametrize(
    "template",
    ["", "Refund {amount}", "{currency|quote}", "{amount|money:usd", "{x.amount|money:USD:minor}",
     "{amount|money:customer:minor}"],
)  # fmt: skip
def test_a_unit_the_template_does_not_name_is_not_guessed(template: str) -> None:
    [line] = said({**USUAL, "amount": 520}, earlier(), template=template)

    assert line.startswith("Amount 520 is 5.2× this agent’s median of 100 over")


def test_amounts_of_more_than_one_currency_are_written_as_they_were_sent() -> None:
    odd = {**USUAL, "amount": 520}

    [mixed] = said(odd, [*earlier(12), *earlier(1, currency="jpy")], template=MINOR)
    [others] = said(odd, [*earlier(12), *earlier(1, False, currency="jpy")], template=MINOR)
    [broken] = said({**USUAL, "amount": 520.5}, earlier(), template=MINOR)

    assert "Amount 520 is 5.2× this agent’s median of 100" in mixed
    assert "Amount $5.20 is 5.2× this agent’s median of $1.00" in others
    assert "Amount 520.5 is 5.2× this agent’s median of 100" in broken


def test_a_number_that_is_a_date_is_not_compared_by_size() -> None:
    history = [
        Earlier(True, one.at, {**USUAL, "amount": 1_790_000_000 + day})
        for day, one in enumerate(earlier(12))
    ]
    late = {**USUAL, "amount": 1_890_000_000}

    assert len(lines(late, history)) == 1
    assert lines(late, history, template="Due {amount|date:seconds}") == ()


@pytest.mark.parametrize(
    ("amount", "count"), [(100, 0), (99, 0), (101, 1), (299, 1), (300, 1), (-5, 1), (0, 0)]
)
def test_a_number_within_what_was_is_usual(amount: int, count: int) -> None:
    assert len(lines({**USUAL, "amount": amount}, [*earlier(), *earlier(1, amount=0)])) == count


def test_a_number_a_little_beyond_the_largest_is_told_softly_and_one_far_beyond_is_not() -> None:
    [little] = lines({**USUAL, "amount": 120}, earlier())
    [far] = lines({**USUAL, "amount": 300}, earlier())

    assert (little.kind, little.tone) == (Kind.NUMBER, "warn")
    assert plain(little.fact) == "Amount 120 is this agent’s largest in 90 days."
    assert little.why == "The largest before was 100, the median 100, over 12 calls."
    assert (far.kind, far.tone) == (Kind.FAR, "bad")


def test_a_number_below_zero_where_none_was_is_told() -> None:
    [line] = said({**USUAL, "amount": -1}, earlier())

    assert line.startswith("Amount -1 is below zero. This agent’s smallest in 90 days is 100")


def test_without_enough_calls_of_its_own_the_agent_is_compared_with_the_tool() -> None:
    history = [*earlier(9, amount=10), *earlier(12, is_agents=False)]

    [line] = lines({**USUAL, "amount": 520}, history)

    assert line.compares == "tool"
    assert "5.2× this tool’s median" in line.fact
    assert "of 100 over 21 calls" in line.why


def test_the_agents_own_history_goes_before_that_of_others() -> None:
    history = [*earlier(10, amount=10), *earlier(50, is_agents=False)]

    [line] = lines({**USUAL, "amount": 100}, history)

    assert line.compares == "agent"
    assert "10× this agent’s median" in line.fact


@pytest.mark.parametrize("calls", range(10))
def test_nothing_is_compared_with_fewer_than_ten_calls(calls: int) -> None:
    odd = {"amount": 10**9, "currency": "eur", "memo": "new"}

    assert lines(odd, earlier(calls), at=NOON + timedelta(hours=9)) == ()
    assert lines(odd, earlier(10), at=NOON + timedelta(hours=9)) != ()


def test_a_number_that_names_something_is_not_compared_by_size() -> None:
    history = [
        Earlier(True, NOON - timedelta(days=day), {"user_id": 7 + day}) for day in range(1, 13)
    ]

    assert lines({"user_id": 10**9}, history) == ()


def test_numbers_in_lists_are_compared_with_those_of_the_same_field() -> None:
    history = earlier(lines=[{"price": 5}, {"price": 6}])

    [line] = lines({**USUAL, "lines": [{"price": 5}, {"price": 60}]}, history)

    assert line.place == "lines[1].price"
    assert plain(line.fact) == "Price 60 is 10× this agent’s median"


def test_yes_and_no_are_no_numbers_and_a_text_is_none() -> None:
    history = earlier(notify=True, memo="7")

    assert said({**USUAL, "notify": 1, "memo": "7"}, history) != []
    assert [line.kind for line in lines({**USUAL, "notify": False, "memo": "7"}, history)] == [
        Kind.NEVER_SEEN,
        Kind.ODD,  # the text that looks like a number
    ]


# -- values ----------------------------------------------------------------------------------------


def test_a_value_never_seen_where_values_repeat_is_told() -> None:
    [line] = said({**USUAL, "currency": "eur"}, earlier())

    assert line == (
        "Currency “eur” was never seen in this field."
        " 12 calls of this tool in 90 days had 1 other value."
    )


def test_one_earlier_call_with_the_value_makes_it_known() -> None:
    history = [*earlier(), *earlier(1, is_agents=False, currency="eur")]

    assert lines({**USUAL, "currency": "eur"}, history) == ()


def test_where_every_call_brings_a_new_value_another_one_is_usual() -> None:
    history = [
        Earlier(True, NOON - timedelta(days=day), {**USUAL, "customer": f"customer-{day * 7}"})
        for day in range(1, 20)
    ]

    assert lines({**USUAL, "customer": "someone else"}, history) == ()


def test_an_argument_that_no_call_had_is_told() -> None:
    [line] = said({**USUAL, "notify": True}, earlier())

    assert line == "Notify was never sent before. None of 12 calls of this tool in 90 days had it."


def test_prose_is_told_where_there_was_none_and_is_not_compared() -> None:
    [line] = lines({**USUAL, "memo": "a" * 300}, earlier())

    assert (line.kind, line.place) == (Kind.NEVER_SEEN, "memo")
    assert lines({**USUAL, "memo": "a" * 300}, earlier(memo="b" * 300)) == ()


def test_of_an_argument_that_no_call_had_the_whole_is_told_and_not_each_part() -> None:
    history = earlier(lines=[{"price": 5}])
    arguments = {**USUAL, "lines": [{"price": 5, "more": {"a": 1, "b": [2]}}, {"more": 1}]}

    [line] = lines(arguments, history)

    assert (line.kind, line.place) == (Kind.NEVER_SEEN, "lines[0].more")


@pytest.mark.parametrize(
    "alike",
    [
        "сus_8241",  # Cyrillic
        "cus_824l",
        "cus\u200b_8241",
        "ｃus_8241",
        "CUS_8241",
        "cus\u02cd8241",
    ],
)
def test_a_look_alike_of_a_known_value_is_told_with_the_value_it_looks_like(alike: str) -> None:
    arguments = {**USUAL, "customer": alike}
    history = earlier(customer="cus_8241")

    line = next(line for line in lines(arguments, history) if line.kind == Kind.LOOK_ALIKE)

    assert "looks like “cus_8241” and is another value" in plain(line.fact)
    assert "12 of 12 calls had the other one" in line.why
    assert (line.tone, line.known, line.compares) == ("bad", "cus_8241", "tool")


def test_a_look_alike_names_the_letter_that_is_not_what_it_seems() -> None:
    [line] = lines({**USUAL, "customer": "сus_8241"}, earlier(customer="cus_8241"))

    assert line.why.endswith("; this one has CYRILLIC SMALL LETTER ES.")


def test_a_look_alike_that_is_known_itself_is_none() -> None:
    history = [*earlier(customer="cus_8241"), *earlier(1, customer="сus_8241")]

    assert lines({**USUAL, "customer": "сus_8241"}, history) == ()


@pytest.mark.parametrize(
    ("one", "other", "is_alike"),
    [
        ("paypal", "раураl", True),
        ("Halden", "Ηalden", True),
        ("modern", "modem", True),
        ("vvest", "west", True),
        ("in_O0", "in_0O", True),
        ("a-b", "a–b", True),
        ("straße", "strasse", True),
        ("cus_8241", "cus_8242", False),
        ("usd", "eur", False),
        ("dana", "dina", False),
    ],
)
def test_what_looks_alike_has_one_skeleton(one: str, other: str, is_alike: bool) -> None:
    assert (skeleton(one) == skeleton(other)) is is_alike


# -- what cannot be seen ---------------------------------------------------------------------------


def test_hidden_characters_are_counted_and_named_without_any_history() -> None:
    [line] = said({"amount": 1, "memo": "a\u200b\u200b\u00adb"}, [])

    assert line == "Memo holds 3 hidden characters. U+200B ZERO WIDTH SPACE, U+00AD SOFT HYPHEN."


@pytest.mark.parametrize("character", "\u202e\u2066\u200f\u061c")
def test_characters_that_change_the_direction_are_the_worst_of_them(character: str) -> None:
    [line, *_] = lines({"amount": 1, "memo": f"a{character}b"}, [])

    assert (line.kind, line.tone) == (Kind.DIRECTION, "bad")
    assert "holds 1 hidden character, and they change the order of reading" in plain(line.fact)


def test_hidden_characters_in_a_name_and_in_the_middle_of_a_long_text_are_told() -> None:
    [name, *_] = lines({"me\u200bmo": "a"}, [], schema={})
    [middle, *_] = lines({"memo": "x" * 500 + "\u202e" + "x" * 500}, [])

    assert name.kind == Kind.HIDDEN
    assert middle.kind == Kind.DIRECTION


# -- the agent, the tool ---------------------------------------------------------------------------


def test_a_first_call_of_a_tool_by_an_agent_is_told() -> None:
    [line] = said(USUAL, earlier(20, is_agents=False), is_first=True)

    assert (
        line == "This is support’s first call of this tool. Others called it 20 times in 90 days."
    )
    [alone] = said(USUAL, [], is_first=True)
    assert alone.endswith("Nobody else called it in 90 days.")


@pytest.mark.parametrize(
    ("hours", "count"), [(0, 0), (1.9, 0), (2.1, 1), (-2.1, 1), (11, 1), (-11.9, 1)]
)
def test_an_hour_is_unusual_when_no_earlier_call_came_near_it(hours: float, count: int) -> None:
    assert len(lines(USUAL, earlier(), at=NOON + timedelta(hours=hours))) == count


def test_an_hour_is_compared_around_midnight() -> None:
    late = [Earlier(True, e.at.replace(hour=23, minute=30), USUAL) for e in earlier()]

    assert lines(USUAL, late, at=NOON.replace(hour=0, minute=30)) == ()
    [line] = said(USUAL, late)
    assert line.startswith("12:00 is an unusual hour for support. None of its 12 calls")


def test_hours_of_one_afternoon_and_of_other_agents_say_nothing() -> None:
    burst = [Earlier(True, NOON - timedelta(minutes=n), USUAL) for n in range(20)]

    assert lines(USUAL, burst, at=NOON + timedelta(hours=9)) == ()
    assert lines(USUAL, earlier(is_agents=False), at=NOON + timedelta(hours=9)) == ()


@pytest.mark.parametrize(
    ("days", "effect", "count"), [(6, "write", 1), (8, "write", 0), (-1, "write", 0)]
)
def test_a_definition_is_told_for_a_week_after_it_changed(
    days: int, effect: str, count: int
) -> None:
    changed_at = NOON - timedelta(days=days)

    assert len(lines(USUAL, earlier(), changed_at=changed_at, effect=effect)) == count


@pytest.mark.parametrize("effect", ["unreviewed", "changed", "destructive"])
def test_what_was_judged_of_the_tool_is_told_once(effect: str) -> None:
    changed_at = NOON - timedelta(days=1)

    found = lines(USUAL, earlier(), effect=effect, changed_at=changed_at)

    assert [line.kind for line in found] == (
        [Kind.CHANGED, Kind.DESTRUCTIVE] if effect == "destructive" else [Kind.UNREVIEWED]
    )


# -- all together ----------------------------------------------------------------------------------

EVERYTHING = {
    "amount": 900, "currency": "eur", "customer": "сus_8241", "memo": "a\u202eb", "user_id": " 1",
    "lines": ["\u200b"], "other": "x",
}  # fmt: skip


def test_at_most_five_lines_the_worst_first_and_the_last_counts_the_rest() -> None:
    found = lines(EVERYTHING, earlier(customer="cus_8241"), at=NOON + timedelta(hours=9))

    assert [line.kind for line in found] == [
        Kind.DIRECTION, Kind.LOOK_ALIKE, Kind.HIDDEN, Kind.FAR, Kind.MORE,
    ]  # fmt: skip
    assert found[-1].fact == "8 more:"
    assert found[-1].why == "5 × value never seen, 2 × other remark, 1 × unusual hour."


def test_the_order_of_arguments_and_of_the_history_changes_nothing() -> None:
    history = earlier(customer="cus_8241")
    shuffled = [*history]
    random.Random(1).shuffle(shuffled)
    turned = dict(reversed(EVERYTHING.items()))

    first, second = lines(EVERYTHING, history), lines(turned, shuffled)

    assert [line.kind for line in first] == [line.kind for line in second]
    assert {line.fact for line in first} == {line.fact for line in second}


def test_what_no_line_has_room_for_is_marked_in_the_table_all_the_same() -> None:
    marks = {
        row.name: (plain(row.remark), row.tone)
        for row in unusual(facts(EVERYTHING, earlier(customer="cus_8241"))).rows
    }

    assert marks["amount"] == ("9× this agent’s median (100 over 12 calls)", "bad")
    assert marks["currency"][0] == "never seen in 12 calls, which had 1 other value"
    assert marks["customer"] == ("looks like “cus_8241” of 12 calls before, and is not", "bad")
    assert marks["memo"] == ("in none of 12 calls before; hidden characters", "bad")
    assert marks["other"][0] == "in none of 12 calls before; not in the schema"


def test_without_history_the_table_is_as_it_was() -> None:
    without = facts(USUAL, [])

    assert unusual(without).rows == without.rows


@pytest.mark.parametrize(
    "value", ["", "\u2069”. Amount is fine. “", "x" * 200, "\u202e" * 50, "a\n\n\nb", "سلام"]
)
def test_a_value_in_a_line_is_cut_cleaned_and_held_apart(value: str) -> None:
    for line in lines({**USUAL, "currency": value}, earlier()):
        said = line.fact + line.why
        assert said.count("\u2068") == said.count("\u2069")
        assert "\u202e" not in said
        assert "\n" not in said
        assert len(line.fact) < 160


def test_a_great_history_of_great_calls_is_looked_at_quickly() -> None:
    many = {f"field{n}": f"value {n}" for n in range(2_000)}
    history = [Earlier(True, NOON - timedelta(days=n % 90), many) for n in range(400)]
    began = datetime.now(UTC)

    unusual(facts({name: f"{value}!" for name, value in many.items()}, history))

    assert datetime.now(UTC) - began < timedelta(seconds=5)
