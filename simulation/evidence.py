"""What the databases, the topics and the gateway of a simulation say, for the checks of the chaos campaign."""

import json
from collections.abc import Iterator, Sequence
from decimal import Decimal

from aiokafka.record.default_records import DefaultRecordBatch

from chaos.evidence import Evidence, Published
from chaos.history import Call
from simulation.installation import Installation
from simulation.kafka.partition import Partition


def gather(installation: Installation, calls: Sequence[Call]) -> Evidence:
    """Everything as it is now."""
    databases = installation.databases
    orders, stock, payments = (databases[name].store for name in ("order", "inventory", "payment"))
    published = [
        record for partitions in installation.cluster.topics.values() for each in partitions for record in read(each)
    ]
    seen: set[tuple[str, str]] = set()
    repeated = []
    for record in published:
        if (record.topic, record.event_id) in seen:
            repeated.append(record)
        seen.add((record.topic, record.event_id))
    keys = {str(first.first): key for (_, key), first in orders._firsts.items()}
    return Evidence(
        calls=calls,
        orders={str(order_id): order for order_id, order in orders._rows.rows.items()},
        keys=keys,
        products=[
            {"id": each.id.value, "reserved": each.reserved, "on_hand": each.on_hand}
            for each in stock._products.values()
        ],
        reservations={str(order_id): each.status.value for order_id, each in stock._rows.rows.items()},
        payments={
            str(order_id): {"status": each.status.value, "amount_minor": each.amount.minor if each.amount else 0}
            for order_id, each in payments._rows.rows.items()
        },
        waiting=sum(len(each.outbox.since) + len(each.failures._waiting) for each in databases.values()),
        dead=sum(len(each.failures.dead) for each in databases.values()),
        unknown=len(orders.unknown._rows.rows),
        published=published,
        repeated=repeated,
        balances={
            order_id: amount for order_id, amount in installation.gateway.balances.items() if amount != Decimal()
        },
    )


def read(partition: Partition) -> Iterator[Published]:
    """The records as a read_committed reader finds them."""
    if partition.topic.endswith("outbox-positions"):
        return
    below = partition.last_stable_offset
    for batch in partition.log:
        if batch.is_marker or batch.first >= below:
            continue
        if any(
            each.producer_id == batch.producer_id and each.first <= batch.first < each.last
            for each in partition.aborted
        ):
            continue
        for record in DefaultRecordBatch(batch.data):
            body = json.loads(record.value)
            yield Published(
                partition.topic,
                (record.key or b"").decode(),
                body["eventId"],
                body["eventType"],
                body.get("orderVersion"),
            )
