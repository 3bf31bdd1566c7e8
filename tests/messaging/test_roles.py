"""What a process does beside its API begins at once, and stops in order."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from messaging.brokerless.in_process import InProcessBroker
from messaging.memory.outbox import MemoryOutbox
from messaging.ports.event_publisher import EventPublisher, OpenPublisher
from messaging.ports.message import Message
from messaging.ports.outbox import Batch, Position
from messaging.ports.record import Record
from messaging.ports.subscription import CaughtUp, Subscriber, Subscription
from messaging.runtime.roles import Sweep, run_roles
from messaging.runtime.settings import Role
from messaging.runtime.storage import memory_storage
from tests.messaging.messages import messages_in
from tests.messaging.records import SOURCE, TOPIC, failure, record
from tests.real_parts.waiting import DEADLINE


class SlowTransport:
    """Publishes when it is let, and delivers nothing."""

    def __init__(self) -> None:
        self.begun, self.go_on = asyncio.Event(), asyncio.Event()
        self.published: list[Message] = []

    async def publish(self, batch: Batch) -> None:
        """See EventPublisher."""
        self.begun.set()
        await self.go_on.wait()
        self.published.extend(batch.messages)

    async def last_position(self) -> Position | None:
        """See EventPublisher."""
        return None

    @asynccontextmanager
    async def _open(self, shard: int) -> AsyncIterator[EventPublisher]:  # noqa: ARG002
        yield self

    def publishers(self, service: str) -> OpenPublisher:  # noqa: ARG002
        """See Transport."""
        return self._open

    @asynccontextmanager
    async def deliver(
        self,
        group: str,  # noqa: ARG002
        topics: Sequence[str],  # noqa: ARG002
        subscriber: Subscriber,  # noqa: ARG002
    ) -> AsyncIterator[CaughtUp]:
        """See Transport."""
        yield lambda: True


async def test_a_batch_at_hand_is_published_and_deleted_before_the_relay_stops() -> None:
    outbox, transport, stop = MemoryOutbox(), SlowTransport(), asyncio.Event()

    async def service() -> None:
        storage = memory_storage("test", outbox)
        async with run_roles(frozenset({Role.RELAY}), "test", storage, transport, subscriptions=[]):
            await stop.wait()

    running = asyncio.create_task(service())
    outbox.add(at_hand := messages_in(1, 3))
    async with asyncio.timeout(DEADLINE):
        await transport.begun.wait()
        stop.set()
        for _ in range(5):
            await asyncio.sleep(0)
        assert not running.done()
        transport.go_on.set()
        await running

    assert transport.published == at_hand
    assert outbox.depth_and_age()[0] == 0, "it would be published again"


async def test_sweeps_begin_with_the_service_and_not_after_their_first_pause() -> None:
    swept = asyncio.Event()

    async def action() -> None:
        swept.set()

    storage = memory_storage("test", MemoryOutbox())
    roles = run_roles(
        frozenset({Role.CONSUMER}),
        "test",
        storage,
        InProcessBroker(),
        subscriptions=[],
        sweeps=lambda _: [Sweep("a sweep", 3600.0, action)],
    )
    async with asyncio.timeout(DEADLINE), roles:
        await swept.wait()


async def test_a_record_that_was_parked_before_the_start_is_handled() -> None:
    handled: list[Record] = []
    done = asyncio.Event()

    async def handle(record: Record) -> None:
        handled.append(record)
        done.set()

    storage = memory_storage("test", MemoryOutbox())
    parked = record("a key")
    await storage.failures.park([failure(parked)])
    roles = run_roles(
        frozenset({Role.CONSUMER}),
        "test",
        storage,
        InProcessBroker(),
        subscriptions=[Subscription(TOPIC, {"StockReserved": handle}, SOURCE)],
    )
    async with asyncio.timeout(DEADLINE), roles:
        await done.wait()

    assert handled == [parked]


@pytest.mark.parametrize(
    ("roles", "works"), [(frozenset(), set()), (frozenset({Role.API}), {"the test record of refusals"})]
)
async def test_a_process_without_a_role_runs_nothing_of_it(roles: frozenset[Role], works: set[str]) -> None:
    async def action() -> None:
        pytest.fail("it sweeps")

    storage = memory_storage("test", MemoryOutbox())
    before = asyncio.all_tasks()
    async with run_roles(
        roles, "test", storage, SlowTransport(), subscriptions=[], sweeps=lambda _: [Sweep("a sweep", 0.0, action)]
    ) as relay:
        assert relay is None
        assert {task.get_name() for task in asyncio.all_tasks() - before} == works
