"""Exactly once, also when a request of the relay's producer gets no answer and arrives late."""

import asyncio
import base64
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from uuid import UUID

import pytest
import pytest_asyncio
from aiokafka.errors import (
    ConcurrentTransactions,
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    KafkaError,
    NotLeaderForPartitionError,
)
from prometheus_client import REGISTRY

from messaging.engine.relay import Relay
from messaging.kafka.settings import KafkaSettings
from messaging.memory.outbox import MemoryOutbox
from messaging.ports.message import Message
from tests.kafka.bad_network import KINDS, AnsweredWithAnError, LateRequest, LostAnswer
from tests.messaging.far_sides import FarSide, kafka_topic
from tests.messaging.messages import key_in, message
from tests.real_parts.topic_reader import topic_reader

SHARD = 0
DRAINED_WITHIN = 60.0


@pytest_asyncio.fixture
async def far_side(kafka: KafkaSettings) -> AsyncIterator[FarSide]:
    """A topic of the test's own."""
    async with kafka_topic(kafka) as far_side:
        yield far_side


def _client_id(far_side: FarSide) -> str:
    return f"oms-relay-{far_side.service}-{SHARD}"


def _messages(far_side: FarSide, count: int, *, size: int = 10) -> list[Message]:
    """Messages of one key, and so of one partition. They are of no use to a compressor."""
    key, chance = key_in(SHARD), random.Random(count)
    return [
        message(key, number, topic=far_side.topic, data=base64.b64encode(chance.randbytes(size)).decode())
        for number in range(count)
    ]


@asynccontextmanager
async def _relay(far_side: FarSide, outbox: MemoryOutbox) -> AsyncIterator[None]:
    task = asyncio.create_task(Relay(far_side.service, outbox, far_side.open_publisher).run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _publish(far_side: FarSide, batches: Sequence[Sequence[Message]]) -> None:
    """Each batch in a transaction of its own."""
    outbox = MemoryOutbox()
    async with asyncio.timeout(DRAINED_WITHIN), _relay(far_side, outbox):
        for batch in batches:
            outbox.add(batch)
            while outbox.depth_and_age()[0]:
                await asyncio.sleep(0.01)


async def _arrived(kafka: KafkaSettings, far_side: FarSide, batches: Sequence[Sequence[Message]]) -> list[UUID]:
    """Every event on the topic, once the last one is there."""
    last = batches[-1][-1]
    async with topic_reader(kafka.bootstrap_servers, far_side.topic, from_beginning=True) as reader:
        await reader.read_until(lambda: str(last.event_id) in reader.event_ids, "the last event")
        await reader.read_to_the_end()
        return [UUID(value["eventId"]) for value in reader.values]


def _takeovers(far_side: FarSide, kind: str) -> float:
    labels = {"service": far_side.service, "request": kind}
    return REGISTRY.get_sample_value("oms_publisher_unanswered_total", labels) or 0.0


def _ids(batches: Sequence[Sequence[Message]]) -> list[UUID]:
    return [message.event_id for batch in batches for message in batch]


@pytest.mark.parametrize("behind", range(4))
async def test_a_commit_that_arrives_late_commits_nothing_of_a_later_transaction(
    far_side: FarSide, kafka: KafkaSettings, monkeypatch: pytest.MonkeyPatch, behind: int
) -> None:
    network = LateRequest(_client_id(far_side), "EndTxn", behind)
    network.meddle(monkeypatch)
    batches = [_messages(far_side, 5), _messages(far_side, 60, size=40_000), _messages(far_side, 1)]

    await _publish(far_side, batches)

    assert await _arrived(kafka, far_side, batches) == _ids(batches)
    assert network.answered == {"InvalidProducerEpoch"}
    assert network.sent["Produce"] >= 2 + 5, "a batch is so large that it takes several Produce requests"
    assert _takeovers(far_side, "EndTxn") == 1


@pytest.mark.parametrize("kind", ["AddPartitionsToTxn", "Produce"])
async def test_a_request_that_arrives_late_changes_nothing_of_a_later_transaction(
    far_side: FarSide, kafka: KafkaSettings, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    network = LateRequest(_client_id(far_side), kind)
    network.meddle(monkeypatch)
    batches = [_messages(far_side, 5), _messages(far_side, 60, size=40_000), _messages(far_side, 1)]

    await _publish(far_side, batches)

    assert await _arrived(kafka, far_side, batches) == _ids(batches)
    assert network.answered == {"InvalidProducerEpoch"}
    assert _takeovers(far_side, kind) == 1


async def test_a_takeover_that_arrives_late_costs_another_one_and_no_message(
    far_side: FarSide, kafka: KafkaSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = LateRequest(_client_id(far_side), "InitProducerId")
    network.meddle(monkeypatch)
    batches = [_messages(far_side, 5), _messages(far_side, 60, size=40_000), _messages(far_side, 1)]

    await _publish(far_side, batches)

    assert await _arrived(kafka, far_side, batches) == _ids(batches)
    assert network.answered is not None, "it did arrive"
    assert _takeovers(far_side, "InitProducerId") == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_a_request_whose_answer_is_lost_ends_its_epoch_with_the_transaction_at_hand(
    far_side: FarSide, kafka: KafkaSettings, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    network = LostAnswer(_client_id(far_side), kind)
    network.meddle(monkeypatch)
    batches = [_messages(far_side, 5), _messages(far_side, 5)]

    await _publish(far_side, batches)

    assert await _arrived(kafka, far_side, batches) == _ids(batches)
    assert _takeovers(far_side, kind) == 1


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("InitProducerId", ConcurrentTransactions),
        ("AddPartitionsToTxn", CoordinatorLoadInProgressError),
        ("Produce", NotLeaderForPartitionError),
        ("EndTxn", CoordinatorNotAvailableError),
    ],
)
async def test_a_request_that_is_answered_with_an_error_is_repeated_in_the_same_epoch(
    far_side: FarSide, kafka: KafkaSettings, monkeypatch: pytest.MonkeyPatch, kind: str, error: type[KafkaError]
) -> None:
    network = AnsweredWithAnError(_client_id(far_side), kind, error)
    network.meddle(monkeypatch)
    batches = [_messages(far_side, 5), _messages(far_side, 5)]

    await _publish(far_side, batches)

    assert await _arrived(kafka, far_side, batches) == _ids(batches)
    assert network.answered, "it was answered so"
    assert REGISTRY.get_sample_value("oms_publish_failures_total", {"service": far_side.service}) == 0
