"""The loop that HTTP and consumers share: decide on what is stored, commit, and decide again when another won."""

from dataclasses import dataclass, field
from uuid import UUID

import pytest

from messaging.ports.changes import Changes, CommitResult, Committed, Conflict, Duplicate, StoreUnavailable
from messaging.ports.commit import ATTEMPTS, Contention, decide_then_commit


@dataclass
class Counter:
    """A store of one number at a version, in which others may write before we do."""

    version: int = 1
    value: int = 0
    others: list[int] = field(default_factory=list)
    loads: int = 0
    commits: int = 0

    async def load(self) -> tuple[int, int]:
        """The version and the value."""
        self.loads += 1
        return self.version, self.value

    async def commit(self, changes: Changes[tuple[int, int], str]) -> CommitResult:
        """Store, unless another writer was faster."""
        self.commits += 1
        if self.others:
            self.version, self.value = self.version + 1, self.others.pop()
        if changes.expected_version != self.version:
            return Conflict()
        self.version, self.value = changes.aggregate
        return Committed()


def add_one(current: tuple[int, int]) -> Changes[tuple[int, int], str]:
    """A decision."""
    version, value = current
    return Changes((version + 1, value + 1), version, (f"became {value + 1}",))


async def test_what_was_decided_is_committed_and_answered() -> None:
    store = Counter()

    assert await decide_then_commit(store.load, add_one, store.commit) == (2, 1)
    assert (store.version, store.value, store.loads, store.commits) == (2, 1, 1, 1)


async def test_after_a_lost_race_it_is_decided_again_on_what_won() -> None:
    store = Counter(others=[10])

    assert await decide_then_commit(store.load, add_one, store.commit) == (3, 11)
    assert (store.value, store.loads, store.commits) == (11, 2, 2)


async def test_the_last_of_the_attempts_still_counts() -> None:
    store = Counter(others=[0] * (ATTEMPTS - 1))

    await decide_then_commit(store.load, add_one, store.commit)

    assert store.commits == ATTEMPTS


async def test_it_gives_up_after_eight_lost_races() -> None:
    store = Counter(others=[0] * 100)

    with pytest.raises(Contention):
        await decide_then_commit(store.load, add_one, store.commit)

    assert (store.loads, store.commits) == (8, 8)


async def test_a_decision_to_change_nothing_commits_nothing() -> None:
    store = Counter(value=7)

    assert await decide_then_commit(store.load, lambda _: None, store.commit) == (1, 7)
    assert store.commits == 0


async def test_a_duplicate_is_answered_with_what_the_first_one_stored() -> None:
    store = Counter(value=1)

    async def somebody_claimed_it(_: Changes[tuple[int, int], str]) -> CommitResult:
        store.version, store.value = 9, 99
        return Duplicate(UUID(int=1), b"")

    assert await decide_then_commit(store.load, add_one, somebody_claimed_it) == (9, 99)


class TooLate(Exception):
    """A rule of the domain says no."""


async def test_a_decision_that_is_refused_comes_through_and_nothing_is_tried_again() -> None:
    store = Counter()

    def refuse(_: tuple[int, int]) -> None:
        raise TooLate

    with pytest.raises(TooLate):
        await decide_then_commit(store.load, refuse, store.commit)

    assert (store.loads, store.commits) == (1, 0)


async def test_a_store_that_is_away_comes_through_and_nothing_is_tried_again() -> None:
    store = Counter()

    async def away(_: Changes[tuple[int, int], str]) -> CommitResult:
        raise StoreUnavailable

    with pytest.raises(StoreUnavailable):
        await decide_then_commit(store.load, add_one, away)

    assert store.loads == 1
