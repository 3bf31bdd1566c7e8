"""The stores of the services at a simulated server: those in memory, behind group commits and the network."""

from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from inventory_service.infrastructure.memory import MemoryStock
from messaging.engine.group_commit import GroupCommitter
from messaging.engine.refused_access import RefusedAccess
from messaging.memory.failures import MemoryFailures
from messaging.ports.audit import AuditEntry
from messaging.ports.changes import InboxClaim, Written
from messaging.ports.outbox import shard_of
from messaging.ports.store_health import HEALTHY
from messaging.runtime.service import Service
from messaging.runtime.settings import ServiceSettings
from messaging.runtime.storage import ServiceStorage
from order_service.infrastructure.memory_orders import MemoryOrders
from payment_service.infrastructure.memory import MemoryPayments
from simulation.event_loop import SimulatedLoop
from simulation.postgres.outbox import OutboxTable, SimulatedOutbox
from simulation.postgres.server import Server

_WRITING: Final = frozenset({"change_product", "claim_due", "claim_inherited", "park", "bury", "postpone", "forget"})
"""Methods that commit, beside the group commits."""


@dataclass
class Database:
    """The committed state of one service, at its server."""

    service: str
    server: Server
    loop: SimulatedLoop
    committed: Callable[["Database"], None] = lambda _: None
    """Is told of each commit."""
    fails: Callable[[Hashable], bool] = lambda _: False
    """True for rows that no message can change now."""
    outbox: OutboxTable = field(init=False)
    store: Any = field(init=False)
    failures: MemoryFailures = field(init=False)

    def __post_init__(self) -> None:
        self.outbox = OutboxTable(self.loop)
        self.failures = MemoryFailures()
        match self.service:
            case "order":
                self.store = MemoryOrders(self.outbox, lambda: datetime.fromtimestamp(self.loop.time(), UTC))
            case "inventory":
                self.store = MemoryStock(self.outbox)
            case _:
                self.store = MemoryPayments(self.outbox, self.loop.time)
        self.store._rows.claimed = InOrder()


class InOrder(dict[UUID, None]):
    """A set that remembers in which order its members came."""

    def add(self, member: UUID) -> None:
        """Add a member."""
        self[member] = None


class SimulatedStore:
    """A store of one process. Creations and writes are group commits, as in PostgreSQL, and all else is a statement."""

    def __init__(self, database: Database, outbox: SimulatedOutbox, settings: ServiceSettings) -> None:
        self._database = database
        self._outbox = outbox
        self._writes = self._committer("writes", settings, lambda: database.store.write)
        self._creations = self._committer("creations", settings, lambda: database.store.create)
        if hasattr(database.store, "unknown"):
            self.unknown = Remote(database.server, database.store.unknown, "unknown orders")

    def _committer(
        self, name: str, settings: ServiceSettings, method: Callable[[], Callable[[Any], Awaitable[Any]]]
    ) -> GroupCommitter[Any, Any]:
        async def commit(batch: Sequence[Any]) -> Sequence[Any]:
            return await self._commit(name, method(), batch)

        return GroupCommitter(
            [commit] * settings.commit_connections,
            name=name,
            max_batch=settings.commit_batch_max,
            max_waiting=settings.commit_queue_max,
        )

    async def _commit(self, name: str, method: Callable[[Any], Awaitable[Any]], batch: Sequence[Any]) -> Sequence[Any]:
        """One transaction. Each write's exception is its own."""
        outbox = self._database.outbox
        numbers: list[int] = []
        shards: set[int] = set()

        async def transaction() -> list[Any]:
            outbox.use_numbers(numbers[0])
            results = []
            for each in batch:
                try:
                    if isinstance(getattr(each, "claim", None), InboxClaim) and self._database.fails(_row_of(each)):
                        raise RuntimeError("this row cannot be changed now")  # noqa: TRY301  as the store would
                    results.append(await method(each))
                except Exception as error:  # noqa: BLE001  the write that caused it gets it
                    results.append(error)
            self._database.committed(self._database)
            return results

        rows: list[Hashable] = [*dict.fromkeys(_row_of(each) for each in batch)]
        results = await self._database.server.run(
            f"{len(batch)} {name}", transaction, rows, lambda: numbers.append(outbox.take_numbers())
        )
        for each, result in zip(batch, results, strict=True):
            if not isinstance(result, Exception) and (not isinstance(result, Written) or result.decision is not None):
                shards.add(shard_of(str(_row_of(each))))
        self._outbox.wake(sorted(shards))
        return results

    @property
    def is_full(self) -> bool:
        """See the stores."""
        return self._creations.is_full

    async def write(self, write: Any) -> Any:
        """See the stores."""
        return await self._writes.commit(write)

    async def create(self, creation: Any) -> Any:
        """See OrderStore."""
        return await self._creations.commit(creation)

    def __getattr__(self, name: str) -> Any:
        return getattr(Remote(self._database.server, self._database.store, self._database.service), name)

    async def close(self) -> None:
        """Answer every accepted write."""
        await self._creations.close()
        await self._writes.close()


class Remote:
    """The methods of something at a server, as statements."""

    def __init__(self, server: Server, target: object, name: str) -> None:
        self._server = server
        self._target = target
        self._name = name

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._target, name)
        rows = [self._name] if name in _WRITING or self._name == "unknown orders" else []

        async def statement(*arguments: Any, **named: Any) -> Any:
            return await self._server.run(f"{self._name}: {name}", lambda: method(*arguments, **named), rows)

        return statement


def _row_of(write: Any) -> Hashable:
    row: Hashable = write.aggregate.id.value if hasattr(write, "aggregate") else write.id
    return row


@asynccontextmanager
async def open_simulated_store(
    databases: Mapping[str, Database], service: Service, settings: ServiceSettings
) -> AsyncIterator[tuple[SimulatedStore, ServiceStorage]]:
    """See open_store."""
    database = databases[service.name]
    outbox = SimulatedOutbox(database.server, database.outbox)
    store = SimulatedStore(database, outbox, settings)

    async def nothing() -> None: ...

    async def healthy() -> Any:
        return HEALTHY

    async def no_trail(_: Sequence[AuditEntry]) -> None: ...

    failures: Any = Remote(database.server, database.failures, f"{service.name} failures")
    try:
        yield (
            store,
            ServiceStorage(
                outbox, failures, healthy, nothing, nothing, nothing, RefusedAccess(service.name, no_trail), nothing
            ),
        )
    finally:
        outbox.leave()
        await store.close()
