"""Every payment store there is, with a look at what it leaves behind; and a real gateway."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio

from messaging.memory.outbox import MemoryOutbox
from messaging.ports.changes import InboxClaim
from messaging.postgres.pool import open_pools
from messaging.runtime.migrations import migrate
from payment_service.application.ports import PaymentStore, PaymentWrite
from payment_service.domain.payment import Step
from payment_service.infrastructure.database import MIGRATIONS
from payment_service.infrastructure.memory import MemoryPayments
from payment_service.infrastructure.postgres import PostgresPayments
from tests.payment_service.payments import taking
from tests.real_parts.payment_gateway import RealGateway, real_gateway
from tests.real_parts.postgres import PostgresServer
from tests.real_parts.relays import nobody
from tests.real_parts.waiting import DEADLINE

_TEMPLATE = "template_payments"


@dataclass(frozen=True, slots=True)
class StoreUnderTest:
    """A store; the same payments as another instance of the service sees them; and what is kept beside them."""

    payments: PaymentStore
    another: PaymentStore
    messages: Callable[[], Awaitable[list[tuple[str, str]]]]
    """The (key, type) of every message in the outbox, each shard in order."""
    claims: Callable[[], Awaitable[set[UUID]]]
    """The events that were claimed."""

    async def write(self, write: PaymentWrite) -> bool:
        """Write; say whether it had an effect. A write that is never answered is an error."""
        async with asyncio.timeout(DEADLINE):
            return (await self.payments.write(write)).decision is not None

    async def take(self, step: Step, claim: InboxClaim | None = None) -> bool:
        """Store a step that was decided already."""
        return await self.write(taking(step, claim))


@pytest.fixture(scope="session")
def payments_template(postgres: PostgresServer) -> str:
    """A database with the service's whole schema, to be cloned."""
    postgres.execute(f"drop database if exists {_TEMPLATE}")  # other folders use this fixture, and have made it
    postgres.execute(f"create database {_TEMPLATE}")
    asyncio.run(migrate(postgres.dsn_of(_TEMPLATE), MIGRATIONS))
    return _TEMPLATE


@pytest.fixture
def payments_database(postgres: PostgresServer, payments_template: str) -> Iterator[str]:
    """The DSN of an empty database of the service, for this test alone."""
    name = f"payments_{uuid.uuid4().hex[:12]}"
    postgres.execute(f"create database {name} template {payments_template}")
    yield postgres.dsn_of(name)
    postgres.execute(f"drop database if exists {name} with (force)")


@asynccontextmanager
async def postgres_payments(dsn: str) -> AsyncIterator[PostgresPayments]:
    """The store as one instance of the service has it."""
    async with open_pools(dsn) as pools:
        payments = PostgresPayments(dsn, pools, nobody, connections=1, max_batch=500, max_waiting=1000)
        yield payments
        await payments.close()


@pytest.fixture(params=["memory", "postgres"])
def store_dsn(request: pytest.FixtureRequest) -> str | None:
    """Where the store keeps its payments; None is memory."""
    return str(request.getfixturevalue("payments_database")) if request.param == "postgres" else None


@pytest_asyncio.fixture
async def store(store_dsn: str | None) -> AsyncIterator[StoreUnderTest]:
    """A store with nothing in it."""
    if store_dsn is None:
        outbox = MemoryOutbox()
        memory = MemoryPayments(outbox)

        async def waiting() -> list[tuple[str, str]]:
            return [(message.key, message.type) for rows in outbox._rows for message in rows.values()]

        async def inbox() -> set[UUID]:
            return set(memory._rows.claimed)

        yield StoreUnderTest(memory, memory, waiting, inbox)
        return
    async with postgres_payments(store_dsn) as payments, postgres_payments(store_dsn) as another:
        sql = await asyncpg.connect(store_dsn)

        async def messages() -> list[tuple[str, str]]:
            rows = await sql.fetch("select key, headers->>'ce_type' as type from outbox order by shard, id")
            return [(row["key"], row["type"]) for row in rows]

        async def claims() -> set[UUID]:
            return {row["event_id"] for row in await sql.fetch("select event_id from inbox")}

        yield StoreUnderTest(payments, another, messages, claims)
        await sql.close()


@pytest.fixture
def gateway() -> Iterator[RealGateway]:
    """A real gateway, with empty books."""
    with real_gateway() as running:
        yield running
