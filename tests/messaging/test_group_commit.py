"""Group commit, over connections that commit when a test says so."""

import asyncio
from collections.abc import Sequence
from typing import TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from messaging.engine import group_commit
from messaging.engine.group_commit import CommitBatch, GroupCommitter
from messaging.ports.changes import StoreOverloaded, StoreUnavailable
from messaging.postgres.errors import DatabaseRefused
from messaging.postgres.session import NotWritable
from tests.real_parts.waiting import DEADLINE

Committer: TypeAlias = GroupCommitter[int, str]


class Poisoned(Exception):
    """A write that the store can never take."""


class Connection:
    """Answers `stored <write>` for each write of a batch, once `open_gate` or `let_one_through` lets it.

    A write in `bad` makes its whole batch fail; `error` makes every batch fail.
    """

    def __init__(self, *, bad: frozenset[int] = frozenset(), error: Exception | None = None) -> None:
        self.batches: list[list[int]] = []
        self.stored: list[int] = []
        self._bad = bad
        self._error = error
        self._gate = asyncio.Semaphore(0)
        self._always_open = False

    def open_gate(self) -> None:
        """From now on commits end at once."""
        self._always_open = True
        self._gate.release()

    def let_one_through(self) -> None:
        """End one commit."""
        self._gate.release()

    async def __call__(self, batch: Sequence[int]) -> Sequence[str]:
        self.batches.append(list(batch))
        if not self._always_open:
            await self._gate.acquire()
        if self._error is not None:
            raise self._error
        if self._bad.intersection(batch):
            raise Poisoned(sorted(self._bad.intersection(batch)))
        self.stored.extend(batch)
        return [f"stored {write}" for write in batch]


def _committer(*connections: CommitBatch[int, str], max_batch: int = 100, max_waiting: int = 1000) -> Committer:
    return GroupCommitter(connections, name="test", max_batch=max_batch, max_waiting=max_waiting)


async def _handed_in(committer: Committer, writes: Sequence[int]) -> list[asyncio.Task[str]]:
    """Commit the writes at the same time, and return when each of them waits and free connections are at work."""
    tasks = [asyncio.create_task(committer.commit(write)) for write in writes]
    for _ in range(3):
        await asyncio.sleep(0)
    return tasks


async def _answers(tasks: Sequence[asyncio.Task[str]]) -> list[str | BaseException]:
    """What each caller was told."""
    _, unanswered = await asyncio.wait(tasks, timeout=DEADLINE)
    assert not unanswered, f"{len(unanswered)} of {len(tasks)} callers were never answered"
    return await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_lone_write_is_flushed_at_once() -> None:
    connection = Connection()

    (lone,) = await _handed_in(_committer(connection), [1])

    assert connection.batches == [[1]], "a few turns of the event loop are enough, because there is no timer"
    connection.open_gate()
    assert await _answers([lone]) == ["stored 1"]


async def test_writes_that_come_while_a_commit_is_in_flight_go_together_in_the_next() -> None:
    connection = Connection()
    committer = _committer(connection)
    first = await _handed_in(committer, [0])
    later = [*await _handed_in(committer, range(1, 6)), *await _handed_in(committer, range(6, 10))]
    assert committer.waiting == 9

    connection.open_gate()

    assert await _answers([*first, *later]) == [f"stored {write}" for write in range(10)]
    assert connection.batches == [[0], list(range(1, 10))]


async def test_a_batch_holds_at_most_max_batch_writes_and_they_keep_their_order() -> None:
    connection = Connection()
    committer = _committer(connection, max_batch=4)
    tasks = [*await _handed_in(committer, [0]), *await _handed_in(committer, range(1, 11))]

    connection.open_gate()
    await _answers(tasks)

    assert connection.batches == [[0], [1, 2, 3, 4], [5, 6, 7, 8], [9, 10]]


async def test_another_connection_joins_only_when_a_whole_batch_waits() -> None:
    first, second = Connection(), Connection()
    committer = _committer(first, second, max_batch=3)
    tasks = await _handed_in(committer, range(1))
    tasks += await _handed_in(committer, range(1, 3))
    assert sorted([first.batches, second.batches]) == [[], [[0]]]
    assert committer.waiting == 2

    tasks += await _handed_in(committer, range(3, 4))
    assert sorted([first.batches, second.batches]) == [[[0]], [[1, 2, 3]]]
    first.open_gate()
    second.open_gate()
    assert await _answers(tasks) == [f"stored {write}" for write in range(4)]


async def test_each_free_connection_takes_what_waits_and_never_more_commits_are_in_flight_than_connections() -> None:
    connections = [Connection() for _ in range(3)]
    committer = _committer(*connections, max_batch=1)
    tasks = await _handed_in(committer, range(10))

    assert sorted(batch for connection in connections for batch in connection.batches) == [[0], [1], [2]]
    assert committer.waiting == 7

    connections[1].let_one_through()
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    assert sum(len(connection.batches) for connection in connections) == 4
    for connection in connections:
        connection.open_gate()
    assert await _answers(tasks) == [f"stored {write}" for write in range(10)]


async def test_a_write_beyond_what_may_wait_is_refused_and_is_never_stored() -> None:
    connection = Connection()
    committer = _committer(connection, max_waiting=3)
    tasks = await _handed_in(committer, [0])
    tasks += await _handed_in(committer, [1, 2])
    assert not committer.is_full
    tasks += await _handed_in(committer, [3])
    assert committer.is_full

    with pytest.raises(StoreOverloaded):
        await committer.commit(4)

    connection.open_gate()
    await _answers(tasks)
    assert connection.stored == [0, 1, 2, 3]
    assert await committer.commit(5) == "stored 5", "and when there is room again, writes are taken again"


@pytest.mark.parametrize("away", [StoreUnavailable("away"), NotWritable(), DatabaseRefused("no")], ids=repr)
async def test_a_store_that_is_away_fails_the_whole_batch_and_only_that_batch(away: StoreUnavailable) -> None:
    connection = Connection(error=away)
    committer = _committer(connection)
    tasks = await _handed_in(committer, [0])
    tasks += await _handed_in(committer, [1, 2])
    connection.let_one_through()
    connection.let_one_through()

    for answer in await _answers(tasks):
        assert type(answer) is type(away)
        assert str(answer) == str(away)
    assert connection.batches == [[0], [1, 2]], "a write whose outcome is unknown is not tried again behind its back"
    connection._error = None
    connection.open_gate()
    assert await committer.commit(3) == "stored 3"


async def test_a_caller_that_goes_away_before_its_write_is_taken_takes_it_along() -> None:
    connection = Connection()
    committer = _committer(connection)
    first, left, stayed = [*await _handed_in(committer, [0]), *await _handed_in(committer, [1, 2])]

    left.cancel()
    await asyncio.wait([left])
    connection.open_gate()

    assert await _answers([first, stayed]) == ["stored 0", "stored 2"]
    assert connection.stored == [0, 2]


async def test_a_caller_that_goes_away_while_its_batch_is_committed_does_not_hurt_its_neighbours() -> None:
    connection = Connection()
    committer = _committer(connection)
    blocker, left, stayed = [*await _handed_in(committer, [0]), *await _handed_in(committer, [1, 2])]
    connection.let_one_through()
    await _answers([blocker])
    assert connection.batches[-1] == [1, 2]

    left.cancel()
    await asyncio.wait([left])
    connection.open_gate()

    assert await _answers([stayed]) == ["stored 2"]
    assert connection.stored == [0, 1, 2], "it was on its way already"
    assert await committer.commit(3) == "stored 3"


async def test_closing_answers_everything_that_was_taken_and_refuses_what_comes_later() -> None:
    connections = [Connection(), Connection()]
    committer = _committer(*connections, max_batch=2)
    taken = await _handed_in(committer, range(9))
    closing = asyncio.create_task(committer.close())
    await asyncio.sleep(0)

    with pytest.raises(StoreOverloaded):
        await committer.commit(9)
    assert not closing.done()
    for connection in connections:
        connection.open_gate()
    async with asyncio.timeout(DEADLINE):
        await closing

    assert await _answers(taken) == [f"stored {write}" for write in range(9)]
    assert sorted(connections[0].stored + connections[1].stored) == list(range(9))


async def test_closing_answers_what_hangs_as_unknown_and_refuses_what_still_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(group_commit, "_CLOSE_WITHIN", 0.01)
    hanging = Connection()
    committer = _committer(hanging, max_batch=2)
    taken = [*await _handed_in(committer, [0]), *await _handed_in(committer, range(1, 6))]

    async with asyncio.timeout(DEADLINE):
        await committer.close()
        await committer.close()
    in_flight, *waiting = await _answers(taken)

    assert isinstance(in_flight, StoreUnavailable), "nobody knows whether it is stored"
    assert [type(answer) for answer in waiting] == [StoreOverloaded] * 5, "nothing of them is stored"
    assert hanging.batches == [[0]]
    assert committer.waiting == 0
    with pytest.raises(StoreOverloaded, match="the service is stopping"):
        await committer.commit(6)


async def test_two_that_close_at_the_same_time_both_wait_for_the_answers() -> None:
    connection = Connection()
    committer = _committer(connection)
    (taken,) = await _handed_in(committer, [0])
    closing = [asyncio.create_task(committer.close()) for _ in range(2)]
    await asyncio.sleep(0)
    assert not any(each.done() for each in closing)

    connection.open_gate()
    async with asyncio.timeout(DEADLINE):
        await asyncio.gather(*closing)

    assert await _answers([taken]) == ["stored 0"]


async def test_a_commit_that_others_cut_off_is_answered_and_what_waits_goes_on() -> None:
    connection = Connection()
    committer = _committer(connection)
    before = asyncio.all_tasks()
    first = await _handed_in(committer, [0])
    (flush,) = asyncio.all_tasks() - before - set(first)
    later = await _handed_in(committer, [1, 2])

    flush.cancel()
    connection.open_gate()

    cut_off, *stored = await _answers([*first, *later])
    assert isinstance(cut_off, StoreUnavailable)
    assert stored == ["stored 1", "stored 2"]


@pytest.mark.parametrize("size", [1, 8])
async def test_whatever_a_connection_raises_every_write_is_answered_and_later_ones_are_stored(size: int) -> None:
    """Also in the middle of finding the one that poisoned its batch."""

    class Cut(BaseException):
        pass

    connection = Connection()
    connection.open_gate()
    tries = 0

    async def commit(batch: Sequence[int]) -> Sequence[str]:
        nonlocal tries
        tries += 1
        if tries == 1 and size > 1:
            raise Poisoned
        if tries <= 2:
            raise Cut
        return await connection(batch)

    committer = _committer(commit)
    failed = await _answers([asyncio.create_task(committer.commit(write)) for write in range(size)])

    if size == 1:
        with pytest.raises(StoreUnavailable):
            await committer.commit(98)
    assert [type(answer) for answer in failed] == [StoreUnavailable] * size
    assert await committer.commit(99) == "stored 99"


async def test_a_connection_that_answers_too_few_leaves_nobody_waiting() -> None:
    async def commit(batch: Sequence[int]) -> Sequence[str]:
        return ["stored"] * (len(batch) - 1)

    answers = await _answers(await _handed_in(_committer(commit), range(3)))

    assert [type(answer) for answer in answers] == [StoreUnavailable] * 3


@given(st.sets(st.integers(0, 39)))
@settings(max_examples=80, deadline=None)
def test_whichever_writes_of_a_batch_are_bad_they_fail_alone_and_all_others_are_stored_once(bad: set[int]) -> None:
    async def commit_all() -> None:
        connection = Connection(bad=frozenset(bad))
        connection.open_gate()
        committer = _committer(connection, max_batch=40)
        tasks = [asyncio.create_task(committer.commit(write)) for write in range(40)]
        outcomes = await _answers(tasks)

        assert connection.batches[0] == list(range(40)), "they were in one batch"
        for write, outcome in enumerate(outcomes):
            if write in bad:
                assert isinstance(outcome, Poisoned)
                assert outcome.args == ([write],), "the error is this very write's"
            else:
                assert outcome == f"stored {write}"
        assert sorted(connection.stored) == [write for write in range(40) if write not in bad]

    asyncio.run(commit_all())


class Pool:
    """Connections that watch how they are used."""

    def __init__(self, size: int, max_batch: int) -> None:
        self.connections = [Connection() for _ in range(size)]
        self._in_flight = 0
        self._max_batch = max_batch

    def watched(self) -> list[CommitBatch[int, str]]:
        """The connections as a committer gets them."""
        return [self._watched(connection) for connection in self.connections]

    def _watched(self, connection: Connection) -> CommitBatch[int, str]:
        async def commit(batch: Sequence[int]) -> Sequence[str]:
            self._in_flight += 1
            assert self._in_flight <= len(self.connections), "more commits in flight than connections"
            assert 1 <= len(batch) <= self._max_batch
            try:
                return await connection(batch)
            finally:
                self._in_flight -= 1

        return commit

    def assert_true(self, outcomes: Sequence[str | BaseException]) -> None:
        """What was answered as stored is stored, what was refused is not, and nothing is stored twice."""
        stored = [write for connection in self.connections for write in connection.stored]
        assert len(stored) == len(set(stored)), "stored twice"
        for write, outcome in enumerate(outcomes):
            if isinstance(outcome, StoreOverloaded):
                assert write not in stored
            elif not isinstance(outcome, asyncio.CancelledError):
                assert (outcome, write in stored) == (f"stored {write}", True)


@given(
    writes=st.integers(1, 60),
    size=st.integers(1, 4),
    max_batch=st.integers(1, 9),
    max_waiting=st.integers(1, 60),
    cancelled=st.sets(st.integers(0, 59)),
    turns=st.lists(st.integers(0, 3), min_size=1, max_size=20),
)
@settings(max_examples=80, deadline=None)
def test_whatever_comes_every_write_is_answered_and_an_answer_is_true(
    writes: int, size: int, max_batch: int, max_waiting: int, cancelled: set[int], turns: list[int]
) -> None:
    async def run() -> None:
        pool = Pool(size, max_batch)
        committer = _committer(*pool.watched(), max_batch=max_batch, max_waiting=max_waiting)
        tasks: list[asyncio.Task[str]] = []
        for write in range(writes):
            tasks.append(asyncio.create_task(committer.commit(write)))
            for _ in range(turns[write % len(turns)]):
                await asyncio.sleep(0)
            pool.connections[write % size].let_one_through()
            if write in cancelled:
                tasks[write // 2].cancel()
        for connection in pool.connections:
            connection.open_gate()
        outcomes = await _answers(tasks)
        await committer.close()
        pool.assert_true(outcomes)

    asyncio.run(run())
