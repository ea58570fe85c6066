"""Promises of `approvals.wording` about text: what is hidden is spelled out, and cannot mislead."""

import hashlib
import re
import unicodedata
from datetime import timedelta

import pytest
from hypothesis import given, strategies

from approvals.wording import (
    Segment,
    clean,
    clock_left,
    digest_groups,
    duration,
    initials,
    readable,
    risk,
    sentence,
    stroke,
    visible,
)
from approvals.wording.hostile import is_hidden
from tests.support.reading import text_of

NASTY = (
    "ab1 ·“”‹›…↵␠×U+\n\r\t\0\x1b[\u202e\u2066\u2069\u200b\u200d\u00a0\u2028\ufe0f\u0301"
    "\u05d0\u0661\u3164\U000e0041\ud800\ue000\u0378"
)
TEXTS = strategies.text(strategies.sampled_from(NASTY)) | strategies.text(strategies.characters())


def chip(text: str, name: str) -> Segment:
    return Segment(text, hidden=True, name=name)


@pytest.mark.parametrize(
    ("character", "label"),
    [
        ("\u202e", "U+202E RIGHT-TO-LEFT OVERRIDE"),
        ("\u202c", "U+202C POP DIRECTIONAL FORMATTING"),
        ("\u2066", "U+2066 LEFT-TO-RIGHT ISOLATE"),
        ("\u200f", "U+200F RIGHT-TO-LEFT MARK"),
        ("\u061c", "U+061C ARABIC LETTER MARK"),
        ("\u200b", "U+200B ZERO WIDTH SPACE"),
        ("\u200d", "U+200D ZERO WIDTH JOINER"),
        ("\u2060", "U+2060 WORD JOINER"),
        ("\ufeff", "U+FEFF ZERO WIDTH NO-BREAK SPACE"),
        ("\u00ad", "U+00AD SOFT HYPHEN"),
        ("\u00a0", "U+00A0 NO-BREAK SPACE"),
        ("\u3000", "U+3000 IDEOGRAPHIC SPACE"),
        ("\U000e0041", "U+E0041 TAG LATIN CAPITAL LETTER A"),
        ("\U000e0001", "U+E0001 LANGUAGE TAG"),
        ("\ufe0f", "U+FE0F VARIATION SELECTOR-16"),
        ("\ufe00", "U+FE00 VARIATION SELECTOR-1"),
        ("\U000e0100", "U+E0100 VARIATION SELECTOR-17"),
        ("\U000e01ef", "U+E01EF VARIATION SELECTOR-256"),
        ("\u180b", "U+180B MONGOLIAN FREE VARIATION SELECTOR ONE"),
        ("\u115f", "U+115F HANGUL CHOSEONG FILLER"),
        ("\u1160", "U+1160 HANGUL JUNGSEONG FILLER"),
        ("\u3164", "U+3164 HANGUL FILLER"),
        ("\uffa0", "U+FFA0 HALFWIDTH HANGUL FILLER"),
        ("\u2800", "U+2800 BRAILLE PATTERN BLANK"),
        ("\u034f", "U+034F COMBINING GRAPHEME JOINER"),
        ("\u17b4", "U+17B4 KHMER VOWEL INHERENT AQ"),
        ("\u17b5", "U+17B5 KHMER VOWEL INHERENT AA"),
        ("\ufffc", "U+FFFC OBJECT REPLACEMENT CHARACTER"),
        ("\u2028", "U+2028 LINE SEPARATOR"),
        ("\u2029", "U+2029 PARAGRAPH SEPARATOR"),
        ("\0", "U+0000 NULL"),
        ("\x1b", "U+001B ESCAPE"),
        ("\r", "U+000D CARRIAGE RETURN"),
        ("\t", "U+0009 TAB"),
        ("\x01", "U+0001 CONTROL CHARACTER"),
        ("\x9b", "U+009B CONTROL CHARACTER"),
        ("\ue000", "U+E000 PRIVATE USE CHARACTER"),
        ("\U0010fffd", "U+10FFFD PRIVATE USE CHARACTER"),
        ("\u0378", "U+0378 UNASSIGNED CHARACTER"),
        ("\U0010ffff", "U+10FFFF UNASSIGNED CHARACTER"),
        ("\ud800", "U+D800 LONE SURROGATE"),
        ("\udfff", "U+DFFF LONE SURROGATE"),
        ("\n", "↵ LINE BREAK"),
    ],
)
def test_a_character_nobody_can_see_is_spelled_out_in_its_place(character: str, label: str) -> None:
    before, shown, after = visible(f"pay {character}me")

    assert (before, after) == (Segment("pay "), Segment("me"))
    assert shown.hidden
    assert shown.label == label


def test_no_character_of_a_hidden_kind_is_ever_plain() -> None:
    plain = [character for character in map(chr, range(0x110000)) if not is_hidden(character)]

    kinds = {unicodedata.category(character) for character in plain}
    assert kinds.isdisjoint({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})
    assert [character for character in plain if character.isspace()] == [" "]
    assert not [
        character
        for character in plain
        if "VARIATION" in unicodedata.name(character, "")
        and unicodedata.category(character) == "Mn"
    ]


@pytest.mark.parametrize(
    "text", ["", "Refund", "naïve café", "שלום", "日本語", "a·b “c” ‹d›", "👍"]
)
def test_text_that_can_be_seen_is_left_alone(text: str) -> None:
    assert visible(text) == ((Segment(text),) if text else ())


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\u200b" * 40, chip("U+200B ×40", "ZERO WIDTH SPACE")),
        ("\n" * 300, chip("↵ ×300", "LINE BREAK")),
        (" " * 16, chip("␠ ×16", "SPACE")),
        (" " * 15, Segment(" " * 15)),
    ],
)
def test_a_run_is_one_chip_that_counts(text: str, shown: Segment) -> None:
    assert visible(text) == (shown,)


def test_a_terminal_escape_is_spelled_out_and_its_rest_is_plain() -> None:
    assert visible("\x1b[31mred") == (chip("U+001B", "ESCAPE"), Segment("[31mred"))


def test_marks_may_sit_on_a_letter_but_not_in_a_tower_and_not_on_the_page() -> None:
    acute = chip("U+0301", "COMBINING ACUTE ACCENT")

    assert visible("e\u0301\u0302\u0303\u0304") == (Segment("e\u0301\u0302\u0303\u0304"),)
    assert visible("e\u0301\u0302\u0303\u0304\u0305")[-1].text == "U+0305"
    assert visible("e" + "\u0301" * 9)[-1].text == "U+0301 ×9"
    assert visible("\u0301e") == (acute, Segment("e"))
    assert visible("e\u200b\u0301")[-1] == acute


def test_plain_text_cannot_imitate_a_chip() -> None:
    assert visible("U+202E") != visible("\u202e")
    assert not visible("↵ ×3")[0].hidden


def test_only_line_breaks_begin_a_new_line_on_the_page() -> None:
    assert [part.is_break for part in visible("a\n\nb\u2028↵\r")] == [
        False,
        True,
        False,
        False,
        False,
        False,
    ]


@given(TEXTS)
def test_any_text_can_be_read_back_from_what_is_shown(text: str) -> None:
    segments = visible(text)

    assert text_of(segments) == text
    assert not any(
        is_hidden(character) for part in segments for character in part.text if not part.hidden
    )
    assert all(part.text for part in segments)


# -- one line ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "limit", "shown"),
    [
        ("Refund", 6, "Refund"),
        ("Refunds", 6, "Refun…"),
        ("a\u202eb", 20, "a‹U+202E›b"),
        ("a\n\n\r\n\t b", 20, "a b"),
        ("  a   b  ", 20, "a b"),
        ("\u200b" * 9, 20, "‹U+200B ×9›"),
        # A chip is shown whole or not at all.
        ("abc\u202ed", 11, "abc‹U+202E…"[:3] + "…"),
        ("abc\u202ed", 12, "abc‹U+202E›d"),
        ("abc def", 5, "abc…"),
        ("\x1b[2J", 20, "‹U+001B›[2J"),
        ("x" * 10_000, 3, "xx…"),
        (" " * 10_000 + "x", 5, "…"),
        ("", 5, ""),
        ("\n", 5, ""),
    ],
)
def test_one_line_is_clean_and_cut_with_a_sign(text: str, limit: int, shown: str) -> None:
    assert clean(text, limit) == shown


@given(TEXTS, strategies.integers(1, 40))
def test_one_line_keeps_its_limit_and_shows_nothing_hidden(text: str, limit: int) -> None:
    shown = clean(text, limit)

    assert len(shown) <= limit
    assert shown == shown.strip(" ")
    assert not any(is_hidden(character) for character in shown)


# -- a call in one line --------------------------------------------------------------------------

REFUND = {"amount": 42000, "customer": "cus_8241", "invoice": "in_2201"}


@pytest.mark.parametrize(
    ("title", "arguments", "said"),
    [
        ("Refund", REFUND, "Refund · amount 42000 · customer cus_8241 · invoice in_2201"),
        ("", {}, "Credit note"),
        ("\u200b\n", {}, "‹U+200B›"),
        ("Refund", {"amount": "42000"}, "Refund · amount “42000”"),
        ("Refund", {"amount": 420.5, "ok": True}, "Refund · amount 420.5 · ok yes"),
        ("Refund", {"ok": "true", "x": False}, "Refund · ok “true” · x no"),
        ("Refund", {"customer_id": "a b"}, "Refund · customer id “a b”"),
        ("Refund", {"lines": [1, 2], "to": {"a": 1}}, "Refund · lines 2 items · to 1 field"),
        ("Refund", {"a": None, "b": ""}, "Refund · 2 arguments"),
        ("Refund", {"a": None}, "Refund · 1 argument"),
        ("Refund", {"a": 0, "b": ""}, "Refund · a 0 · and 1 more"),
        ("Refund", dict.fromkeys("abcdef", 1), "Refund · a 1 · b 1 · c 1 · d 1 · and 2 more"),
        ("Refund", {"note": "x" * 50, "z": 1}, f"Refund · z 1 · note “{'x' * 39}…”"),
        ("Refund", {"note": "a\nb"}, "Refund · note “a b”"),
        # Numbers and short texts tell more than a yes, long texts or lists.
        (
            "Refund",
            {"a": True, "b": 1, "c": "x\ny", "d": "z"},
            "Refund · b 1 · d z · a yes · c “x y”",
        ),
        ("Refund", {"a": [1], "b": "x" * 41}, f"Refund · b “{'x' * 39}…” · a 1 item"),
        # Nobody's text may pass for an argument of its own.
        ("Refund", {"to": "x · amount 1"}, "Refund · to “x - amount 1”"),
        ("Refund", {"to": "x” · amount 1 · “y"}, 'Refund · to “x" - amount 1 - "y”'),
        ("Refund", {"to · amount 1": "x"}, "Refund · “to - amount 1” x"),
        ("Refund · amount 1", {"amount": 2}, "Refund - amount 1 · amount 2"),
        # Letters that run right to left must not swap what stands beside them.
        ("Refund", {"to": "שלום", "z": 1}, "Refund · to “\u2068שלום\u2069” · z 1"),
        ("החזר", {"z": 1}, "\u2068החזר\u2069 · z 1"),
    ],
)
def test_a_call_is_said_in_one_line(title: str, arguments: dict[str, object], said: str) -> None:
    assert sentence(title, "billing__credit_note", arguments) == said


def test_the_order_in_which_an_agent_sends_arguments_says_nothing() -> None:
    backwards = dict(reversed(REFUND.items()))

    assert sentence("Refund", "refund", backwards) == sentence("Refund", "refund", REFUND)


VALUES = TEXTS | strategies.none() | strategies.booleans() | strategies.floats(-1e15, 1e15)


@given(TEXTS, strategies.dictionaries(TEXTS, VALUES | strategies.lists(VALUES), max_size=8))
def test_a_sentence_has_no_more_parts_than_the_call_has(
    title: str, arguments: dict[str, object]
) -> None:
    said = sentence(title, "refund", arguments)

    parts = said.split(" · ")
    assert len(said) <= 160
    assert not any(is_hidden(character) for character in said if character not in "\u2068\u2069")
    assert len(parts) <= min(len(arguments), 5) + 1
    assert all(part.count("“") == part.count("”") for part in parts)
    assert "·" not in "".join(parts)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("invoice_id", "Invoice id"),
        ("invoiceId", "Invoice id"),
        ("dry-run", "Dry run"),
        ("amount", "Amount"),
        ("a.b", "a.b"),
        ("x\u202ey", "x‹U+202E›y"),
    ],
)
def test_a_programmers_name_reads_as_words(name: str, words: str) -> None:
    assert readable(name) == words


@pytest.mark.parametrize(
    ("effect", "unusual", "level"),
    [
        ("read", 0, "low"),
        ("read", 3, "low"),
        ("write", 0, "low"),
        ("write", 1, "raised"),
        ("destructive", 0, "high"),
        ("unreviewed", 0, "high"),
        ("changed", 0, "high"),
        ("", 0, "high"),
    ],
)
def test_risk_is_high_where_nobody_knows_better(effect: str, unusual: int, level: str) -> None:
    assert risk(effect, unusual) == level


@pytest.mark.parametrize(
    ("name", "letters"),
    [
        ("Theo Okafor", "TO"),
        ("Ana Maria de Souza", "AS"),
        ("support-triage", "st"),
        ("ann", "an"),
        ("X", "X"),
        ("", "?"),
        ("\u202e--", "?"),
    ],
)
def test_a_face_has_one_or_two_letters(name: str, letters: str) -> None:
    assert initials(name) == letters


# -- times and strokes ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "words", "clock"),
    [
        (-5, "0 s", "0:00"),
        (0, "0 s", "0:00"),
        (0.9, "0 s", "0:00"),
        (9, "9 s", "0:09"),
        (59.99, "59 s", "0:59"),
        (60, "1 min", "1:00"),
        (65, "1 min 05 s", "1:05"),
        (252, "4 min 12 s", "4:12"),
        (299, "4 min 59 s", "4:59"),
        (300, "5 min", "5m"),
        (3599, "59 min 59 s", "59m"),
        (3600, "1 h", "1h"),
        (7500, "2 h 05 min", "2h"),
        (86399, "23 h 59 min", "23h"),
        (86400, "1 d", "1d"),
        (7 * 86400 - 1, "6 d 23 h", "6d"),
    ],
)
def test_time_left_is_told_in_words_and_in_the_ring_and_never_rounded_up(
    seconds: float, words: str, clock: str
) -> None:
    assert duration(timedelta(seconds=seconds)) == words
    assert clock_left(timedelta(seconds=seconds)) == clock


DIGEST = "42471581538d204138531b9be33fd254992124ffcf5272fa0d251ce40c79f9fd"


def test_a_digest_is_grouped_by_four() -> None:
    assert digest_groups(DIGEST) == "4247 1581 538d 2041 3853 1b9b e33f d254"
    assert digest_groups("") == ""


def test_a_digest_is_drawn_as_in_the_design() -> None:
    drawn = stroke(DIGEST)

    assert drawn.startswith("M8.6 11.9C8.2 13.8 4.7 20.9 6.5 21.4C8.4 21.9 15.7 13.6 17.8 14.2")
    assert drawn.endswith("C74.5 23.2 83.4 20.7 86.2 20.7")


# The lean of an upstroke is not drawn; its height is.
@pytest.mark.parametrize("at", [at for at in [*range(32), 40] if at % 4 != 1])
def test_each_nibble_that_is_shown_changes_the_stroke(at: int) -> None:
    other = DIGEST[:at] + ("0" if DIGEST[at] != "0" else "f") + DIGEST[at + 1 :]

    assert stroke(other) != stroke(DIGEST)


def test_a_stroke_is_one_path_of_finite_curves() -> None:
    for seed in range(200):
        drawn = stroke(hashlib.sha256(bytes([seed])).hexdigest(), 26, 17, 5)

        assert re.fullmatch(r"M[\d.-]+ [\d.-]+(C[\d.-]+( [\d.-]+){5}){5}", drawn)
