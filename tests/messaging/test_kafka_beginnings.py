"""Where a member begins to read: behind what its group has committed, or with the oldest record."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import RecordsToDelete
from aiokafka.protocol.commit import OffsetFetchRequest, OffsetFetchResponse_v3
from aiokafka.protocol.offset import OffsetRequest
from structlog.testing import capture_logs

from messaging.kafka.admin import open_admin
from messaging.kafka.beginning import find_beginning
from messaging.kafka.connection import Connection
from messaging.kafka.consumer import open_consumer
from messaging.kafka.topics import Topic, create_topics
from tests.messaging.consumers import until
from tests.messaging.test_kafka_consumer import (
    PARTITIONS,
    GroupUnderTest,
    _by_key,
    _came,
    _delete_topic,
    _numbered,
    _open,
    group,
)

__all__ = ["group"]  # a fixture


async def test_a_member_begins_at_the_committed_offsets_also_when_the_first_broker_asked_is_no_coordinator_any_more(
    group: GroupUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, later = _open(), _open()
    await group.produce(*_numbered("ab", 0, 10))
    async with group.deliver(first):
        await first.until(10)

    # More than once, because a member that is told of no offset asks again before it begins.
    asked = _answering_the_first(monkeypatch, OffsetFetchRequest, OffsetFetchResponse_v3(0, [], 16), times=20)
    await group.produce(*_numbered("ab", 10, 6))
    async with group.deliver(later):
        await later.until(6)

    assert asked.is_set()
    assert _came(later) == _by_key(_numbered("ab", 10, 6))


def _answering_the_first(
    monkeypatch: pytest.MonkeyPatch, kind: type[object], response: object, *, times: int = 1
) -> asyncio.Event:
    """The next `times` requests of this kind get this response, as from a broker. The event is set then."""
    answered, send = asyncio.Event(), Connection._sent
    left = times

    async def answer() -> object:
        return response

    def sent(connection: Connection, request: object, expect_response: bool) -> object:
        nonlocal left
        if isinstance(request, kind) and left:
            left -= 1
            if not left:
                answered.set()
            return answer()
        return send(connection, request, expect_response)

    monkeypatch.setattr(Connection, "_sent", sent)
    return answered


async def test_records_that_were_deleted_before_they_were_read_are_named_and_the_rest_is_delivered(
    group: GroupUnderTest,
) -> None:
    first, second = _open(), _open()
    await group.produce(*_numbered("a", 0, 10))
    async with group.deliver(first):
        await first.until(10)
    await group.produce(*_numbered("a", 10, 10))
    partition = TopicPartition(group.topic, ord("a") % PARTITIONS)
    async with open_admin(group.settings) as admin:
        await admin.delete_records({partition: RecordsToDelete(before_offset=15)})

    with capture_logs() as lines:
        async with group.deliver(second):
            await second.until(5)

    assert _came(second) == {"a": [15, 16, 17, 18, 19]}
    (named,) = [line for line in lines if line["event"] == "records were deleted before they were read"]
    assert (named["topic"], named["partition"], named["position"], named["oldest"]) == (*partition, 10, 15)


async def test_a_topic_that_was_made_anew_is_read_from_its_beginning(group: GroupUnderTest) -> None:
    first, second = _open(), _open()
    await group.produce(*_numbered("ab", 0, 10))
    async with group.deliver(first):
        await first.until(10)
    await _delete_topic(group.settings, group.topic)
    await create_topics(group.settings, [Topic(group.topic, partitions=PARTITIONS)])
    await group.produce(*_numbered("ab", 10, 4))
    async with group.deliver(second):
        await second.until(4)

    assert _came(second) == _by_key(_numbered("ab", 10, 4))


@asynccontextmanager
async def _member(group: GroupUnderTest) -> AsyncIterator[Any]:
    """A member that has its partitions and reads nothing."""
    async with open_consumer(group.settings, group.group) as consumer:
        consumer.subscribe([group.topic])
        await until(lambda: bool(consumer.assignment()), "partitions")
        yield consumer


async def test_a_lack_of_a_position_that_is_noticed_late_is_no_reason_to_begin_anew(group: GroupUnderTest) -> None:
    """Another member may have committed meanwhile."""
    first = _open()
    await group.produce(*_numbered("a", 0, 10))
    async with group.deliver(first):
        await first.until(10)

    async with _member(group) as consumer:
        began = await find_beginning(consumer, TopicPartition(group.topic, ord("a") % PARTITIONS))

    assert began == 10


async def test_a_group_that_has_committed_nothing_begins_with_the_oldest_record(group: GroupUnderTest) -> None:
    await group.produce(*_numbered("a", 0, 3))
    partition = TopicPartition(group.topic, ord("a") % PARTITIONS)
    async with _member(group) as consumer:
        began = await find_beginning(consumer, partition)

        assert (began, await consumer.position(partition)) == (0, 0)


async def test_a_member_whose_partitions_are_assigned_anew_while_it_asks_leaves_them_where_they_are(
    group: GroupUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    await group.produce(*_numbered("ab", 0, 4))
    partitions = [TopicPartition(group.topic, number) for number in range(PARTITIONS)]
    async with _member(group) as consumer:
        asked, go_on = _holding(monkeypatch, OffsetRequest)
        finding = [asyncio.create_task(find_beginning(consumer, partition)) for partition in partitions]
        await asked.wait()
        async with _member(group):
            await until(lambda: len(consumer.assignment()) == 1, "a partition less")
            go_on.set()

            assert await asyncio.gather(*finding) == [None, None]


def _holding(monkeypatch: pytest.MonkeyPatch, kind: type[object]) -> tuple[asyncio.Event, asyncio.Event]:
    """All requests of this kind wait for the second event. The first one is set when there is one."""
    asked, go_on, send = asyncio.Event(), asyncio.Event(), Connection._sent

    async def later(answer: Any) -> object:
        asked.set()
        await go_on.wait()
        return await answer

    def sent(connection: Connection, request: object, expect_response: bool) -> object:
        answer = send(connection, request, expect_response)
        return later(answer) if isinstance(request, kind) else answer

    monkeypatch.setattr(Connection, "_sent", sent)
    return asked, go_on
