"""EVENT_PUBLISHER=in-process: messages go straight to subscribers in this process, without a broker.

A message is acknowledged after every subscriber of its topic returned, so a subscriber that commits before it returns
has the same guarantee as a Kafka consumer that commits its offset afterwards: each message comes at least once, in the
order of its key, also across a kill -9.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TypeAlias

from messaging.message import Message
from messaging.publishing import Batch, EventPublisher, Position

Subscriber: TypeAlias = Callable[[Sequence[Message]], Awaitable[None]]


class InProcessBroker:
    """Topics with their subscribers. What nobody subscribed to is acknowledged at once, as a topic nobody reads is."""

    def __init__(self) -> None:
        self._subscribers: dict[str, list[Subscriber]] = defaultdict(list)

    def subscribe(self, topic: str, subscriber: Subscriber) -> None:
        """`subscriber` gets the messages of `topic` in batches, those of a key in order; raising asks for them
        again."""
        self._subscribers[topic].append(subscriber)

    async def publish(self, batch: Batch) -> None:
        """See EventPublisher."""
        by_topic: dict[str, list[Message]] = defaultdict(list)
        for message in batch.messages:
            by_topic[message.topic].append(message)
        for topic, messages in by_topic.items():
            for subscriber in self._subscribers[topic]:
                await subscriber(messages)

    async def last_position(self) -> Position | None:
        """Unknown: after a crash the subscribers get the last batch again."""
        return None

    @asynccontextmanager
    async def open_publisher(self, shard: int) -> AsyncIterator[EventPublisher]:  # noqa: ARG002
        """One for each shard; they share the subscribers."""
        yield self
