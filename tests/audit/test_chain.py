"""A trail that was changed is not taken for the one that was written."""

from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from messaging.postgres.audit_chain import Chain, Entry, Seal, Tampered, Verified, content_hash
from tests.audit.trails import AT, entry, hashed, sealed

ENTRIES = [entry(number) for number in (1, 2, 3, 5, 6, 7, 8)]
"""The number 4 was taken by a transaction that was rolled back."""
SEALS = sealed(ENTRIES[:3], ENTRIES[3:5])

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20)
entries = st.builds(
    Entry,
    id=st.integers(1, 2**62),
    at=st.integers(0, 2**52).map(lambda micros: AT + timedelta(microseconds=micros)),
    role=texts,
    who=texts,
    action=texts,
    outcome=st.sampled_from(["done", "refused"]),
    order_id=st.none() | st.uuids(),
    detail=texts,
    hash=st.just(b""),
)


def _check(entries: Sequence[Entry], seals: Sequence[Seal]) -> Verified:
    chain = Chain(seals)
    for each in entries:
        chain.add(each)
    return chain.end()


def _flaw(entries: Sequence[Entry], seals: Sequence[Seal]) -> str:
    with pytest.raises(Tampered) as flaw:
        _check(entries, seals)
    return str(flaw.value)


def test_a_trail_as_it_was_written_matches() -> None:
    assert _check([], []) == Verified(0, 0, [])
    assert _check(ENTRIES, SEALS) == Verified(7, 2, SEALS)
    assert _check(ENTRIES[:5], SEALS) == Verified(5, 0, SEALS)


@given(entries, entries)
def test_two_entries_have_the_same_hash_only_if_they_are_the_same(one: Entry, other: Entry) -> None:
    assert (content_hash(one) == content_hash(other)) == (one == other)
    assert content_hash(one) == content_hash(replace(one, hash=b"another"))


@given(entries, entries)
def test_each_field_of_an_entry_counts(one: Entry, other: Entry) -> None:
    for name in (field.name for field in fields(Entry) if field.name != "hash"):
        changed = replace(one, **{name: getattr(other, name)})
        assert (content_hash(changed) == content_hash(one)) == (changed == one), name


@given(st.text(min_size=1, max_size=3), st.text(min_size=1, max_size=3), texts)
def test_what_moves_from_one_field_to_the_next_counts(left: str, right: str, rest: str) -> None:
    one = replace(entry(1), who=left + right, action=rest)
    assert content_hash(one) != content_hash(replace(one, who=left, action=right + rest))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("who", "nobody"),
        ("role", "postgres"),
        ("action", "order.cancel"),
        ("outcome", "refused"),
        ("order_id", UUID(int=1)),
        ("detail", '{"a": 1}'),
        ("at", ENTRIES[0].at + timedelta(microseconds=1)),
    ],
)
@pytest.mark.parametrize("place", [0, 4, 6], ids=["sealed first", "sealed last", "not sealed"])
def test_an_entry_that_was_changed_is_named(place: int, field: str, value: object) -> None:
    changed = list(ENTRIES)
    changed[place] = replace(changed[place], **{field: value})  # type: ignore[arg-type]

    assert _flaw(changed, SEALS) == f"entry {ENTRIES[place].id} is not as it was written"


def test_a_sealed_entry_that_was_changed_together_with_its_hash_breaks_its_seal() -> None:
    changed = [*ENTRIES[:3], hashed(replace(ENTRIES[3], who="nobody")), *ENTRIES[4:]]

    assert _flaw(changed, SEALS) == (
        "seal 2 does not match: it, or one of the entries from 4 to 6, is not as it was written"
    )


@pytest.mark.parametrize("place", range(5))
def test_a_sealed_entry_that_was_removed_breaks_its_seal(place: int) -> None:
    assert "are there" in _flaw([*ENTRIES[:place], *ENTRIES[place + 1 :]], SEALS)


def test_all_entries_of_the_last_seal_that_were_removed_break_it() -> None:
    assert _flaw(ENTRIES[:3], SEALS) == "seal 2 covers 2 entries from 4 to 6, and 0 are there"


def test_an_entry_that_was_put_between_sealed_ones_breaks_their_seal() -> None:
    assert (
        _flaw([*ENTRIES[:3], entry(4), *ENTRIES[3:]], SEALS) == "seal 2 covers 2 entries from 4 to 6, and 3 are there"
    )


def test_entries_whose_contents_were_exchanged_are_named() -> None:
    first, second = ENTRIES[0], replace(ENTRIES[1], action="order.cancel")
    exchanged = [replace(second, id=first.id), replace(first, id=second.id), *ENTRIES[2:]]

    assert _flaw(exchanged, SEALS) == "entry 1 is not as it was written"


def test_a_seal_that_was_removed_from_the_middle_or_the_front_is_missed() -> None:
    three = sealed(ENTRIES[:3], ENTRIES[3:5], ENTRIES[5:])

    assert _flaw(ENTRIES, [three[0], three[2]]).startswith("seal 3 does not follow the one before it")
    assert _flaw(ENTRIES, three[1:]).startswith("seal 2 does not follow the one before it")


def test_seals_that_were_exchanged_are_named() -> None:
    first, second = SEALS
    exchanged = [replace(second, number=1), replace(first, number=2)]

    assert _flaw(ENTRIES, exchanged).startswith("seal 1 does not follow")


def test_the_newest_seal_and_what_is_behind_it_can_be_removed_unseen() -> None:
    """Nothing in the database can show it. A copy of the seal elsewhere does, see `oms audit verify --seal`."""
    assert _check(ENTRIES, SEALS[:1]) == Verified(7, 4, SEALS[:1])
    assert _check(ENTRIES[:3], SEALS[:1]) == Verified(3, 0, SEALS[:1])
