"""Records from a real broker: each at least once, a key in order, and no offset committed before its effect."""

import asyncio
import math
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from messaging.kafka import consumer as kafka_consumer
from messaging.kafka.consumer import deliver_from_kafka
from messaging.kafka.progress import COMMIT_EVERY, Progress
from messaging.kafka.settings import KafkaSettings
from messaging.kafka.topics import Topic, create_topics
from messaging.ports.record import Record
from messaging.ports.subscription import Delivering
from tests.messaging.consumers import until
from tests.real_parts.kafka import Broker

PARTITIONS = 2


@dataclass
class Subscriber:
    """Takes batches; `gate` holds it up while closed, and `failing` makes it raise."""

    begun: list[Sequence[Record]] = field(default_factory=list)
    got: list[Record] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    failing: list[Exception] = field(default_factory=list)

    async def __call__(self, records: Sequence[Record]) -> None:
        """Take a batch."""
        self.begun.append(records)
        await self.gate.wait()
        if self.failing:
            raise self.failing.pop(0)
        self.got.extend(records)

    async def until(self, count: int) -> None:
        """Wait until so many records have come."""
        await until(lambda: len(self.got) >= count, f"{count} records")


def _open() -> Subscriber:
    subscriber = Subscriber()
    subscriber.gate.set()
    return subscriber


@dataclass(frozen=True, slots=True)
class GroupUnderTest:
    """A topic and a group of the test's own."""

    settings: KafkaSettings
    topic: str
    group: str

    def deliver(self, subscriber: Callable[[Sequence[Record]], Awaitable[None]]) -> Delivering:
        """One more member of the group."""
        return deliver_from_kafka(self.settings, self.group, [self.topic], subscriber)

    async def produce(self, *keys_and_values: tuple[str, str]) -> None:
        """Put records onto the topic, those of a key into the same partition."""
        async with AIOKafkaProducer(bootstrap_servers=self.settings.bootstrap_servers) as producer:
            for key, value in keys_and_values:
                partition = ord(key) % PARTITIONS
                await producer.send(self.topic, value.encode(), key.encode(), partition, headers=[("ce_id", b"7")])

    async def committed(self) -> int:
        """The sum of the offsets that the group has committed."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.settings.bootstrap_servers)
        await admin.start()
        try:
            offsets = await admin.list_consumer_group_offsets(self.group)
        finally:
            await admin.close()
        return sum(at.offset for at in offsets.values())

    async def members(self) -> int:
        """How many members the broker counts."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.settings.bootstrap_servers)
        await admin.start()
        try:
            ((answer,),) = [described.groups for described in await admin.describe_consumer_groups([self.group])]
        finally:
            await admin.close()
        return len(answer[5])


@pytest_asyncio.fixture
async def group(kafka: KafkaSettings) -> AsyncIterator[GroupUnderTest]:
    """Nothing there yet."""
    topic = f"test-{uuid.uuid4().hex}"
    settings = kafka.model_copy(update={"session_timeout_seconds": 6.0})  # and so heartbeats are more frequent
    await create_topics(settings, [Topic(topic, partitions=PARTITIONS)])
    yield GroupUnderTest(settings, topic, f"group-of-{topic}")
    await _delete_topic(settings, topic)


async def _delete_topic(settings: KafkaSettings, topic: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)
    await admin.start()
    await admin.delete_topics([topic])
    await admin.close()


@asynccontextmanager
async def _to_be_killed(delivering: Delivering) -> AsyncIterator[None]:
    """Deliveries that end as those of a killed process do, but for the broker's knowing of it."""
    begun = asyncio.Event()

    async def run() -> None:
        async with delivering:
            begun.set()
            await asyncio.Event().wait()

    process = asyncio.create_task(run())
    await begun.wait()
    yield
    process.cancel()
    with suppress(asyncio.CancelledError):
        await process


def _numbered(keys: str, first: int, count: int) -> list[tuple[str, str]]:
    return [(keys[number % len(keys)], str(number)) for number in range(first, first + count)]


def _by_key(some: Iterable[tuple[str, str]]) -> dict[str, list[int]]:
    by_key: dict[str, list[int]] = {}
    for key, value in some:
        by_key.setdefault(key, []).append(int(value))
    return by_key


def _came(*subscribers: Subscriber) -> dict[str, list[int]]:
    return _by_key((record.key, record.value.decode()) for subscriber in subscribers for record in subscriber.got)


async def test_everything_is_delivered_each_key_in_order_and_then_committed(group: GroupUnderTest) -> None:
    before, during = _numbered("abcdefg", 0, 1300), _numbered("abcdefg", 1300, 40)
    subscriber = _open()
    await group.produce(*before)
    async with group.deliver(subscriber):
        await subscriber.until(len(before))
        await group.produce(*during)
        await subscriber.until(len(before + during))

    assert _came(subscriber) == _by_key(before + during)
    assert max(len(batch) for batch in subscriber.begun) <= kafka_consumer.BATCH
    assert await group.committed() == len(before + during)
    first = next(record for record in subscriber.got if record.key == "a")
    assert first == Record(group.topic, ord("a") % PARTITIONS, 0, "a", {"ce_id": "7"}, b"0")


async def test_a_later_member_of_the_group_begins_where_the_last_one_ended_and_another_group_at_the_start(
    group: GroupUnderTest,
) -> None:
    first, second, other = _open(), _open(), _open()
    await group.produce(*_numbered("ab", 0, 10))
    async with group.deliver(first):
        await first.until(10)
    await group.produce(*_numbered("ab", 10, 6))
    async with group.deliver(second), deliver_from_kafka(group.settings, f"{group.group}-2", [group.topic], other):
        await second.until(6)
        await other.until(16)

    assert _came(second) == _by_key(_numbered("ab", 10, 6))
    assert _came(other) == _by_key(_numbered("ab", 0, 16))


async def test_a_killed_member_with_an_instance_id_goes_on_at_once_when_it_is_started_again(
    group: GroupUnderTest,
) -> None:
    named = {"group_instance_id": "pod-0", "session_timeout_seconds": 300.0}
    group = replace(group, settings=group.settings.model_copy(update=named))
    first, again = _open(), _open()
    await group.produce(*_numbered("ab", 0, 10))
    async with _to_be_killed(group.deliver(first)):
        await first.until(10)
        while await group.committed() < 10:
            await asyncio.sleep(0.05)
    assert await group.members() == 1, "the broker was told that the member is gone"

    await group.produce(*_numbered("ab", 10, 6))
    async with group.deliver(again):
        await again.until(6)
        assert await group.members() == 1

    assert _came(again) == _by_key(_numbered("ab", 10, 6))


async def test_what_a_killed_process_had_at_hand_is_delivered_again(group: GroupUnderTest) -> None:
    stuck, successor = Subscriber(), _open()
    await group.produce(*_numbered("ab", 0, 10))
    async with _to_be_killed(group.deliver(stuck)):
        await until(lambda: bool(stuck.begun), "a batch")
    assert stuck.begun
    assert await group.committed() == 0, "committed before its effect"

    async with group.deliver(successor):
        await successor.until(10)

    assert _came(successor) == _by_key(_numbered("ab", 0, 10))


async def test_leaving_finishes_the_batch_at_hand_and_commits_it(group: GroupUnderTest) -> None:
    subscriber = Subscriber()
    await group.produce(*_numbered("a", 0, 3 * kafka_consumer.BATCH))

    async def leave_in_the_middle() -> None:
        async with group.deliver(subscriber):
            await until(lambda: bool(subscriber.begun), "a batch")

    leaving = asyncio.create_task(leave_in_the_middle())
    await until(lambda: bool(subscriber.begun), "a batch")
    for _ in range(10):
        await asyncio.sleep(0)
    assert not leaving.done()
    subscriber.gate.set()
    await leaving

    assert len(subscriber.got) == len(subscriber.begun[0])
    assert len(subscriber.begun) == 1, "none is begun after that"
    assert await group.committed() == len(subscriber.got)


async def test_a_subscriber_that_raises_gets_the_batch_again(group: GroupUnderTest) -> None:
    subscriber = _open()
    subscriber.failing = [RuntimeError("once"), RuntimeError("twice")]
    await group.produce(*_numbered("ab", 0, 10))
    async with group.deliver(subscriber):
        await subscriber.until(10)
        await group.produce(*_numbered("ab", 10, 10))
        await subscriber.until(20)

    assert subscriber.failing == []
    assert _came(subscriber) == _by_key(_numbered("ab", 0, 20))


@dataclass
class Rebalances:
    """What aiokafka tells the members of a group: whose partitions are asked for, and who got how many."""

    asked: list[str] = field(default_factory=list)
    given: dict[str, int] = field(default_factory=dict)


@pytest.fixture
def rebalances(monkeypatch: pytest.MonkeyPatch) -> Rebalances:
    """Of all members."""
    return watch_rebalances(monkeypatch)


def watch_rebalances(monkeypatch: pytest.MonkeyPatch) -> Rebalances:
    """What all members are told. Each is known by the name of its subscriber."""
    seen = Rebalances()
    deliveries = kafka_consumer._Deliveries
    revoked, assigned = deliveries.on_partitions_revoked, deliveries.on_partitions_assigned

    async def on_revoked(self: kafka_consumer._Deliveries, partitions: Iterable[TopicPartition]) -> None:
        if partitions:
            seen.asked.append(_name(self))
        await revoked(self, partitions)

    async def on_assigned(self: kafka_consumer._Deliveries, partitions: Iterable[TopicPartition]) -> None:
        seen.given[_name(self)] = len(list(partitions))
        await assigned(self, partitions)

    def _name(member: kafka_consumer._Deliveries) -> str:
        return str(id(member._subscriber))

    monkeypatch.setattr(deliveries, "on_partitions_revoked", on_revoked)
    monkeypatch.setattr(deliveries, "on_partitions_assigned", on_assigned)
    return seen


async def test_a_rebalance_waits_for_the_batch_at_hand_so_that_nothing_comes_twice(
    group: GroupUnderTest, rebalances: Rebalances
) -> None:
    first, second = Subscriber(), _open()
    await group.produce(*_numbered("abcdef", 0, 60))
    async with group.deliver(first):
        await until(lambda: bool(first.begun), "a batch")
        async with group.deliver(second):
            await until(lambda: rebalances.asked == [str(id(first))], "the broker to ask for the partitions back")
            await group.produce(*_numbered("abcdef", 60, 60))
            assert second.begun == []
            first.gate.set()
            await until(lambda: rebalances.given.get(str(id(second))) == 1, "a partition for the second")
            await group.produce(*_numbered("abcdef", 120, 60))
            await until(lambda: len(first.got) + len(second.got) >= 180, "everything")

    assert first.got[: len(first.begun[0])] == first.begun[0]
    assert second.got, "it has a partition"
    assert _came(first, second) == _by_key(_numbered("abcdef", 0, 180)), "nothing lost, nothing twice, a key in order"


async def test_a_rebalance_that_cannot_wait_brings_the_batch_again_and_loses_nothing(
    group: GroupUnderTest, rebalances: Rebalances, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_consumer, "_FINISH_BATCH_WITHIN", 0.05)
    first, second = Subscriber(), _open()
    await group.produce(*_numbered("ab", 0, 60))
    async with group.deliver(first):
        await until(lambda: bool(first.begun), "a batch")
        async with group.deliver(second):
            await until(lambda: rebalances.given.get(str(id(second))) == 1, "a partition for the second")
            await second.until(30)
            first.gate.set()
            await group.produce(*_numbered("ab", 60, 60))
            await second.until(60)
            await until(lambda: len({record.value for record in first.got + second.got}) == 120, "everything")

    assert await group.committed() == 120
    (of_the_second,) = _came(second).items()
    assert of_the_second in _by_key(_numbered("ab", 0, 120)).items(), "each in order, from the committed offset"


async def test_a_commit_that_comes_when_every_partition_has_moved_is_dropped() -> None:
    class MovedOn:
        """As a member that has lost all it had; aiokafka refuses to commit nothing."""

        def assignment(self) -> set[TopicPartition]:
            return set()

        async def commit(self, offsets: object) -> None:
            raise ValueError(offsets)

    progress = Progress(MovedOn(), "g")
    progress.handled({TopicPartition("t", 0): 6})
    await progress.commit()
    assert progress.due_in == math.inf


class Commits:
    """A consumer that has partition 0 of t, and notes what it is told to commit."""

    def __init__(self) -> None:
        self.noted: list[dict[TopicPartition, int]] = []

    def assignment(self) -> set[TopicPartition]:
        return {TopicPartition("t", 0)}

    async def commit(self, offsets: dict[TopicPartition, int]) -> None:
        self.noted.append(offsets)


async def test_the_first_commit_is_due_at_once_and_the_next_one_a_moment_later_for_all_that_was_handled() -> None:
    consumer, partition = Commits(), TopicPartition("t", 0)
    progress = Progress(consumer, "g")
    assert progress.due_in == math.inf, "nothing is handled"

    progress.handled({partition: 6})
    assert progress.due_in == 0
    await progress.commit()
    progress.handled({partition: 7})
    progress.handled({partition: 9, TopicPartition("t", 1): 3})
    assert 0 < progress.due_in <= COMMIT_EVERY
    await progress.commit()

    assert consumer.noted == [{partition: 6}, {partition: 9}], "and nothing of what is not its own"


async def test_offsets_of_many_batches_are_committed_together_and_the_last_without_another_record(
    group: GroupUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits, commit = [0], Progress.commit

    async def counting(self: Progress) -> None:
        commits[0] += 1
        await commit(self)

    monkeypatch.setattr(Progress, "commit", counting)
    subscriber = _open()
    await group.produce(("a", "0"))
    async with (
        group.deliver(subscriber),
        AIOKafkaProducer(bootstrap_servers=group.settings.bootstrap_servers) as producer,
    ):
        await subscriber.until(1)
        began = asyncio.get_running_loop().time()
        for number in range(1, 40):
            await producer.send_and_wait(group.topic, str(number).encode(), b"a", ord("a") % PARTITIONS)
            await subscriber.until(number + 1)
        handled_in = asyncio.get_running_loop().time() - began
        while await group.committed() < 40:
            await asyncio.sleep(0.05)

    assert len(subscriber.begun) == 40
    assert commits[0] <= handled_in / COMMIT_EVERY + 5  # before, after, and when it leaves


async def test_a_restarted_broker_is_found_again(group: GroupUnderTest, broker: Broker) -> None:
    if broker.stop is None or broker.start is None:
        pytest.skip("this broker is not ours to stop")
    subscriber = _open()
    await group.produce(*_numbered("ab", 0, 10))
    async with group.deliver(subscriber):
        await subscriber.until(10)
        await asyncio.to_thread(broker.stop)
        await asyncio.to_thread(broker.start)
        await group.produce(*_numbered("ab", 10, 10))
        await until(lambda: len({record.value for record in subscriber.got}) == 20, "everything")


async def test_records_of_aborted_transactions_are_not_seen(group: GroupUnderTest) -> None:
    subscriber = _open()
    async with AIOKafkaProducer(
        bootstrap_servers=group.settings.bootstrap_servers, transactional_id=group.group
    ) as producer:
        for number in range(6):
            await producer.begin_transaction()
            await producer.send_and_wait(group.topic, str(number).encode(), b"a", partition=0)
            await (producer.commit_transaction() if number % 3 == 2 else producer.abort_transaction())

    async with group.deliver(subscriber):
        await subscriber.until(2)

    assert _came(subscriber) == {"a": [2, 5]}


async def test_a_topic_that_is_made_later_is_noticed(kafka: KafkaSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_consumer, "_NOTICE_TOPICS_WITHIN", 0.2)
    topic = f"test-{uuid.uuid4().hex}"
    later = GroupUnderTest(kafka, topic, f"group-of-{topic}")
    subscriber = _open()
    async with later.deliver(subscriber):
        await create_topics(kafka, [Topic(topic, partitions=PARTITIONS)])
        await later.produce(("a", "1"))
        await subscriber.until(1)
    await _delete_topic(kafka, topic)
