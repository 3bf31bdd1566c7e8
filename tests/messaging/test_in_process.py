"""The broker inside the process: acknowledged means handled by every subscriber."""

import asyncio
from collections.abc import Sequence

import pytest

from messaging.in_process import InProcessBroker
from messaging.message import Message
from tests.messaging.messages import batch_of, key_in, message


async def test_a_subscriber_that_fails_makes_publishing_fail() -> None:
    async def failing(_: Sequence[Message]) -> None:
        raise ConnectionError("its database is away")

    broker = InProcessBroker()
    broker.subscribe("order-events", failing)

    with pytest.raises(ConnectionError, match="its database is away"):
        await broker.publish(batch_of([message(key_in(0))]))


async def test_publishing_is_over_only_when_every_subscriber_has_returned() -> None:
    commits = [asyncio.Event(), asyncio.Event()]
    broker = InProcessBroker()
    for commit in commits:

        async def subscriber(_: Sequence[Message], commit: asyncio.Event = commit) -> None:
            await commit.wait()

        broker.subscribe("order-events", subscriber)
    publishing = asyncio.create_task(broker.publish(batch_of([message(key_in(0))])))

    for commit in commits:
        for _ in range(5):
            await asyncio.sleep(0)
        assert not publishing.done()
        commit.set()
    await publishing


async def test_a_subscriber_gets_the_messages_of_its_topics_and_no_others() -> None:
    got: list[Message] = []

    async def subscriber(messages: Sequence[Message]) -> None:
        got.extend(messages)

    broker = InProcessBroker()
    broker.subscribe("order-events", subscriber)
    key = key_in(0)
    ours = [message(key, number) for number in range(3)]
    others = [message(key, number, topic="inventory-commands") for number in range(3)]

    await broker.publish(batch_of([each for pair in zip(ours, others, strict=True) for each in pair]))

    assert got == ours
