"""The broker inside the process: acknowledged means handled by every subscriber."""

import asyncio
from collections.abc import Sequence

import pytest

from messaging.brokerless.in_process import InProcessBroker
from messaging.ports.record import Record
from tests.messaging.messages import batch_of, key_in, message
from tests.real_parts.waiting import DEADLINE


async def test_a_subscriber_that_fails_makes_publishing_fail() -> None:
    async def failing(_: Sequence[Record]) -> None:
        raise ConnectionError("its database is away")

    broker = InProcessBroker()
    async with broker.deliver("test", ["order-events"], failing), broker.delivering():
        with pytest.raises(ConnectionError, match="its database is away"):
            await broker.publish(batch_of([message(key_in(0))]))


async def test_publishing_is_over_only_when_every_subscriber_has_returned() -> None:
    commits = [asyncio.Event(), asyncio.Event()]

    async def first(_: Sequence[Record]) -> None:
        await commits[0].wait()

    async def second(_: Sequence[Record]) -> None:
        await commits[1].wait()

    broker = InProcessBroker()
    async with (
        broker.deliver("first", ["order-events"], first),
        broker.deliver("second", ["order-events"], second),
        broker.delivering(),
    ):
        publishing = asyncio.create_task(broker.publish(batch_of([message(key_in(0))])))
        for commit in commits:
            for _ in range(5):
                await asyncio.sleep(0)
            assert not publishing.done()
            commit.set()
        await publishing


async def test_a_subscriber_gets_the_messages_of_its_topics_as_records_and_no_others() -> None:
    got: list[Record] = []

    async def subscriber(records: Sequence[Record]) -> None:
        got.extend(records)

    key = key_in(0)
    ours = [message(key, number) for number in range(3)]
    others = [message(key, number, topic="inventory-commands") for number in range(3)]
    broker = InProcessBroker()
    async with broker.deliver("test", ["order-events"], subscriber), broker.delivering():
        await broker.publish(batch_of([each for pair in zip(ours, others, strict=True) for each in pair], first_row=7))

    assert got == [
        Record("order-events", 0, row, each.key, each.headers, each.value)
        for row, each in zip((7, 9, 11), ours, strict=True)
    ]
    assert [record.event_id for record in got] == [each.event_id for each in ours]


async def test_nothing_is_taken_before_everyone_has_subscribed_nor_after_delivering_has_ended() -> None:
    got: list[Record] = []

    async def subscriber(records: Sequence[Record]) -> None:
        got.extend(records)

    broker = InProcessBroker()
    early = asyncio.create_task(broker.publish(batch_of([message(key_in(0))])))
    async with broker.deliver("test", ["order-events"], subscriber):
        for _ in range(5):
            await asyncio.sleep(0)
        assert not early.done(), "it was acknowledged before anybody had it"
        async with broker.delivering():
            await early
    assert len(got) == 1

    late = asyncio.create_task(broker.publish(batch_of([message(key_in(0))])))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not late.done()
    late.cancel()


async def test_a_subscription_outlives_its_service_so_that_a_batch_at_hand_is_not_acknowledged_by_nobody() -> None:
    at_hand, go_on = asyncio.Event(), asyncio.Event()
    got: list[Record] = []

    async def slow(_: Sequence[Record]) -> None:
        at_hand.set()
        await go_on.wait()

    async def stopped(records: Sequence[Record]) -> None:
        got.extend(records)
        raise ConnectionError("its store is closed")

    broker = InProcessBroker()
    both = batch_of([message(key_in(0)), message(key_in(0), topic="inventory-commands")])
    async with broker.deliver("order", ["order-events"], slow), broker.delivering():
        async with broker.deliver("inventory", ["inventory-commands"], stopped):
            publishing = asyncio.create_task(broker.publish(both))
            async with asyncio.timeout(DEADLINE):
                await at_hand.wait()
        go_on.set()
        with pytest.raises(ConnectionError, match="its store is closed"):
            await publishing

    assert [record.topic for record in got] == ["inventory-commands"]
