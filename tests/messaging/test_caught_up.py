"""Whoever judges by what has not come first asks whether everything that was there has been read."""

import asyncio
import uuid
from collections.abc import Sequence

from aiokafka import AIOKafkaProducer

from messaging.brokerless.in_process import InProcessBroker
from messaging.kafka.consumer import deliver_from_kafka
from messaging.kafka.settings import KafkaSettings
from messaging.kafka.topics import Topic, create_topics
from messaging.ports.record import Record
from tests.messaging.consumers import until
from tests.messaging.messages import batch_of, key_in, message


async def _topic_with_records(kafka: KafkaSettings) -> str:
    """As a relay leaves them: in transactions, whose ends take an offset, too; and one transaction that was aborted."""
    topic = f"test-{uuid.uuid4().hex}"
    await create_topics(kafka, [Topic(topic, partitions=2)])
    async with AIOKafkaProducer(
        bootstrap_servers=kafka.bootstrap_servers, transactional_id=f"test-{uuid.uuid4().hex}"
    ) as producer:
        async with producer.transaction():
            await producer.send_and_wait(topic, b"{}", b"k", partition=0)
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"{}", b"k", partition=0)
        await producer.abort_transaction()
    return topic


async def test_what_waited_on_the_topic_is_read_and_handled_before_the_consumer_has_caught_up(
    kafka: KafkaSettings,
) -> None:
    topic = await _topic_with_records(kafka)
    at_hand, go_on = asyncio.Event(), asyncio.Event()

    async def subscriber(_: Sequence[Record]) -> None:
        at_hand.set()
        await go_on.wait()

    async with deliver_from_kafka(kafka, f"group-of-{topic}", [topic], subscriber) as caught_up:
        assert not caught_up(), "nothing is known before the first partitions are assigned"
        await at_hand.wait()
        for _ in range(20):
            assert not caught_up(), "a record is read, and not handled"
            await asyncio.sleep(0)
        go_on.set()

        await until(caught_up, "the consumer has caught up")


async def test_a_consumer_of_an_empty_topic_has_caught_up(kafka: KafkaSettings) -> None:
    topic = f"test-{uuid.uuid4().hex}"
    await create_topics(kafka, [Topic(topic, partitions=2)])

    async def nobody(_: Sequence[Record]) -> None: ...

    async with deliver_from_kafka(kafka, f"group-of-{topic}", [topic], nobody) as caught_up:
        await until(caught_up, "the consumer has caught up")


async def _nobody(_: Sequence[Record]) -> None: ...


class _Stopwatch:
    seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


async def test_within_a_process_it_is_caught_up_when_nothing_was_published_for_a_second() -> None:
    time, go_on = _Stopwatch(), asyncio.Event()
    broker = InProcessBroker(time)

    async def slow(_: Sequence[Record]) -> None:
        await go_on.wait()

    async with broker.deliver("test", ["order-events"], slow) as caught_up:
        assert not caught_up()
        time.seconds += 5
        assert not caught_up(), "nothing was taken yet"
        async with broker.delivering():
            publishing = asyncio.create_task(broker.publish(batch_of([message(key_in(0))])))
            await asyncio.sleep(0)
            time.seconds += 3
            assert not caught_up(), "a message is at hand"
            go_on.set()
            await publishing
            assert not caught_up(), "what it leads to may come yet"

            time.seconds += 1
            assert caught_up()


async def test_within_a_busy_process_what_waited_is_taken_for_handled_after_ten_seconds() -> None:
    time = _Stopwatch()
    broker = InProcessBroker(time)
    async with broker.deliver("test", ["order-events"], _nobody) as caught_up, broker.delivering():
        began = time.seconds
        while not caught_up():
            await broker.publish(batch_of([message(key_in(0))]))
            time.seconds += 0.5

    assert time.seconds - began == 10


async def test_a_process_that_was_stopped_for_long_asks_anew() -> None:
    time = _Stopwatch()
    broker = InProcessBroker(time)
    async with broker.deliver("test", ["order-events"], _nobody) as caught_up, broker.delivering():
        assert not caught_up()
        time.seconds += 1
        assert caught_up()
        time.seconds += 60

        assert not caught_up(), "what came meanwhile is not handled yet"
        time.seconds += 1
        assert caught_up()
