"""What operators do with parked records and dead letters, which production keeps in PostgreSQL."""

from datetime import UTC, datetime, timedelta

import pytest

from messaging.engine.consumer import Consumer
from messaging.ports.record import Record
from messaging.ports.subscription import Subscription
from messaging.postgres.failures import PostgresFailures
from tests.messaging.records import SOURCE, TOPIC, failure, record, records


@pytest.fixture
def failures(postgres_failures: PostgresFailures) -> PostgresFailures:
    """Nothing has failed yet."""
    return postgres_failures


async def _dead_ids(failures: PostgresFailures, *of: Record) -> list[int]:
    ids = {letter.record.offset: letter.id for letter in await failures.dead_letters()}
    return [ids[each.offset] for each in of]


async def test_dead_letters_are_listed_oldest_first_of_one_key_or_of_all(failures: PostgresFailures) -> None:
    before = datetime.now(UTC) - timedelta(minutes=1)
    first, other, second = records("a", "b", "a")
    for each in (first, other, second):
        await failures.bury(failure(each, "it cannot be read", 1))

    everything = await failures.dead_letters()

    assert [letter.record for letter in everything] == [first, other, second]
    assert {(letter.error, letter.attempts) for letter in everything} == {("it cannot be read", 1)}
    assert all(before < letter.since < before + timedelta(minutes=2) for letter in everything)
    assert [letter.record for letter in await failures.dead_letters("a")] == [first, second]
    assert [letter.record for letter in await failures.dead_letters(limit=2)] == [first, other]
    assert await failures.dead_letters("nobody") == []


async def test_one_dead_letter_is_shown_by_its_id(failures: PostgresFailures) -> None:
    await failures.bury(failure(record("a")))
    (letter,) = await failures.dead_letters()

    assert await failures.dead_letter(letter.id) == letter
    assert await failures.dead_letter(letter.id + 1) is None


async def test_replayed_letters_are_handed_to_their_handler_in_order_with_the_same_event_ids(
    failures: PostgresFailures,
) -> None:
    handled: list[Record] = []

    async def handler(record: Record) -> None:
        handled.append(record)

    first, second, third = records("a", "a", "a")
    for each in (first, second, third):
        await failures.bury(failure(each))

    await failures.replay(list(reversed(await _dead_ids(failures, first, second, third))))
    assert await failures.dead_letters() == []
    await Consumer("test", [Subscription(TOPIC, {"StockReserved": handler}, SOURCE)], failures).sweep()

    assert handled == [first, second, third]
    assert [each.event_id for each in handled] == [each.event_id for each in (first, second, third)]
    assert await failures.parked() == []


async def test_a_replayed_letter_queues_behind_what_is_parked_of_its_key(failures: PostgresFailures) -> None:
    dead, waiting = records("a", "a")
    await failures.bury(failure(dead, "it cannot be read"))
    await failures.park([failure(waiting)])

    await failures.replay(await _dead_ids(failures, dead))

    parked = await failures.parked()
    assert [(each.record, each.error, each.attempts) for each in parked] == [
        (waiting, "it did not work", 3),
        (dead, "replayed: it cannot be read", 0),
    ]


async def test_what_is_replayed_and_rejected_again_is_a_dead_letter_again(failures: PostgresFailures) -> None:
    dead = record("a", of_type="Unheard-of", source="/somebody")
    await failures.bury(failure(dead))

    await failures.replay(await _dead_ids(failures, dead))
    await Consumer("test", [Subscription(TOPIC, {}, SOURCE)], failures).sweep()

    (letter,) = await failures.dead_letters()
    assert letter.record == dead
    assert letter.error == "nobody here knows the type 'Unheard-of'"
    assert await failures.parked() == []


async def test_replaying_what_is_not_there_does_nothing(failures: PostgresFailures) -> None:
    await failures.bury(failure(record("a")))

    await failures.replay([])
    await failures.replay([10**12])

    assert len(await failures.dead_letters()) == 1
    assert await failures.parked() == []


async def test_a_parked_key_is_tried_again_at_once_when_an_operator_says_so(failures: PostgresFailures) -> None:
    await failures.park([failure(each) for each in records("a", "b", "c", "c")])
    for key in "abc":
        oldest = await failures.oldest_of(key)
        assert oldest is not None
        await failures.postpone(oldest.id, "not yet", 1000)
    assert await failures.due(10) == []

    assert await failures.retry("d") == 0
    assert await failures.retry("b") == 1
    assert await failures.due(10) == ["b"]
    assert await failures.retry() == 3, "keys, however many messages they have"
    assert sorted(await failures.due(10)) == ["a", "b", "c"]
    assert [each.attempts for each in await failures.parked()] == [4, 4, 4, 3], "asking is not trying"


async def test_the_counts_are_those_of_parked_and_dead_and_the_age_is_that_of_the_oldest(
    failures: PostgresFailures,
) -> None:
    assert await failures.counts() == (0, 0.0, 0)

    await failures.park([failure(each) for each in records("a", "a", "b")])
    await failures.bury(failure(record("c")))
    parked, age, dead = await failures.counts()
    assert (parked, dead) == (3, 1)
    assert 0 < age < 60

    await failures._pool.execute("update parked set parked_at = parked_at - interval '1 hour' where key = 'b'")
    _, age, _ = await failures.counts()
    assert 3600 < age < 3660
