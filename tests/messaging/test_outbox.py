"""What every outbox must do."""

import asyncio

import pytest
from uuid_utils.compat import uuid7

from messaging.ports.outbox import SHARDS, OwnedShard, Position
from tests.messaging.conftest import OutboxUnderTest
from tests.messaging.messages import key_in, message, messages_in
from tests.real_parts.waiting import DEADLINE


async def test_the_oldest_messages_come_first_as_they_were_committed(under_test: OutboxUnderTest) -> None:
    messages = messages_in(2, 10)
    await under_test.commit(messages[:4])
    await under_test.commit(messages[4:])

    async with under_test.outbox.own(2) as shard:
        batch = await shard.oldest(7)
        again = await shard.oldest(100)

    assert list(batch.messages) == messages[:7]
    assert list(again.messages) == messages, "reading is not taking"
    assert list(batch.row_ids) == sorted(set(batch.row_ids))
    assert len(batch) == 7


async def test_a_message_comes_back_byte_for_byte(under_test: OutboxUnderTest) -> None:
    strange = message(key_in(0), data="Größe 😀 \"quoted\" \\ \u2028 'single' \t")
    await under_test.commit([strange])

    async with under_test.outbox.own(0) as shard:
        (same,) = (await shard.oldest(1)).messages

    assert same == strange
    assert dict(same.headers) == dict(strange.headers)


async def test_a_shard_has_the_messages_of_its_keys_and_no_others(under_test: OutboxUnderTest) -> None:
    by_shard = {shard: messages_in(shard, 3) for shard in range(SHARDS)}
    await under_test.commit([message for messages in by_shard.values() for message in messages])

    for number, messages in by_shard.items():
        async with under_test.outbox.own(number) as shard:
            assert list((await shard.oldest(100)).messages) == messages


async def test_an_empty_shard_has_an_empty_batch(under_test: OutboxUnderTest) -> None:
    await under_test.commit([message(key_in(1))])

    async with under_test.outbox.own(0) as shard:
        assert len(await shard.oldest(10)) == 0


async def test_deleting_a_batch_forgets_it_and_nothing_else(under_test: OutboxUnderTest) -> None:
    messages = messages_in(0, 10)
    await under_test.commit(messages)

    async with under_test.outbox.own(0) as shard:
        batch = await shard.oldest(4)
        await under_test.commit([late := message(key_in(0))])
        await shard.delete(batch)
        assert list((await shard.oldest(100)).messages) == [*messages[4:], late]


async def test_a_batch_that_was_published_before_is_forgotten_by_its_position(under_test: OutboxUnderTest) -> None:
    messages = messages_in(0, 10)
    await under_test.commit(messages)

    async with under_test.outbox.own(0) as shard:
        position = (await shard.oldest(4)).position
        assert await shard.delete_published(position) == 4
        assert list((await shard.oldest(100)).messages) == messages[4:]
        assert await shard.delete_published(position) == 0, "it is gone already"
        assert list((await shard.oldest(100)).messages) == messages[4:]


async def test_a_position_of_another_databases_rows_forgets_nothing(under_test: OutboxUnderTest) -> None:
    messages = messages_in(0, 5)
    await under_test.commit(messages)

    async with under_test.outbox.own(0) as shard:
        ids = tuple((await shard.oldest(5)).row_ids)
        assert await shard.delete_published(Position(ids, tuple(uuid7() for _ in ids))) == 0
        assert await shard.delete_published(Position((10_000,), (messages[0].event_id,))) == 0
        assert list((await shard.oldest(100)).messages) == messages


async def test_of_a_position_only_those_rows_are_forgotten_that_still_have_its_events(
    under_test: OutboxUnderTest,
) -> None:
    """As after a failover that lost the end of a batch, and gave its row ids to other messages."""
    messages = messages_in(0, 5)
    await under_test.commit(messages)

    async with under_test.outbox.own(0) as shard:
        ids = tuple((await shard.oldest(5)).row_ids)
        kept, lost = [message.event_id for message in messages[:2]], [uuid7() for _ in range(3)]
        assert await shard.delete_published(Position(ids, (*kept, *lost))) == 2
        assert list((await shard.oldest(100)).messages) == messages[2:]


async def test_a_shard_has_one_owner_at_a_time(under_test: OutboxUnderTest) -> None:
    await under_test.commit(messages_in(0, 3))
    inside: list[int] = []
    most_inside = 0

    async def own(relay: int) -> None:
        nonlocal most_inside
        outbox = under_test.outbox if relay % 2 else under_test.seen_by_another
        async with outbox.own(0) as shard:
            inside.append(relay)
            most_inside = max(most_inside, len(inside))
            for _ in range(5):
                await shard.oldest(1)
                await asyncio.sleep(0)
            inside.remove(relay)

    async with asyncio.timeout(DEADLINE):
        await asyncio.gather(*(own(relay) for relay in range(3)))

    assert most_inside == 1


async def test_different_shards_have_different_owners_at_the_same_time(under_test: OutboxUnderTest) -> None:
    async with asyncio.timeout(DEADLINE), under_test.outbox.own(0), under_test.seen_by_another.own(1):
        pass


async def test_a_shard_is_free_again_when_its_owner_fails(under_test: OutboxUnderTest) -> None:
    with pytest.raises(ZeroDivisionError):
        async with under_test.outbox.own(0):
            raise ZeroDivisionError

    async with asyncio.timeout(DEADLINE), under_test.seen_by_another.own(0) as shard:
        assert len(await shard.oldest(1)) == 0


async def test_an_owner_that_waits_hears_of_a_commit(under_test: OutboxUnderTest) -> None:
    async with under_test.outbox.own(3) as shard:
        assert len(await shard.oldest(10)) == 0
        reading = asyncio.create_task(_next_batch(shard))
        await under_test.commit(messages := messages_in(3, 2))

        async with asyncio.timeout(DEADLINE):
            assert await reading == [message.event_id for message in messages]


async def test_a_commit_between_reading_and_waiting_is_not_missed(under_test: OutboxUnderTest) -> None:
    async with under_test.outbox.own(3) as shard:
        assert len(await shard.oldest(10)) == 0
        await under_test.commit(messages := messages_in(3, 2))

        async with asyncio.timeout(DEADLINE):
            assert await _next_batch(shard) == [message.event_id for message in messages]


async def _next_batch(shard: OwnedShard) -> list[object]:
    while True:
        await shard.wait()
        if batch := await shard.oldest(10):
            return [message.event_id for message in batch.messages]


async def test_a_lone_relay_wants_every_shard(under_test: OutboxUnderTest) -> None:
    assert await under_test.outbox.wanted_shards() == SHARDS
