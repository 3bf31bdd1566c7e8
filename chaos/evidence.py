"""What the databases, the topics and the gateway say about the orders of one round."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import UUID

from aiokafka import AIOKafkaConsumer, TopicPartition

from chaos.history import Call
from chaos.installation import Installation
from oms.services import SERVICES, TOPICS
from order_service.domain.order import Order
from order_service.infrastructure.order_rows import order_of

_READ_WITHIN = 60.0


@dataclass(frozen=True, slots=True)
class Published:
    """A record as a read_committed reader finds it."""

    topic: str
    order_id: str
    event_id: str
    type: str
    order_version: int | None


@dataclass(frozen=True, slots=True)
class Evidence:
    """`calls` are the history. Rows are those of the round; `keys` are the orders' Idempotency-Keys.

    `waiting` counts the rows of all outboxes and the parked messages, `dead` all dead letters, and `unknown` the orders
    that partners know and the order service does not. `published` is everything on the topics since the last round
    ended, `repeated` what of it had been there before. `balances` is what the gateway has charged for the orders that
    no earlier round knows. `cell` is the number that the ids of all orders have to tell, if they tell one.
    """

    calls: Sequence[Call]
    orders: Mapping[str, Order]
    keys: Mapping[str, str]
    products: Sequence[Any]
    reservations: Mapping[str, str]
    payments: Mapping[str, Any]
    waiting: int
    dead: int
    unknown: int
    published: Sequence[Published]
    repeated: Sequence[Published]
    balances: Mapping[UUID, Decimal]
    cell: int | None = None


@dataclass(slots=True)
class Witness:
    """A plain read_committed reader of all topics, which goes on where it stopped, and of the gateway's books."""

    installation: Installation
    _positions: dict[TopicPartition, int] = field(default_factory=dict)
    _seen: set[tuple[str, str]] = field(default_factory=set)
    _new: list[Published] = field(default_factory=list)
    _repeated: list[Published] = field(default_factory=list)
    _earlier: set[str] = field(default_factory=set)

    async def read_on(self) -> tuple[list[Published], list[Published]]:
        """What was published in this round so far, and what of it is there twice. Raises TimeoutError."""
        kafka = self.installation.kafka
        consumer = AIOKafkaConsumer(
            bootstrap_servers=kafka.bootstrap_servers, isolation_level="read_committed", enable_auto_commit=False
        )
        try:
            async with asyncio.timeout(_READ_WITHIN):
                await consumer.start()
                await self._read(consumer)
        finally:
            await consumer.stop()
        return self._new, self._repeated

    def forget_round(self, evidence: Evidence) -> None:
        """The next round begins. Event ids are remembered, and which orders are known."""
        self._new, self._repeated = [], []
        self._earlier.update(evidence.orders)

    def balances(self) -> dict[UUID, Decimal]:
        """What the gateway has charged for orders of this round, or of none."""
        charged = self.installation.gateway.ledger.balance()
        return {order_id: amount for order_id, amount in charged.items() if str(order_id) not in self._earlier}

    async def _read(self, consumer: Any) -> None:
        prefix = self.installation.kafka.prefix
        partitions = [
            TopicPartition(prefix + topic.name, number)
            for topic in TOPICS
            if not topic.compacted
            for number in range(topic.partitions)
        ]
        consumer.assign(partitions)
        for partition in partitions:
            consumer.seek(partition, self._positions.get(partition, 0))
        ends = await consumer.end_offsets(partitions)
        for partition, end in ends.items():
            while await consumer.position(partition) < end:
                for found in (await consumer.getmany(timeout_ms=200)).values():
                    for record in found:
                        self._take(record, record.topic.removeprefix(prefix))
        self._positions = {partition: await consumer.position(partition) for partition in partitions}

    def _take(self, record: Any, topic: str) -> None:
        body = json.loads(record.value)
        published = Published(topic, record.key.decode(), body["eventId"], body["eventType"], body.get("orderVersion"))
        if (topic, published.event_id) in self._seen:
            self._repeated.append(published)
        self._seen.add((topic, published.event_id))
        self._new.append(published)


async def gather(installation: Installation, witness: Witness, calls: Sequence[Call], round_: int) -> Evidence:
    """Everything that is known about a round by now."""
    databases, ours = installation.databases, f'%"r{round_}-%'
    rows = await databases.rows("order_service", "select * from orders where lines::text like $1", ours)
    orders = {str(row["id"]): order_of(row) for row in rows}
    ids = [row["id"] for row in rows]
    of_orders = "where order_id = any($1)"
    reservations = await databases.rows(
        "inventory_service", f"select order_id, status from reservations {of_orders}", ids
    )
    payments = await databases.rows(
        "payment_service", f"select order_id, status, amount_minor from payments {of_orders}", ids
    )
    published, repeated = await witness.read_on()
    waiting, dead = 0, 0
    for service in SERVICES:
        (counts,) = await databases.rows(f"{service}_service", _OPEN)
        waiting, dead = waiting + counts["waiting"], dead + counts["dead"]
    return Evidence(
        calls=calls,
        orders=orders,
        keys={str(row["id"]): row["idempotency_key"] for row in rows},
        products=await databases.rows("inventory_service", _PRODUCTS, f"r{round_}-%"),
        reservations={str(row["order_id"]): row["status"] for row in reservations},
        payments={str(row["order_id"]): row for row in payments},
        waiting=waiting,
        dead=dead,
        unknown=(await databases.rows("order_service", "select count(*) from unknown_orders"))[0]["count"],
        published=published,
        repeated=repeated,
        balances=witness.balances(),
        cell=installation.cell,
    )


_PRODUCTS = "select id, on_hand, reserved from products where id like $1"
_OPEN = """
select (select count(*) from outbox) + (select count(*) from parked) as waiting,
       (select count(*) from dead_letters) as dead
"""
