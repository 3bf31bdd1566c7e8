"""The consumer runtime on a full topic: records a second that a service handles, and that a bare consumer reads.

Two handlers of the services as they are: the payment service's for RefundPayment of an order that was never charged
(load, a small new aggregate, an answer), and the order service's for StockReserved (load, price, the next command).
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError
from uuid_utils.compat import uuid7

from benchmarks.database import connected
from benchmarks.environment import Environment
from benchmarks.processes import running, service
from benchmarks.table import Aim, Figure, Samples
from benchmarks.waiting import until
from inventory_service import domain as inventory
from inventory_service.infrastructure.event_encoding import encode as encode_stock_event
from messaging.kafka.client import client_options
from messaging.kafka.consumer import BATCH
from messaging.kafka.packing import partition_of
from messaging.kafka.settings import KafkaSettings
from messaging.ports.message import Message
from messaging.ports.subscription import group_of
from order_service.domain.commands import RefundPayment
from order_service.infrastructure.command_encoding import encode_command
from shared_kernel.money import Money
from shared_kernel.product import ProductId

_PARTITIONS = 4
_WITHIN = 120.0

# Orders as the saga leaves them after POST. Their deadline is far, so that no sweep hands them on.
_PENDING_ORDERS = """
    insert into orders (id, status, stock_status, version, lines, created_at, updated_at, deadline)
    select id, 'PENDING', 'REQUESTED', 1, '[{"p":"p1","q":2}]', now(), now(), now() + interval '1 day'
    from unnest($1::uuid[]) as id
"""
_HANDLED = {
    "payment": "select count(*) from payments where status = 'REFUNDED'",
    "order": "select count(*) from orders where payment_status = 'REQUESTED'",
}
_KEPT = "select (select count(*) from inbox), (select count(*) from outbox), (select min(error) from parked)"


@dataclass(frozen=True, slots=True)
class _Party:
    """A service's consumer, what it finds, and what has to be there before."""

    name: str
    service: str
    message: Callable[[UUID], Message]
    prepare: Callable[[str, Sequence[UUID]], Awaitable[None]]
    aims: tuple[Aim, ...] = ()


async def measure(environment: Environment) -> list[Figure]:
    """Each party on records of its own; the bare consumer reads the same records right after."""
    plan = environment.plan
    handled: dict[str, list[float]] = defaultdict(list)
    read: dict[str, list[float]] = defaultdict(list)
    parties = (
        _Party(
            "RefundPayment",
            "payment",
            _refund,
            _nothing,
            (Aim(8_000, at_least=True, of_ratio=False, unit="/s"),),
        ),
        _Party("StockReserved, the saga", "order", _stock_reserved, _pending_orders),
    )
    for number in range(plan.rounds):
        for party in parties:
            environment.say(f"consumer: round {number + 1} of {plan.rounds}, {party.name}")
            of_service, of_bare = await _round(environment, party)
            handled[party.name].append(of_service)
            read[party.name].append(of_bare)
    return [
        Figure(
            f"consumer, {plan.consumed:,} records of {party.name}",
            Samples(tuple(handled[party.name]), "/s"),
            Samples(tuple(read[party.name]), "/s"),
            "aiokafka, reading only:",
            party.aims,
        )
        for party in parties
    ]


async def _round(environment: Environment, party: _Party) -> tuple[float, float]:
    part = f"{uuid4().hex[:8]}."
    kafka = environment.kafka(part)
    await environment.create_topics(part)
    dsn = await environment.database.fresh("consumer", party.service)
    orders = [uuid7() for _ in range(environment.plan.consumed)]
    await party.prepare(dsn, orders)
    messages = [party.message(order_id) for order_id in orders]
    await _produce(kafka, messages)
    settings = {f"{party.service.upper()}_DATABASE_URL": dsn, **environment.kafka_settings(part)}
    async with running(service(party.service, "consumer", settings)):
        rate = await _rate_of_group(kafka, group_of(party.service), len(messages))
    await _check_each_once(dsn, party.service, len(messages))
    return rate, await _rate_of_bare_consumer(kafka, messages[0].topic, len(messages))


async def _rate_of_group(kafka: KafkaSettings, group: str, records: int) -> float:
    """Records a second, seen from outside by the offsets that the group commits: from the first tenth, so that start-up
    and warm-up are not counted, to the last. Offsets are committed after the database."""
    admin = AIOKafkaAdminClient(**client_options(kafka))
    await admin.start()
    first: tuple[float, int] | None = None
    last = (0.0, 0)
    try:

        async def all_handled() -> bool:
            nonlocal first, last
            try:
                offsets = await admin.list_consumer_group_offsets(kafka.prefix + group)
            except GroupCoordinatorNotAvailableError:  # a fresh broker makes its first group's topic first
                return False
            last = time.perf_counter(), sum(max(0, offset.offset) for offset in offsets.values())
            if first is None and last[1] >= records / 10:
                first = last
            return last[1] == records

        await until(all_handled, f"{records:,} records are handled", within=_WITHIN)
    finally:
        await admin.close()
    if first is None or first == last:
        raise RuntimeError(f"{records:,} records were handled before a rate could be seen")
    return (last[1] - first[1]) / (last[0] - first[0])


async def _rate_of_bare_consumer(kafka: KafkaSettings, topic: str, records: int) -> float:
    """Records a second from the first batch to the last, by the settings of our consumer but without a group."""
    consumer = AIOKafkaConsumer(
        kafka.prefix + topic,
        **client_options(kafka),
        group_id=None,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
    )
    await consumer.start()
    try:
        async with asyncio.timeout(_WITHIN):
            first = seen = _count(await consumer.getmany(timeout_ms=10_000, max_records=BATCH))
            started = time.perf_counter()
            while seen < records:
                seen += _count(await consumer.getmany(timeout_ms=1000, max_records=BATCH))
        return (seen - first) / (time.perf_counter() - started)
    finally:
        await consumer.stop()


def _count(polled: dict[Any, list[Any]]) -> int:
    return sum(len(records) for records in polled.values())


async def _produce(kafka: KafkaSettings, messages: Sequence[Message]) -> None:
    """Onto the partitions where a relay puts them, without transactions: an offset is a record then."""
    producer = AIOKafkaProducer(**client_options(kafka), acks="all", enable_idempotence=True, max_batch_size=512 * 1024)
    await producer.start()
    try:
        acknowledged = [
            await producer.send(
                kafka.prefix + message.topic,
                key=message.key.encode(),
                value=message.value,
                headers=[(name, value.encode()) for name, value in message.headers.items()],
                partition=partition_of(message.key.encode(), _PARTITIONS),
            )
            for message in messages
        ]
        await asyncio.gather(*acknowledged)
    finally:
        await producer.stop()


async def _check_each_once(dsn: str, name: str, records: int) -> None:
    async with connected(dsn) as connection:
        handled = await connection.fetchval(_HANDLED[name])
        claims, answers, error = await connection.fetchrow(_KEPT)
    if {handled, claims, answers} != {records}:
        raise RuntimeError(
            f"of {records} records {handled} had their effect, {claims} are claimed and {answers} answered; "
            f"parked with: {error}"
        )


async def _nothing(dsn: str, orders: Sequence[UUID]) -> None: ...


async def _pending_orders(dsn: str, orders: Sequence[UUID]) -> None:
    async with connected(dsn) as connection:
        await connection.execute(_PENDING_ORDERS, orders)
        await connection.execute("vacuum (analyze) orders")
        await connection.execute("checkpoint")


def _refund(order_id: UUID) -> Message:
    return encode_command(RefundPayment(event_id=uuid7(), order_id=order_id, occurred_at=datetime.now(UTC)))


def _stock_reserved(order_id: UUID) -> Message:
    price = Money(1250, "EUR")
    return encode_stock_event(
        inventory.StockReserved(
            event_id=uuid7(),
            order_id=order_id,
            occurred_at=datetime.now(UTC),
            lines=(inventory.ReservedLine(ProductId("p1"), 2, price),),
            total=price * 2,
        )
    )
