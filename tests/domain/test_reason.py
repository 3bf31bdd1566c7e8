"""Reasons: whatever somebody writes, a person can read what is kept of it."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared_kernel.reason import MAX_REASON, NO_REASON, reason_of

ANY_TEXT = st.text(st.characters(), max_size=50) | st.text(
    st.sampled_from("a \t\n\0\u200b\ud800\u202e\u2028\xa0"), max_size=50
)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("no cover", "no cover"),
        ("Käse ist aus - 🧀", "Käse ist aus - 🧀"),
        ("not in this Unicode yet: \U0001fadf\U0003ffff", "not in this Unicode yet: \U0001fadf\U0003ffff"),
        ("  no \r\n\t cover ", "no cover"),
        ("no\xa0cover", "no cover"),
        ("no\0cover", "no cover"),
        ("no\u2028cover", "no cover"),
        ("\u202eno\u2066 co\u200bver", "no cover"),
        ("no \ud800 cover", "no cover"),
        ("\x1b[31mno cover", "[31mno cover"),
        ("x" * 501, "x" * 500),
        ("x" * 499 + " y", "x" * 499),
        ("x" * 10_000_000, "x" * 500),
    ],
    ids=lambda text: ascii(text)[:40],
)
def test_what_can_be_read_is_kept_on_one_line(text: str, reason: str) -> None:
    assert reason_of(text) == reason


@pytest.mark.parametrize(
    "text", ["", "   ", "\n\t", "\0", "\ud800", "\u200b\u202e\ufeff", "\xa0\u2003\u3000"], ids=ascii
)
def test_what_says_nothing_is_told_to_say_nothing(text: str) -> None:
    assert reason_of(text) == NO_REASON
    assert reason_of(text, "the payment was declined") == "the payment was declined"


@pytest.mark.parametrize("nothing", [None, 7, True, {}, ["no", "cover"], b"no cover"], ids=ascii)
def test_so_is_what_is_no_text(nothing: object) -> None:
    assert reason_of(nothing) == NO_REASON


@given(ANY_TEXT)
def test_a_reason_can_be_kept_and_shown_everywhere_and_stays_as_it_is(text: str) -> None:
    reason = reason_of(text)

    assert 1 <= len(reason) <= MAX_REASON
    assert reason == reason.strip()
    assert not {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"} & {unicodedata.category(character) for character in reason}
    assert reason.encode()
    assert reason_of(reason) == reason
