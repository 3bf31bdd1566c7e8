"""EVENT_PUBLISHER=in-process: messages go straight to subscribers in this process, without a broker.

A message is acknowledged after every subscriber of its topic returned, so a subscriber that commits before it returns
has the same guarantee as a Kafka consumer that commits its offset afterwards: each message comes at least once, in the
order of its key, also across a kill -9.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from messaging.ports.event_publisher import EventPublisher, OpenPublisher
from messaging.ports.outbox import Batch, Position
from messaging.ports.record import Record
from messaging.ports.subscription import Subscriber


class InProcessBroker:
    """Topics with their subscribers. What nobody subscribed to is acknowledged at once, as a topic nobody reads is;
    so nothing is taken before `delivering`, which is to be entered when everyone has subscribed."""

    def __init__(self) -> None:
        self._subscribers: dict[str, list[Subscriber]] = defaultdict(list)
        self._open = asyncio.Event()

    @asynccontextmanager
    async def delivering(self) -> AsyncIterator[None]:
        """Take messages while this lasts; before and after it, publishers wait."""
        self._open.set()
        try:
            yield
        finally:
            self._open.clear()

    @asynccontextmanager
    async def deliver(self, group: str, topics: Sequence[str], subscriber: Subscriber) -> AsyncIterator[None]:  # noqa: ARG002
        """See Deliver. A subscription outlives its service: what came after it would be acknowledged by nobody."""
        for topic in topics:
            self._subscribers[topic].append(subscriber)
        yield

    async def publish(self, batch: Batch) -> None:
        """See EventPublisher."""
        await self._open.wait()
        by_topic: dict[str, list[Record]] = defaultdict(list)
        for row, message in zip(batch.row_ids, batch.messages, strict=True):
            record = Record(message.topic, 0, row, message.key, message.headers, message.value)
            by_topic[message.topic].append(record)
        for topic, records in by_topic.items():
            for subscriber in self._subscribers[topic]:
                await subscriber(records)

    async def last_position(self) -> Position | None:
        """Unknown: after a crash the subscribers get the last batch again."""
        return None

    @asynccontextmanager
    async def open_publisher(self, shard: int) -> AsyncIterator[EventPublisher]:  # noqa: ARG002
        """One for each shard; they share the subscribers."""
        yield self

    def publishers(self, service: str) -> OpenPublisher:  # noqa: ARG002
        """See Transport."""
        return self.open_publisher
