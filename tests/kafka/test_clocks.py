"""A relay on a machine whose clock is wrong: the broker's clock dates what is published."""

import time
import uuid
from datetime import timedelta

import pytest
from aiokafka import AIOKafkaProducer

from messaging.kafka.settings import KafkaSettings
from messaging.kafka.topics import Topic, create_topics, positions_of

DAY = timedelta(days=1)


@pytest.mark.parametrize("wrong_by", [DAY, -30 * DAY, -20_000 * DAY])
async def test_what_a_wrong_clock_dates_is_published_and_kept(kafka: KafkaSettings, wrong_by: timedelta) -> None:
    """A broker refuses what is dated more than an hour ahead, and deletes at once what looks older than a week."""
    name = f"test-{uuid.uuid4().hex}"
    topics = [Topic(name, partitions=1), positions_of(name)]
    await create_topics(kafka, topics)
    now = time.time_ns() // 10**6

    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers) as producer:
        for topic in topics:
            dated = max(0, now + wrong_by // timedelta(milliseconds=1))
            kept = await producer.send_and_wait(topic.name, b"{}", b"k", partition=0, timestamp_ms=dated)
            assert kept.timestamp >= now - 60_000, f"{topic.name} has a record of {kept.timestamp}"
