"""A database that lacks a table or a permission makes the service wait; one order that it refuses is parked."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg
import pytest
from structlog.testing import capture_logs
from uuid_utils.compat import uuid7

from inventory_service.bootstrap import inventory_service
from inventory_service.infrastructure import event_encoding
from inventory_service.settings import InventorySettings
from messaging.brokerless.in_process import InProcessBroker
from messaging.engine import consumer as consumer_module
from messaging.ports.outbox import Batch
from messaging.ports.record import Record
from tests.inventory_service.commands import items, message
from tests.inventory_service.conftest import fetch
from tests.real_parts.waiting import DEADLINE, until

ROLE = "limited"
AT_ONCE = 40

_ROLE = f"""
    do $$ begin create role {ROLE} login; exception when duplicate_object then null; end $$;
    grant all on all tables in schema public to {ROLE};
    grant all on all sequences in schema public to {ROLE};
    alter table inbox owner to {ROLE};
"""
_POISON = """
    create function refuse() returns trigger language plpgsql as
    $$ begin if new.order_id = '{order}' then raise exception 'not this one'; end if; return new; end $$;
    create trigger refuse before insert on reservations for each row execute function refuse();
"""
FAULTS = {
    "a table is gone": (
        "alter table reservations rename to gone",
        "alter table gone rename to reservations",
    ),
    "a column is gone": (
        "alter table reservations rename column reason to gone",
        "alter table reservations rename column gone to reason",
    ),
    "a permission is gone": (
        f"revoke insert, update on reservations from {ROLE}",
        f"grant insert, update on reservations to {ROLE}",
    ),
    "parked records cannot be looked at": (
        f"revoke select on parked from {ROLE}",
        f"grant select on parked to {ROLE}",
    ),
}


class Orders:
    """Asks for stock, and remembers the answers."""

    def __init__(self, broker: InProcessBroker) -> None:
        self._broker = broker
        self._rows = iter(range(1_000_000))
        self.answered: list[str] = []

    async def hear(self, records: Sequence[Record]) -> None:
        """A Subscriber of the answers."""
        self.answered += [record.key for record in records]

    async def reserve(self, *orders: UUID) -> None:
        """Return when the commands of these orders are handled, or parked."""
        commands = [message("ReserveStock", order, items=items(("p5", 1))) for order in orders]
        await self._broker.publish(Batch([next(self._rows) for _ in commands], commands))

    async def until_answered(self, orders: Sequence[UUID]) -> None:
        """Wait for the answers."""

        async def all_are() -> bool:
            return {str(order) for order in orders} <= set(self.answered)

        await until(all_are, f"{len(orders)} orders are answered")


@asynccontextmanager
async def _running(dsn: str) -> AsyncIterator[Orders]:
    await _execute(dsn, _ROLE)
    broker = InProcessBroker()
    orders = Orders(broker)
    settings = InventorySettings(inventory_database_url=dsn.replace("postgres:@", f"{ROLE}:@"))
    async with (
        broker.deliver("order-service", [event_encoding.TOPIC], orders.hear),
        inventory_service(settings, broker, samples=True),
        broker.delivering(),
    ):
        yield orders


async def _execute(dsn: str, statements: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statements)
    finally:
        await connection.close()


async def _kept(dsn: str) -> list[str]:
    return [row["key"] for row in await fetch(dsn, "select key from parked union all select key from dead_letters")]


@pytest.mark.parametrize(("break_it", "mend_it"), FAULTS.values(), ids=FAULTS)
async def test_what_the_database_lacks_parks_nobody_and_when_it_is_mended_everything_goes_on(
    inventory_database: str, monkeypatch: pytest.MonkeyPatch, break_it: str, mend_it: str
) -> None:
    monkeypatch.setattr(consumer_module, "_STORE_PAUSE", 0.05)
    before, during = uuid7(), [uuid7() for _ in range(AT_ONCE + 3)]
    with capture_logs() as logs:
        async with _running(inventory_database) as orders, asyncio.timeout(DEADLINE):
            await orders.reserve(before)
            await _execute(inventory_database, break_it)
            waiting = [asyncio.create_task(orders.reserve(*during[:AT_ONCE]))]
            waiting += [asyncio.create_task(orders.reserve(order)) for order in during[AT_ONCE:]]

            async def tried_often() -> bool:
                return len([line for line in logs if line["event"] == "waiting for the store"]) >= 8

            await until(tried_often, "the service tries again")
            assert not [task for task in waiting if task.done()]
            assert await _kept(inventory_database) == []
            await _execute(inventory_database, mend_it)
            await asyncio.gather(*waiting)
            await orders.until_answered([before, *during])

    assert await _kept(inventory_database) == []
    assert len(orders.answered) == 1 + len(during), "each is answered once"


async def test_one_order_that_the_database_refuses_is_parked_and_the_others_are_answered(
    inventory_database: str,
) -> None:
    poisoned, others = uuid7(), [uuid7() for _ in range(9)]
    async with _running(inventory_database) as orders, asyncio.timeout(DEADLINE):
        await _execute(inventory_database, _POISON.format(order=poisoned))
        await orders.reserve(*others[:4], poisoned, *others[4:])
        await orders.until_answered(others)

        assert await _kept(inventory_database) == [str(poisoned)]
        await _execute(inventory_database, "drop trigger refuse on reservations")
        await orders.until_answered([poisoned])

        async def forgotten() -> bool:
            return await _kept(inventory_database) == []

        await until(forgotten, "the parked record is forgotten once it is handled")
