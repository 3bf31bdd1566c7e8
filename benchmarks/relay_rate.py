"""The relay on a backlog: against a bare producer that sends the same records, and with many rows against few."""

import asyncio
import gc
import json
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from aiokafka import AIOKafkaProducer, TopicPartition

from benchmarks.backlog import fill, relay_at_start_line, topic_reader
from benchmarks.database import connected, until_drained
from benchmarks.environment import Environment
from benchmarks.table import Aim, Figure, Samples
from messaging.kafka.topics import Topic, create_topics
from messaging.ports.event_publisher import BATCH
from messaging.ports.outbox import SHARDS
from messaging.runtime.migrations import migrate
from oms.services import SERVICES
from tests.real_parts.postgres_cluster import postgres_cluster

_READ_WITHIN = 120.0


@dataclass(frozen=True, slots=True)
class _Record:
    event_id: UUID
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


async def measure(environment: Environment) -> list[Figure]:
    """The relay empties an outbox; a bare idempotent producer sends the same; they take turns in going first."""
    await environment.create_topics()
    dsn = await environment.database.fresh("relay")
    topic = Topic("produced", partitions=4)
    await create_topics(environment.kafka(), [topic])
    relayed, produced = [], []
    for number in range(environment.plan.rounds):
        environment.say(f"relay: round {number + 1} of {environment.plan.rounds}")
        await fill(dsn, environment.plan.relay_backlog)
        records = await _waiting(dsn)
        if number % 2:
            produced.append(await _produce(environment, topic.name, records))
        relayed.append(await _relay(environment, dsn, records))
        if not number % 2:
            produced.append(await _produce(environment, topic.name, records))
    return [
        Figure(
            f"relay, {environment.plan.relay_backlog:,} rows, exactly once",
            Samples(tuple(relayed), "/s"),
            Samples(tuple(produced), "/s"),
            "aiokafka, idempotent:",
            (Aim(35_000, at_least=True, of_ratio=False, unit="/s"), Aim(0.6, at_least=True)),
        )
    ]


async def measure_with_standby(environment: Environment) -> list[Figure]:
    """The relay with a standby that every commit and every batch waits for, and with one that follows at leisure."""
    await environment.create_topics()
    rates: dict[bool, list[float]] = defaultdict(list)
    with postgres_cluster() as (primary, _):
        await migrate(primary.dsn(), SERVICES["order"].migrations)
        for number in range(environment.plan.rounds):
            environment.say(f"standby: round {number + 1} of {environment.plan.rounds}")
            for waits in (True, False) if number % 2 else (False, True):
                await asyncio.to_thread(primary.acknowledge_with_standby if waits else primary.acknowledge_alone)
                await fill(primary.dsn(), environment.plan.relay_backlog)
                rates[waits].append(await _relay(environment, primary.dsn(), await _waiting(primary.dsn())))
    return [
        Figure(
            f"relay with a synchronous standby, {environment.plan.relay_backlog:,} rows",
            Samples(tuple(rates[True]), "/s"),
            Samples(tuple(rates[False]), "/s"),
            "an asynchronous one:",
        )
    ]


async def measure_backlog(environment: Environment) -> list[Figure]:
    """How fast the first rows leave when many wait behind them, and when few do."""
    await environment.create_topics()
    plan = environment.plan
    # Two full batches a shard: what the few then still have are parts of batches, which would not compare.
    first = min(2 * SHARDS * BATCH, plan.few)
    rates: dict[int, list[float]] = defaultdict(list)
    databases = {rows: await environment.database.fresh(f"backlog_{rows}") for rows in (plan.few, plan.many)}
    for number in range(plan.backlog_rounds):
        for rows, dsn in sorted(databases.items(), reverse=bool(number % 2)):
            environment.say(f"backlog: round {number + 1} of {plan.backlog_rounds}, {rows:,} rows")
            await fill(dsn, rows - await _count(dsn))
            async with relay_at_start_line(environment, dsn) as start_line:
                started = await start_line.go()
                published = await start_line.until_published(first)
                rates[rows].append(published / (time.perf_counter() - started))
    return [
        Figure(
            f"relay with {plan.many:,} rows waiting, first {first:,}",
            Samples(tuple(rates[plan.many]), "/s"),
            Samples(tuple(rates[plan.few]), "/s"),
            f"{plan.few:,} rows waiting:",
            (Aim(0.95, at_least=True),),
        )
    ]


async def _relay(environment: Environment, dsn: str, records: list[_Record]) -> float:
    """Events a second from the first read to the last delete. Raises RuntimeError unless each came exactly once."""
    async with relay_at_start_line(environment, dsn) as start_line:
        started = await start_line.go()
        await start_line.until_published(len(records))
        await until_drained(dsn, every=0.01)
        took = time.perf_counter() - started
    await _check_exactly_once(environment, start_line.begin, records)
    return len(records) / took


async def _produce(environment: Environment, topic: str, records: list[_Record]) -> float:
    """Events a second of a producer with the relay's settings but for its transactions and its partitioner."""
    kafka = environment.kafka()
    topic = kafka.prefix + topic
    producer = AIOKafkaProducer(
        bootstrap_servers=kafka.bootstrap_servers, acks="all", enable_idempotence=True, max_batch_size=512 * 1024
    )
    await producer.start()
    try:
        await producer.partitions_for(topic)
        gc.collect()
        gc.freeze()  # the records stay; the collector need not walk them, as it need not in the order service
        started = time.perf_counter()
        acknowledged = [
            await producer.send(topic, value=record.value, key=record.key, headers=record.headers) for record in records
        ]
        await asyncio.gather(*acknowledged)
        return len(records) / (time.perf_counter() - started)
    finally:
        gc.unfreeze()
        await producer.stop()


async def _waiting(dsn: str) -> list[_Record]:
    async with connected(dsn) as connection:
        rows = await connection.fetch("select event_id, key, value, headers from outbox order by id")
    return [
        _Record(
            row["event_id"],
            row["key"].encode(),
            row["value"],
            [(name, value.encode()) for name, value in json.loads(row["headers"]).items()],
        )
        for row in rows
    ]


async def _count(dsn: str) -> int:
    async with connected(dsn) as connection:
        return int(await connection.fetchval("select count(*) from outbox"))


async def _check_exactly_once(
    environment: Environment, begin: dict[TopicPartition, int], expected: list[_Record]
) -> None:
    found: Counter[str] = Counter()
    versions: dict[str, list[int]] = defaultdict(list)
    for record in await _read(environment, begin):
        value = json.loads(record.value)
        found[value["eventId"]] += 1
        versions[value["orderId"]].append(value["orderVersion"])
    missing = sum(1 for record in expected if str(record.event_id) not in found)
    twice = sum(1 for count in found.values() if count > 1)
    disordered = sum(1 for numbers in versions.values() if numbers != sorted(numbers))
    if missing or twice or disordered or len(found) != len(expected):
        raise RuntimeError(
            f"of {len(expected)} events {missing} are missing, {twice} came twice, {disordered} orders are out of order"
        )


async def _read(environment: Environment, begin: dict[TopicPartition, int]) -> list[Any]:
    """Every committed record from `begin` to the end of the topic."""
    records: list[Any] = []
    async with topic_reader(environment.kafka(), "read_committed") as reader:
        end = await reader.end_offsets(list(begin))
        for partition, offset in begin.items():
            reader.seek(partition, offset)
        async with asyncio.timeout(_READ_WITHIN):
            while any([await reader.position(partition) < offset for partition, offset in end.items()]):
                for batch in (await reader.getmany(timeout_ms=200)).values():
                    records.extend(batch)
    return records
