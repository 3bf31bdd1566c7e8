"""Messages that wait in the outbox, as many as wanted, and a relay that is held at a start line before them."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from uuid_utils.compat import uuid7

from benchmarks.database import connected
from benchmarks.environment import Environment
from benchmarks.processes import order_service, running
from benchmarks.waiting import until
from messaging.kafka.settings import KafkaSettings
from messaging.ports.outbox import SHARDS, shard_of
from messaging.postgres.outbox import message_columns
from order_service.domain.events import OrderCreatedEvent
from order_service.domain.order_line import OrderLine
from order_service.infrastructure.event_encoding import TOPIC, encode
from shared_kernel.product import ProductId, Quantity

_KEYS = 10_000
_READY_WITHIN = 30.0

# One real message is the pattern of all; its ids and its version are replaced. A key's versions grow with the row.
_FILL = """
    insert into outbox (shard, event_id, topic, key, headers, value)
    select shard, id, $1, key, replace(replace($2, $4, key), $5, id::text)::json,
           convert_to(replace(replace(replace($3, $4, key), $5, id::text),
                              '"orderVersion":1,', '"orderVersion":' || n || ','), 'UTF8')
    from (
        select e.n, e.id, k.shard, k.key
        from (select n, gen_random_uuid() as id from generate_series(1, $6::integer) as n) e
        join unnest($7::smallint[], $8::text[]) with ordinality as k(shard, key, place)
          on k.place = e.n % cardinality($8::text[]) + 1
        order by e.n
    ) numbered
"""
_WAIT_FOR_THE_TABLE = "select count(*) from pg_locks where relation = 'outbox'::regclass and not granted"


async def fill(dsn: str, rows: int) -> None:
    """Let `rows` messages more wait, of ten thousand orders, in a table as autovacuum and a checkpoint leave it."""
    order_id, event_id = uuid7(), uuid7()
    pattern = encode(
        OrderCreatedEvent(
            event_id=event_id,
            order_id=order_id,
            order_version=1,
            occurred_at=datetime.now(UTC),
            customer_id=None,
            lines=(OrderLine(ProductId("p1"), Quantity(2)),),
        )
    )
    *_, (topic,), (key,), (headers,), (value,) = message_columns([pattern])
    keys = [str(uuid7()) for _ in range(_KEYS)]
    shards = [shard_of(key) for key in keys]
    async with connected(dsn) as connection:
        await connection.execute(
            _FILL, topic, headers, value.decode(), key, str(event_id), rows, shards, keys, timeout=600
        )
        await connection.execute("vacuum (analyze) outbox")
        await connection.execute("checkpoint")


@dataclass(frozen=True, slots=True)
class StartLine:
    """A relay that has started, owns all shards and waits for its first row."""

    begin: dict[TopicPartition, int]
    _consumer: Any
    _lock: Any

    async def go(self) -> float:
        """Let it run; answers the time, of `time.perf_counter`."""
        await self._lock.rollback()
        return time.perf_counter()

    async def published(self) -> int:
        """How many records are on the topic since the start line, with one control record for each transaction."""
        end = await self._consumer.end_offsets(list(self.begin))
        return int(sum(end.values()) - sum(self.begin.values()))

    async def until_published(self, count: int) -> int:
        """Return when that many are on the topic; says how many it were then."""
        published = 0

        async def enough() -> bool:
            nonlocal published
            published = await self.published()
            return published >= count

        await until(enough, f"{count:,} events are on the topic", within=_READY_WITHIN + count / 1000, every=0.01)
        return published


@asynccontextmanager
async def relay_at_start_line(environment: Environment, dsn: str) -> AsyncIterator[StartLine]:
    """Hold the outbox locked until a fresh relay process asks for the rows of every shard: its start is not timed."""
    async with connected(dsn) as connection, topic_reader(environment.kafka(), "read_uncommitted") as reader:
        lock = connection.transaction()
        await lock.start()
        await connection.execute("lock table outbox in access exclusive mode")
        reader.pause(*reader.assignment())  # only asked for offsets: fetching would take time from the relay
        async with running(order_service("relay", environment.settings(dsn))):

            async def ready() -> bool:
                return int(await connection.fetchval(_WAIT_FOR_THE_TABLE)) == SHARDS

            await until(ready, "the relay owns every shard", within=_READY_WITHIN)
            yield StartLine(await reader.end_offsets(reader.assignment()), reader, lock)


@asynccontextmanager
async def topic_reader(kafka: KafkaSettings, isolation_level: str) -> AsyncIterator[Any]:
    """A consumer without a group that is assigned the whole topic of order events, from now on."""
    consumer = AIOKafkaConsumer(
        kafka.prefix + TOPIC,
        bootstrap_servers=kafka.bootstrap_servers,
        isolation_level=isolation_level,
        group_id=None,
        auto_offset_reset="latest",
    )
    try:
        await consumer.start()
        yield consumer
    finally:
        await consumer.stop()
