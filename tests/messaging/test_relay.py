"""The relay: whatever the far side does, everything arrives, each key in order, and nothing is given up."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from uuid import UUID

import pytest

from messaging.engine import relay as relay_module
from messaging.engine.background import WorkEnded
from messaging.engine.relay import Relay
from messaging.memory.outbox import MemoryOutbox
from messaging.ports.event_publisher import EventPublisher, publish_oldest
from messaging.ports.message import Message
from messaging.ports.outbox import SHARDS, Batch, Position, shard_of
from tests.messaging.messages import key_in, message, messages_in
from tests.real_parts.waiting import DEADLINE

NOTHING_ARRIVED, UNACKNOWLEDGED = "nothing arrived", "arrived, but was not acknowledged"


class FarSide:
    """A topic. `failures` says for each shard how its next publishes fail; `gate` holds publishing up while closed.

    With `knows_positions` it remembers the last batch of each shard, in one with the batch, as Kafka does.
    """

    def __init__(self, *, knows_positions: bool = True) -> None:
        self.arrived: list[Message] = []
        self.published: list[int] = []
        self.failures: dict[int, list[str]] = defaultdict(list)
        self.gate = asyncio.Event()
        self.gate.set()
        self.opened: list[int] = []
        self.open_now: set[int] = set()
        self._positions: dict[int, Position] = {}
        self._knows_positions = knows_positions

    def open_publisher(self, shard: int) -> "_Publisher":
        """A publisher of one shard."""
        return _Publisher(self, shard)

    async def take(self, shard: int, batch: Batch) -> None:
        """What a publisher does."""
        self.published.append(shard)
        await self.gate.wait()
        failure = self.failures[shard].pop(0) if self.failures[shard] else None
        if failure == NOTHING_ARRIVED:
            raise ConnectionError(failure)
        self.arrived.extend(batch.messages)
        self._positions[shard] = batch.position
        if failure == UNACKNOWLEDGED:
            raise ConnectionError(failure)

    def position(self, shard: int) -> Position | None:
        """The last batch that arrived, if this far side knows."""
        return self._positions.get(shard) if self._knows_positions else None

    def by_key(self) -> dict[str, list[UUID]]:
        """The event ids of each key, as they arrived."""
        return _by_key(self.arrived)


class _Publisher:
    def __init__(self, far_side: FarSide, shard: int) -> None:
        self._far_side = far_side
        self._shard = shard

    async def __aenter__(self) -> EventPublisher:
        assert self._shard not in self._far_side.open_now, "two publishers of one shard at the same time"
        self._far_side.open_now.add(self._shard)
        self._far_side.opened.append(self._shard)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._far_side.open_now.discard(self._shard)

    async def publish(self, batch: Batch) -> None:
        await self._far_side.take(self._shard, batch)

    async def last_position(self) -> Position | None:
        return self._far_side.position(self._shard)


class SharedOutbox(MemoryOutbox):
    """An outbox that `relays` relays share."""

    relays = 1

    async def wanted_shards(self) -> int:
        """Their fair share."""
        return -(-SHARDS // self.relays)


@asynccontextmanager
async def _running(outbox: MemoryOutbox, far_side: FarSide) -> AsyncIterator[Relay]:
    relay = Relay("test", outbox, far_side.open_publisher, publish_oldest)
    task = asyncio.create_task(relay.run())
    try:
        yield relay
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _until(satisfied: Callable[[], bool], what: str) -> None:
    try:
        async with asyncio.timeout(DEADLINE):
            while not satisfied():
                await asyncio.sleep(0.002)
    except TimeoutError:
        raise AssertionError(f"waited {DEADLINE:.0f} s for {what}") from None


async def _until_empty(outbox: MemoryOutbox) -> None:
    await _until(lambda: outbox.depth_and_age()[0] == 0, "the outbox to be empty")


async def _until_arrived(far_side: FarSide, count: int) -> None:
    await _until(lambda: len(far_side.arrived) >= count, f"{count} messages to arrive")


def _by_key(messages: Sequence[Message]) -> dict[str, list[UUID]]:
    by_key: dict[str, list[UUID]] = defaultdict(list)
    for each in messages:
        by_key[each.key].append(each.event_id)
    return by_key


def _everywhere(each: int) -> list[Message]:
    return [message for shard in range(SHARDS) for message in messages_in(shard, each)]


async def test_everything_arrives_once_each_key_in_order_and_then_the_outbox_is_empty() -> None:
    outbox, far_side = MemoryOutbox(), FarSide()
    before, during = _everywhere(50), _everywhere(50)
    outbox.add(before)

    async with _running(outbox, far_side):
        await _until_arrived(far_side, len(before))
        outbox.add(during)
        await _until_empty(outbox)

    assert far_side.by_key() == _by_key(before + during)


@pytest.mark.parametrize("failure", [NOTHING_ARRIVED, UNACKNOWLEDGED])
async def test_a_publish_that_fails_is_begun_again_until_it_succeeds_and_nothing_arrives_twice(failure: str) -> None:
    outbox, far_side = MemoryOutbox(), FarSide()
    messages = _everywhere(30)
    outbox.add(messages)
    far_side.failures.update({shard: [failure] * 3 for shard in range(SHARDS)})

    async with _running(outbox, far_side):
        await _until_empty(outbox)
        outbox.add(more := _everywhere(5))
        await _until_empty(outbox)

    assert far_side.by_key() == _by_key(messages + more)
    assert all(len(left) < 3 for left in far_side.failures.values()), "it did fail"


async def test_where_positions_are_unknown_a_batch_may_come_twice_but_never_out_of_order_and_never_not() -> None:
    outbox, far_side = MemoryOutbox(), FarSide(knows_positions=False)
    messages = messages_in(0, 9)
    outbox.add(messages)
    far_side.failures[0] = [NOTHING_ARRIVED, UNACKNOWLEDGED, UNACKNOWLEDGED]

    async with _running(outbox, far_side):
        await _until_empty(outbox)

    assert far_side.arrived == messages * 3


async def test_a_batch_that_an_earlier_owner_published_is_not_published_again() -> None:
    outbox, far_side = MemoryOutbox(), FarSide()
    published, left = messages_in(1, 10), messages_in(1, 3)
    outbox.add(published)
    async with outbox.own(1) as shard, far_side.open_publisher(1) as publisher:
        await publisher.publish(await shard.oldest(100))
    outbox.add(left)

    async with _running(outbox, far_side):
        await _until_empty(outbox)

    assert far_side.arrived == published + left


async def test_a_shard_that_fails_does_not_stop_the_others() -> None:
    outbox, far_side = MemoryOutbox(), FarSide()
    far_side.failures[0] = [NOTHING_ARRIVED] * 1_000_000
    messages = _everywhere(10)
    outbox.add(messages)

    async with _running(outbox, far_side):
        await _until_arrived(far_side, 30)
        await _until(lambda: far_side.published.count(0) >= 3, "shard 0 to be tried three times")

    assert far_side.by_key() == _by_key([each for each in messages if shard_of(each.key) != 0])
    assert outbox.depth_and_age()[0] == 10, "and its messages are kept"


async def test_it_says_whether_it_is_publishing() -> None:
    outbox, far_side = MemoryOutbox(), FarSide()
    far_side.failures[2] = [NOTHING_ARRIVED] * 1_000_000

    async with _running(outbox, far_side) as relay:
        assert relay.is_publishing
        outbox.add(messages_in(2, 1))
        await _until(lambda: not relay.is_publishing, "the relay to say that it does not")
        far_side.failures.clear()
        await _until_empty(outbox)
        await _until(lambda: relay.is_publishing, "the relay to say that it does again")


async def test_what_failed_here_and_is_published_by_another_relay_is_no_failure_of_ours() -> None:
    outbox, far_side = SharedOutbox(), FarSide()
    far_side.failures[0] = [NOTHING_ARRIVED] * 1_000_000
    outbox.add(messages_in(0, 1))

    async with _running(outbox, far_side) as relay:
        await _until(lambda: not relay.is_publishing, "shard 0 to fail")
        async with asyncio.timeout(DEADLINE), outbox.own(0):
            outbox.relays = 2
            await _until(lambda: relay._wanted == SHARDS // 2, "the relay to hear of the other one")
            for shard in range(1, SHARDS):
                outbox.add(messages_in(shard, 1))  # after each batch an owner looks at its share
            await _until(lambda: relay.is_publishing, "the relay to be content with its half")


async def test_finishing_lets_the_batch_at_hand_end_and_no_other_begin() -> None:
    outbox, far_side = MemoryOutbox(), FarSide()
    at_hand, later = messages_in(3, 4), messages_in(3, 4)
    far_side.gate.clear()
    outbox.add(at_hand)

    async with _running(outbox, far_side) as relay:
        await _until(lambda: far_side.published == [3], "a batch to be at hand")
        finishing = asyncio.create_task(relay.finish_batches())
        outbox.add(later)
        outbox.add(messages_in(1, 1))
        await asyncio.sleep(0)
        assert not finishing.done()
        far_side.gate.set()
        async with asyncio.timeout(DEADLINE):
            await finishing
        for _ in range(20):
            await asyncio.sleep(0)

    assert far_side.arrived == at_hand, "a batch began after the relay was told to finish"
    async with outbox.own(3) as shard:
        assert list((await shard.oldest(100)).messages) == later, "and what was published is deleted"


@pytest.mark.parametrize("part", [*(f"shard {shard} of" for shard in range(SHARDS)), "the counting of relays by"])
async def test_a_part_that_somebody_cancels_ends_the_relay_and_is_named(part: str) -> None:
    relay = Relay("test", MemoryOutbox(), FarSide().open_publisher, publish_oldest)
    running = asyncio.create_task(relay.run())
    await _until(lambda: len(relay._owned) == SHARDS, "the relay to own its shards")
    (task,) = [each for each in asyncio.all_tasks() if each.get_name() == f"{part} the test relay"]

    task.cancel()

    async with asyncio.timeout(DEADLINE):
        with pytest.raises(WorkEnded, match=f"^{part} the test relay was cancelled$"):
            await running
    assert not [each for each in asyncio.all_tasks() if "the test relay" in each.get_name()]


async def test_a_batch_that_is_not_acknowledged_for_long_is_not_publishing(monkeypatch: pytest.MonkeyPatch) -> None:
    outbox, far_side = MemoryOutbox(), FarSide()
    far_side.gate.clear()
    async with _running(outbox, far_side) as relay:
        outbox.add(messages_in(2, 1))
        await _until(lambda: far_side.published == [2], "a batch to be at hand")
        assert relay.is_publishing, "a moment is not long"

        monkeypatch.setattr(relay_module, "_STUCK_AFTER", 0.01)
        await _until(lambda: not relay.is_publishing, "the relay to say that it is stuck")
        far_side.gate.set()
        await _until(lambda: relay.is_publishing, "the relay to say that it is not any more")


async def test_a_publisher_that_does_not_open_for_long_is_not_publishing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_module, "_STUCK_AFTER", 0.01)
    gate = asyncio.Event()

    @asynccontextmanager
    async def open_publisher(shard: int) -> AsyncIterator[EventPublisher]:
        await gate.wait()
        async with FarSide().open_publisher(shard) as publisher:
            yield publisher

    relay = Relay("test", MemoryOutbox(), open_publisher, publish_oldest)
    running = asyncio.create_task(relay.run())
    await _until(lambda: not relay.is_publishing, "the relay to say that it is stuck")
    gate.set()
    await _until(lambda: relay.is_publishing, "the relay to say that it is not any more")
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def test_two_relays_share_the_shards_and_publish_everything_once() -> None:
    outbox, far_side = SharedOutbox(), FarSide()
    outbox.relays = 2
    messages = _everywhere(20)
    outbox.add(messages)

    async with _running(outbox, far_side) as left, _running(outbox, far_side) as right:
        await _until_empty(outbox)
        await _until(lambda: len(left._owned) == len(right._owned) == SHARDS // 2, "a fair share for each")

    assert far_side.by_key() == _by_key(messages)


async def test_a_relay_that_goes_leaves_its_shards_to_the_other() -> None:
    outbox, far_side = SharedOutbox(), FarSide()
    outbox.relays = 2

    async with _running(outbox, far_side) as left:
        async with _running(outbox, far_side) as right:
            await _until(lambda: len(left._owned) == len(right._owned) == SHARDS // 2, "a fair share for each")
        outbox.relays = 1
        outbox.add(messages := _everywhere(3))
        await _until_arrived(far_side, len(messages))

    assert far_side.by_key() == _by_key(messages)


async def test_an_outbox_that_is_away_is_asked_again() -> None:
    class Away(MemoryOutbox):
        tries = 0

        async def wanted_shards(self) -> int:
            self.tries += 1
            if self.tries < 3:
                raise ConnectionError("away")
            return await super().wanted_shards()

    outbox, far_side = Away(), FarSide()
    outbox.add(messages := [message(key_in(0))])

    async with _running(outbox, far_side):
        await _until_arrived(far_side, 1)

    assert far_side.arrived == messages
