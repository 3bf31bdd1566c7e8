"""EVENT_PUBLISHER=in-process: messages go straight to subscribers in this process, without a broker.

A message is acknowledged after every subscriber of its topic has returned. So a subscriber that commits before it
returns has the guarantee of a Kafka consumer: each message comes at least once, in the order of its key, also across a
kill -9.
"""

import asyncio
import math
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from messaging.ports.event_publisher import EventPublisher, OpenPublisher
from messaging.ports.outbox import Batch, Position
from messaging.ports.record import Record
from messaging.ports.subscription import CaughtUp, Subscriber

_QUIET = 1.0
_LONGEST_CATCHING_UP = 10.0
_ASKED_ANEW_AFTER = 15.0


class InProcessBroker:
    """Topics with their subscribers. A message without a subscriber is acknowledged at once. So no message is taken
    before `delivering` is entered, which must be after everyone has subscribed."""

    def __init__(self, seconds: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._subscribers: dict[str, list[Subscriber]] = defaultdict(list)
        self._open = asyncio.Event()
        self._publishing = 0
        self._published_at = 0.0
        self._asked_at = -math.inf

    @asynccontextmanager
    async def delivering(self) -> AsyncIterator[None]:
        """Take messages during the block. Publishers wait before and after it."""
        self._open.set()
        try:
            yield
        finally:
            self._open.clear()

    @asynccontextmanager
    async def deliver(self, group: str, topics: Sequence[str], subscriber: Subscriber) -> AsyncIterator[CaughtUp]:  # noqa: ARG002
        """See Deliver. A subscription outlives its service. Without it, later messages would be acknowledged
        unhandled."""
        for topic in topics:
            self._subscribers[topic].append(subscriber)
        yield self._caught_up

    async def publish(self, batch: Batch) -> None:
        """See EventPublisher."""
        await self._open.wait()
        self._publishing += 1
        try:
            await self._hand_over(batch)
        finally:
            self._publishing -= 1
            self._published_at = self._seconds()

    async def _hand_over(self, batch: Batch) -> None:
        by_topic: dict[str, list[Record]] = defaultdict(list)
        for row, message in zip(batch.row_ids, batch.messages, strict=True):
            record = Record(message.topic, 0, row, message.key, message.headers, message.value)
            by_topic[message.topic].append(record)
        for topic, records in by_topic.items():
            for subscriber in self._subscribers[topic]:
                await subscriber(records)

    def _caught_up(self) -> bool:
        """See `CaughtUp`. The outboxes are not visible here, and one message leads to the next. So they count as empty
        when nothing was published for a second after the question. Under load, ten seconds after the question count as
        enough."""
        now = self._seconds()
        if now - self._asked_at > _ASKED_ANEW_AFTER:
            self._asked_at = now
        last = now if self._publishing or not self._open.is_set() else max(self._asked_at, self._published_at)
        return now - last >= _QUIET or (self._open.is_set() and now - self._asked_at >= _LONGEST_CATCHING_UP)

    async def last_position(self) -> Position | None:
        """None: after a crash the subscribers get the last batch again."""
        return None

    @asynccontextmanager
    async def open_publisher(self, shard: int) -> AsyncIterator[EventPublisher]:  # noqa: ARG002
        """A publisher for each shard. They share the subscribers."""
        yield self

    def publishers(self, service: str) -> OpenPublisher:  # noqa: ARG002
        """See Transport."""
        return self.open_publisher
