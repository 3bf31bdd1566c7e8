"""Keeps the revenue of confirmed orders in SQLite. Each order counts once, also when this program is killed.

pip install "aiokafka[zstd]"
python revenue.py revenue.sqlite
"""

import asyncio
import json
import os
import sqlite3
import sys

from aiokafka import AIOKafkaConsumer

PREFIX = os.environ.get("KAFKA_PREFIX", "")


def handle(database: sqlite3.Connection, event: dict) -> None:
    """One transaction has the work and the event's id. So an event that comes again changes nothing."""
    with database:
        new = database.execute("insert or ignore into handled values (?)", [event["eventId"]]).rowcount
        counts = new and event["eventType"] == "OrderConfirmedEvent"  # types of a later day are ignored, too
        if counts:
            revenue = [event["orderId"], event["total"]["amount"], event["total"]["currency"]]
            database.execute("insert into revenue values (?, ?, ?)", revenue)
    if counts:
        print(*revenue, flush=True)


async def main(path: str) -> None:
    """Read until the program is ended."""
    database = sqlite3.connect(path)
    database.execute("create table if not exists handled (event_id text primary key)")
    database.execute("create table if not exists revenue (order_id text primary key, amount text, currency text)")
    consumer = AIOKafkaConsumer(
        f"{PREFIX}order-events",
        bootstrap_servers=os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "localhost:9092"),
        group_id=f"{PREFIX}revenue",
        isolation_level="read_committed",  # records of aborted transactions are no events; aiokafka's default has them
        enable_auto_commit=False,  # an offset is committed after its work
        auto_offset_reset="earliest",
    )
    async with consumer:
        while True:
            batches = await consumer.getmany(timeout_ms=1000)
            for records in batches.values():
                for record in records:
                    handle(database, json.loads(record.value))
            if batches:
                await consumer.commit()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
