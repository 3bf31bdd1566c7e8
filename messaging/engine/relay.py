"""The relay: for each shard that it owns, it takes the oldest batch, publishes it, deletes it, and repeats that.

After any failure the relay closes the publisher, drops the connection and begins again with the lock. This is safe
because of the order of its steps: own the shard, open the publisher (on Kafka this fences every earlier publisher), ask
it for the last position, delete those rows, go on. No state between the steps must survive, and no row is given up.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress

import structlog

from messaging.engine.background import running
from messaging.engine.metrics import PUBLISH_FAILURES, PUBLISHED, SHARDS_OWNED, TAKEOVERS
from messaging.ports.event_publisher import EventPublisher, OpenPublisher, publish_oldest
from messaging.ports.outbox import SHARDS, Outbox, OwnedShard

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0
_COUNT_RELAYS_EVERY = 0.5  # well below the shortest idle timeout, which would end the session that counts
_FINISH_BATCH_WITHIN = 2.0
_STUCK_AFTER = 5.0

log = structlog.get_logger("relay")


class Relay:
    """Publishes the outbox of `service`. Any number of relays, in any number of processes, share its shards."""

    def __init__(
        self,
        service: str,
        outbox: Outbox,
        open_publisher: OpenPublisher,
        publish: Callable[[OwnedShard, EventPublisher], Awaitable[int]] = publish_oldest,
    ) -> None:
        self._service = service
        self._outbox = outbox
        self._open_publisher = open_publisher
        self._publish = publish
        self._wanted = 0
        self._owned: set[int] = set()
        self._failing: set[int] = set()
        self._began: dict[int, float] = {}
        self._pause = [_FIRST_PAUSE] * SHARDS
        self._share_changed = asyncio.Condition()
        self._batch_at_hand = [asyncio.Lock() for _ in range(SHARDS)]
        self._published = PUBLISHED.labels(service)
        self._failures = PUBLISH_FAILURES.labels(service)
        self._takeovers = TAKEOVERS.labels(service)
        SHARDS_OWNED.labels(service).set_function(lambda: len(self._owned))

    @property
    def is_publishing(self) -> bool:
        """False while a shard's last attempt has failed or takes too long, for example because the broker is away.

        Once this relay owns its share of the shards, failures on other shards do not count: another relay publishes
        them.
        """
        has_its_share = len(self._owned) >= self._wanted
        failing = self._failing & self._owned if has_its_share else self._failing
        stuck_since = asyncio.get_running_loop().time() - _STUCK_AFTER
        stuck = any(began < stuck_since for began in self._began.values())
        return not failing and not stuck

    async def run(self) -> None:
        """Publish until cancelled. Raises WorkEnded when a part of the relay ends. Cancelling is safe at any time.
        After `finish_batches` it interrupts no batch."""
        relay = f"the {self._service} relay"
        shards = {f"shard {shard} of {relay}": self._keep_publishing(shard) for shard in range(SHARDS)}
        async with running({f"the counting of relays by {relay}": self._share_with_other_relays()} | shards):
            await asyncio.Event().wait()

    async def finish_batches(self) -> None:
        """Begin no new batch, and return when the current ones are published. Gives up after two seconds, which is
        safe."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_FINISH_BATCH_WITHIN):
                for lock in self._batch_at_hand:
                    await lock.acquire()

    async def _keep_publishing(self, shard: int) -> None:
        while True:
            async with self._share_changed:
                await self._share_changed.wait_for(lambda: len(self._owned) < self._wanted)
            try:
                async with self._outbox.own(shard) as owned:
                    if len(self._owned) < self._wanted:
                        await self._publish_shard(shard, owned)
            except Exception as error:  # noqa: BLE001  any failure is counted, logged and tried again
                self._failing.add(shard)
                self._failures.inc()
                log.warning("shard begins again", shard=shard, error=f"{type(error).__name__}: {error}")
                await asyncio.sleep(random.uniform(0, self._pause[shard]))  # noqa: S311  jitter, not a secret
                self._pause[shard] = min(self._pause[shard] * 2, _LONGEST_PAUSE)

    async def _publish_shard(self, shard: int, owned: OwnedShard) -> None:
        """Publish until other relays need the shard, or a step fails."""
        try:
            # The publisher closes last. A shard that is given up must not count as owned while its publisher closes:
            # otherwise a second shard would be given up for the same need.
            async with AsyncExitStack() as publishers:
                with self._counted_as_owned(shard):
                    with self._timed(shard):
                        publisher = await publishers.enter_async_context(self._open_publisher(shard))
                        await self._take_over(owned, publisher)
                    self._failing.discard(shard)
                    while len(self._owned) <= self._wanted:
                        if not await self._publish_batch(shard, owned, publisher):
                            await owned.wait()
        finally:
            async with self._share_changed:
                self._share_changed.notify_all()

    @contextmanager
    def _counted_as_owned(self, shard: int) -> Iterator[None]:
        self._owned.add(shard)
        try:
            yield
        finally:
            self._owned.discard(shard)

    async def _take_over(self, owned: OwnedShard, publisher: EventPublisher) -> None:
        self._takeovers.inc()
        position = await publisher.last_position()
        if position is not None and (deleted := await owned.delete_published(position)):
            log.info("the last batch was out already", messages=deleted)

    async def _publish_batch(self, shard: int, owned: OwnedShard, publisher: EventPublisher) -> int:
        async with self._batch_at_hand[shard]:
            with self._timed(shard):
                count = await self._publish(owned, publisher)
        if count:
            self._published.inc(count)
            self._pause[shard] = _FIRST_PAUSE
        return count

    @contextmanager
    def _timed(self, shard: int) -> Iterator[None]:
        self._began[shard] = asyncio.get_running_loop().time()
        try:
            yield
        finally:
            del self._began[shard]

    async def _share_with_other_relays(self) -> None:
        while True:
            try:
                wanted = await self._outbox.wanted_shards()
            except Exception as error:  # noqa: BLE001  any failure is logged and tried again
                log.warning("cannot count the relays", error=f"{type(error).__name__}: {error}")
            else:
                async with self._share_changed:
                    self._wanted = wanted
                    self._share_changed.notify_all()
            await asyncio.sleep(_COUNT_RELAYS_EVERY)
