"""Shards that publish together: fewer transactions, and the same promises for whoever takes one of them over."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio
from aiokafka.errors import KafkaError, TransactionalIdAuthorizationFailed
from structlog.testing import capture_logs

from messaging.kafka import joint as joint_module
from messaging.kafka.publisher import KafkaPublisher, kafka_publishers
from messaging.kafka.settings import KafkaSettings
from messaging.kafka.topics import positions_of
from messaging.kafka.transactions import Content, Transactions
from messaging.ports.event_publisher import EventPublisher, OpenPublisher
from messaging.ports.message import Message
from messaging.ports.outbox import SHARDS
from tests.messaging.far_sides import FarSide, kafka_topic
from tests.messaging.messages import batch_of, key_in, message
from tests.real_parts.waiting import DEADLINE


@pytest_asyncio.fixture
async def far_side(kafka: KafkaSettings) -> AsyncIterator[FarSide]:
    """A topic of the test's own."""
    async with kafka_topic(kafka) as far_side:
        yield far_side


@pytest.fixture
def one_process(kafka: KafkaSettings, far_side: FarSide) -> OpenPublisher:
    """The publishers of a process."""
    return kafka_publishers(kafka, far_side.service)


@pytest.fixture
def another_process(kafka: KafkaSettings, far_side: FarSide) -> OpenPublisher:
    """Those of another one."""
    return kafka_publishers(kafka, far_side.service)


class Published:
    """Publishes batches of one message each, and knows their ids in order."""

    def __init__(self, far_side: FarSide) -> None:
        self._topic = far_side.topic
        self._rows = 0
        self.ids: list[UUID] = []

    def message(self, shard: int) -> Message:
        """Another one."""
        return message(key_in(shard), topic=self._topic)

    async def by(self, publisher: EventPublisher, shard: int) -> None:
        """Publish another one."""
        self._rows += 1
        sent = self.message(shard)
        await publisher.publish(batch_of([sent], first_row=self._rows))
        self.ids.append(sent.event_id)


@pytest.fixture
def published(far_side: FarSide) -> Published:
    """Nothing yet."""
    return Published(far_side)


async def _arrived(far_side: FarSide, count: int) -> list[UUID]:
    """The ids of all that came, sorted: they are in several partitions."""
    return sorted(event_id for _, event_id in await far_side.arrived(count))


async def _open(stack: AsyncExitStack, process: OpenPublisher, shards: Sequence[int]) -> list[EventPublisher]:
    return [await stack.enter_async_context(process(shard)) for shard in shards]


def _joint_producer(publisher: EventPublisher) -> Any:
    assert isinstance(publisher, KafkaPublisher)
    assert publisher._joined is not None, "it has not joined"
    return publisher._joined._transactions.producer


async def test_what_waits_for_a_transaction_is_the_next_one_and_each_shard_has_its_position(
    far_side: FarSide, one_process: OpenPublisher, another_process: OpenPublisher, published: Published,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    transactions: list[int] = []
    first_is_sent, others_wait = asyncio.Event(), asyncio.Event()
    commit = Transactions.commit

    async def counted(self: Transactions, contents: Sequence[Content]) -> None:
        transactions.append(len(contents))
        first_is_sent.set()
        await others_wait.wait()
        await commit(self, contents)

    async with AsyncExitStack() as stack:
        publishers = await _open(stack, one_process, range(SHARDS))
        for shard, publisher in enumerate(publishers):
            await published.by(publisher, shard)
        monkeypatch.setattr(Transactions, "commit", counted)
        async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as group:
            group.create_task(published.by(publishers[0], 0))
            await first_is_sent.wait()
            for shard in range(1, SHARDS):
                group.create_task(published.by(publishers[shard], shard))
            await asyncio.sleep(0.05)
            others_wait.set()
        assert transactions == [1, SHARDS - 1]
        monkeypatch.undo()

        last = [publisher._last for publisher in publishers]  # type: ignore[attr-defined]
        found = [await publisher.last_position() for publisher in await _open(stack, another_process, range(SHARDS))]
        assert found == last

    assert await _arrived(far_side, 2 * SHARDS) == published.ids


async def test_whoever_takes_a_shard_over_ends_the_open_joint_transaction_that_it_is_in(
    far_side: FarSide, one_process: OpenPublisher, another_process: OpenPublisher, published: Published
) -> None:
    async with AsyncExitStack() as stack:
        left, right = await _open(stack, one_process, [0, 1])
        for _ in range(2):
            await published.by(left, 0)
            await published.by(right, 1)
        # As a process does that hangs between sending a batch and committing it.
        producer = _joint_producer(left)
        await producer.begin_transaction()
        await producer.send_and_wait(far_side.topic, b'{"eventId":"00000000-0000-7000-8000-000000000000"}', b"lost")
        positions = positions_of(far_side.service).name
        await producer.send_and_wait(positions, b'{"ids":[666]}', f"{far_side.service}/0".encode(), 0)

        async with asyncio.timeout(DEADLINE):
            (successor,) = await _open(stack, another_process, [0])
        assert await successor.last_position() == left._last  # type: ignore[attr-defined]
        await published.by(successor, 0)
        with pytest.raises(KafkaError):
            await producer.commit_transaction()

    assert await _arrived(far_side, 5) == published.ids


async def test_before_a_shard_is_in_a_joint_transaction_one_of_its_own_has_named_it(
    one_process: OpenPublisher, published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[Transactions] = []
    commit = Transactions.commit

    async def noted(self: Transactions, contents: Sequence[Content]) -> None:
        used.append(self)
        await commit(self, contents)

    monkeypatch.setattr(Transactions, "commit", noted)
    async with AsyncExitStack() as stack:
        (publisher,) = await _open(stack, one_process, [0])
        for _ in range(2):
            await published.by(publisher, 0)
        assert isinstance(publisher, KafkaPublisher)
        assert publisher._joined is not None, "it has not joined"
        assert used == [publisher._own, publisher._joined._transactions]


async def test_an_owner_of_before_publishes_nothing_more_by_itself_or_with_others(
    far_side: FarSide, one_process: OpenPublisher, another_process: OpenPublisher, published: Published
) -> None:
    async with AsyncExitStack() as stack:
        alone, joined, neighbour = await _open(stack, one_process, [0, 1, 2])
        for _ in range(2):
            await published.by(joined, 1)
            await published.by(neighbour, 2)
        successors = await _open(stack, another_process, [0, 1])

        for publisher, shard in ((joined, 1), (alone, 0)):
            with pytest.raises(KafkaError):
                await publisher.publish(batch_of([published.message(shard)]))
        for shard, successor in enumerate(successors):
            await published.by(successor, shard)
        with pytest.raises(KafkaError):
            await neighbour.publish(batch_of([published.message(2)]))

    assert await _arrived(far_side, 6) == published.ids, (
        "the neighbour has to begin again, and nothing came of the rest"
    )


async def test_a_shard_that_is_given_up_in_order_disturbs_no_other(
    far_side: FarSide, one_process: OpenPublisher, another_process: OpenPublisher, published: Published
) -> None:
    async with one_process(1) as staying:
        async with one_process(0) as leaving:
            for _ in range(2):
                await published.by(leaving, 0)
                await published.by(staying, 1)
            last = leaving._last  # type: ignore[attr-defined]

        async with another_process(0) as successor:
            assert await successor.last_position() == last
            await published.by(successor, 0)
            await published.by(staying, 1)

    assert await _arrived(far_side, 6) == published.ids


async def test_a_shard_that_begins_again_makes_its_neighbours_begin_again_and_then_they_join_anew(
    far_side: FarSide, one_process: OpenPublisher, published: Published
) -> None:
    async with AsyncExitStack() as stack:
        (neighbour,) = await _open(stack, one_process, [1])

        async def fail() -> None:
            async with one_process(0) as failing:
                for _ in range(2):
                    await published.by(failing, 0)
                    await published.by(neighbour, 1)
                raise TimeoutError

        with pytest.raises(TimeoutError):
            await fail()
        (again,) = await _open(stack, one_process, [0])
        with pytest.raises(KafkaError, match=r"have failed: .* fenced"):
            await neighbour.publish(batch_of([published.message(1)]))

        (neighbour,) = await _open(stack, one_process, [1])
        for _ in range(2):
            await published.by(again, 0)
            await published.by(neighbour, 1)
        assert _joint_producer(again) is _joint_producer(neighbour)

    assert await _arrived(far_side, 8) == published.ids


async def test_a_batch_that_cannot_be_sent_fails_alone(
    far_side: FarSide, one_process: OpenPublisher, published: Published
) -> None:
    async with AsyncExitStack() as stack:
        large, small = await _open(stack, one_process, [0, 1])
        for _ in range(2):
            await published.by(large, 0)
            await published.by(small, 1)
        with pytest.raises(KafkaError, match=r"max\.message\.bytes must be raised"):
            await large.publish(batch_of([message(key_in(0), topic=far_side.topic, data="x" * 2_000_000)]))
        await published.by(small, 1)

    assert await _arrived(far_side, 5) == published.ids


async def test_a_publish_that_is_cancelled_while_it_waits_is_not_sent(
    far_side: FarSide, one_process: OpenPublisher, published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, commit = asyncio.Event(), Transactions.commit

    async def held_up(self: Transactions, contents: Sequence[Content]) -> None:
        await gate.wait()
        await commit(self, contents)

    async with AsyncExitStack() as stack:
        left, right = await _open(stack, one_process, [0, 1])
        await published.by(left, 0)
        await published.by(right, 1)
        monkeypatch.setattr(Transactions, "commit", held_up)
        under_way = asyncio.create_task(published.by(left, 0))
        await asyncio.sleep(0.01)
        waiting = asyncio.create_task(right.publish(batch_of([published.message(1)])))
        await asyncio.sleep(0.01)
        waiting.cancel()
        gate.set()
        await under_way
        assert waiting.cancelled()
        await published.by(right, 1)

    assert await _arrived(far_side, 4) == published.ids


async def test_where_their_id_is_not_allowed_shards_publish_alone(
    far_side: FarSide, one_process: OpenPublisher, published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise TransactionalIdAuthorizationFailed("joint")

    monkeypatch.setattr(joint_module, "open_transactions", refuse)
    with capture_logs() as lines:
        async with AsyncExitStack() as stack:
            publishers = await _open(stack, one_process, [0, 1])
            for _ in range(2):
                for shard, publisher in enumerate(publishers):
                    await published.by(publisher, shard)

    assert len([line for line in lines if line["event"].startswith("shards publish alone")]) == 1
    assert await _arrived(far_side, 4) == published.ids


async def test_where_relays_of_before_may_take_over_shards_publish_alone(
    far_side: FarSide, kafka: KafkaSettings, published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("a joint transaction was opened")

    monkeypatch.setattr(joint_module, "open_transactions", never)
    alone = kafka_publishers(kafka.model_copy(update={"joint_transactions": False}), far_side.service)
    async with AsyncExitStack() as stack:
        publishers = await _open(stack, alone, [0, 1])
        for _ in range(2):
            for shard, publisher in enumerate(publishers):
                await published.by(publisher, shard)

    assert await _arrived(far_side, 4) == published.ids
