"""The faults of the firing campaign, and the alerts that each is for."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias

import asyncpg
import httpx
from aiokafka import AIOKafkaProducer
from uuid_utils.compat import uuid7

from messaging.kafka.publisher import open_kafka_publisher
from messaging.ports.message import cloud_event
from messaging.ports.outbox import SHARDS
from tests.campaigns.firing_stage import Stage
from tests.real_parts.order_process import Load

Inject: TypeAlias = Callable[[Stage], AbstractAsyncContextManager[None]]


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that is there while its block runs, and the alerts that it must make fire."""

    name: str
    alerts: Sequence[str]
    inject: Inject


def _burns(name: str) -> list[str]:
    return [f"{name}{how}" for how in ("Fast", "Steadily", "Slowly", "OverBudget")]


@asynccontextmanager
async def killed(on: Stage, *names: str) -> AsyncIterator[None]:
    await on.stopped(*names)
    try:
        yield
    finally:
        await on.started(*names)


@asynccontextmanager
async def _database_away(on: Stage) -> AsyncIterator[None]:
    await asyncio.to_thread(on.primary.kill)
    try:
        yield
    finally:
        await asyncio.to_thread(on.primary.start)


@asynccontextmanager
async def _table_locked(on: Stage) -> AsyncIterator[None]:
    """Somebody holds a lock on all orders, and more customers come than before."""
    stop = asyncio.Event()
    customers = asyncio.create_task(Load.nothing().run(on.url, stop, clients=40))
    connection = await asyncpg.connect(on.primary.dsn("order_service"))
    try:
        async with connection.transaction():
            await connection.execute("lock table orders in access exclusive mode")
            yield
    finally:
        await connection.close()
        stop.set()
        await customers


@asynccontextmanager
async def _standby_killed(on: Stage) -> AsyncIterator[None]:
    await asyncio.to_thread(on.primary.acknowledge_with_standby)
    await asyncio.to_thread(on.standby.kill)
    try:
        yield
    finally:
        await asyncio.to_thread(on.primary.acknowledge_alone)
        await asyncio.to_thread(on.standby.start)


@asynccontextmanager
async def _standby_paused(on: Stage) -> AsyncIterator[None]:
    await asyncio.to_thread(on.standby.pause)
    try:
        yield
    finally:
        await asyncio.to_thread(on.standby.resume)


@asynccontextmanager
async def _broker_hangs(on: Stage) -> AsyncIterator[None]:
    on.broker.pause()
    try:
        yield
    finally:
        on.broker.resume()


@asynccontextmanager
async def _broker_hangs_shortly(on: Stage) -> AsyncIterator[None]:
    """For longer than a request has, and for less than a batch has."""

    async def hanging() -> None:
        while True:
            async with _broker_hangs(on):
                await asyncio.sleep(11)
            await asyncio.sleep(8)

    again = asyncio.create_task(hanging())
    try:
        yield
    finally:
        again.cancel()
        await asyncio.wait({again})


@asynccontextmanager
async def _second_installation(on: Stage) -> AsyncIterator[None]:
    """Another installation with the same prefix takes the shards."""
    async with AsyncExitStack() as publishers:
        for shard in range(SHARDS):
            await publishers.enter_async_context(open_kafka_publisher(on.kafka, "order", shard))
        yield


@asynccontextmanager
async def transaction_open(on: Stage, seconds: float = 60) -> AsyncIterator[None]:
    """The broker ends it after so many seconds."""
    topic, servers = f"{on.kafka.prefix}inventory-commands", on.kafka.bootstrap_servers
    async with AIOKafkaProducer(
        bootstrap_servers=servers, transactional_id=f"hanging-{uuid7()}", transaction_timeout_ms=int(seconds * 1000)
    ) as producer:
        await producer.begin_transaction()
        for partition in range(4):
            await producer.send_and_wait(topic, b"{}", b"hanging", partition=partition)
        try:
            yield
        finally:
            await producer.abort_transaction()


@asynccontextmanager
async def poisoned_order(on: Stage) -> AsyncIterator[None]:
    """The inventory cannot store one product's reservations."""
    connection = await asyncpg.connect(on.primary.dsn("inventory_service"))
    try:
        await connection.execute(
            """
            create function poison() returns trigger language plpgsql as
            $$ begin if new.lines::text like '%scarce%' then raise 'poisoned'; end if; return new; end $$;
            create trigger poison before insert on reservations for each row execute function poison();
            """
        )
        await _place(on, "scarce")
        yield
        await connection.execute("drop trigger poison on reservations; drop function poison()")
    finally:
        await connection.close()


@asynccontextmanager
async def _garbage(on: Stage) -> AsyncIterator[None]:
    async with AIOKafkaProducer(bootstrap_servers=on.kafka.bootstrap_servers) as producer:
        await producer.send_and_wait(f"{on.kafka.prefix}inventory-commands", b"garbage", b"nobody")
    yield


@asynccontextmanager
async def _lost_order(on: Stage) -> AsyncIterator[None]:
    """A partner answers about an order that the order service does not have."""
    answer = cloud_event(
        event_id=uuid7(),
        event_type="PaymentCaptured",
        event_version=1,
        occurred_at=datetime.now(UTC),
        source="/payment-service",
        topic="payment-events",
        order_id=uuid7(),
        data={},
    )
    headers = [(name, value.encode()) for name, value in answer.headers.items()]
    async with AIOKafkaProducer(bootstrap_servers=on.kafka.bootstrap_servers) as producer:
        topic = f"{on.kafka.prefix}{answer.topic}"
        await producer.send_and_wait(topic, answer.value, answer.key.encode(), headers=headers)
    yield


@asynccontextmanager
async def _damaged_row(on: Stage) -> AsyncIterator[None]:
    """An order whose row this release cannot read."""
    order_id = await _place(on, "p1")
    connection = await asyncpg.connect(on.primary.dsn("order_service"))
    try:
        await connection.execute("update orders set lines = '[1]' where id = $1", order_id)
        asking = asyncio.create_task(_ask_for(on, order_id))
        yield
        asking.cancel()
        await connection.execute("delete from orders where id = $1", order_id)
    finally:
        await connection.close()


async def _ask_for(on: Stage, order_id: str) -> None:
    async with httpx.AsyncClient(base_url=on.url, timeout=30) as client:
        while True:
            await client.get(f"/orders/{order_id}")
            await asyncio.sleep(0.5)


async def _place(on: Stage, product: str) -> str:
    async with httpx.AsyncClient(base_url=on.url, timeout=30) as client:
        answer = await client.post("/orders", json={"items": [{"productId": product, "quantity": 1}]})
    return str(answer.raise_for_status().json()["orderId"])


@asynccontextmanager
async def _gateway_away(on: Stage) -> AsyncIterator[None]:
    on.gateway.stop()
    try:
        yield
    finally:
        on.gateway.start()


@asynccontextmanager
async def gateway_slow(on: Stage, most_seconds: float = 1.6) -> AsyncIterator[None]:
    """A call takes up to so many seconds."""

    async def holding() -> None:
        while True:
            with on.gateway.slow():
                await asyncio.sleep(most_seconds)
            await asyncio.sleep(0.01)

    slow = asyncio.create_task(holding())
    try:
        yield
    finally:
        slow.cancel()
        await asyncio.wait({slow})


@asynccontextmanager
async def _nobody_calls(on: Stage) -> AsyncIterator[None]:
    """The payment service is killed while its calls are in doubt."""
    async with _gateway_away(on):
        await asyncio.sleep(3)
        async with killed(on, "payment"):
            yield


@asynccontextmanager
async def _no_cpu_time(on: Stage) -> AsyncIterator[None]:
    """The scheduler stops a process for a second, again and again."""

    async def stopping() -> None:
        while True:
            on.processes["order-api"].send(signal.SIGSTOP)
            await asyncio.sleep(0.9)
            on.processes["order-api"].send(signal.SIGCONT)
            await asyncio.sleep(0.4)

    stopped = asyncio.create_task(stopping())
    try:
        yield
    finally:
        stopped.cancel()
        await asyncio.wait({stopped})
        on.processes["order-api"].send(signal.SIGCONT)


FAULTS = (
    Fault("the relay of the order service is killed", ["ShardsNotOwned", "OutboxOld", "ProcessDown"],
          lambda on: killed(on, "order-relay")),
    Fault("the consumer of the order service is killed",
          ["ConsumerStalled", "ConsumerLags", *_burns("OrdersSettleLate")], lambda on: killed(on, "order-consumer")),
    Fault("a key is poisoned: the inventory cannot store its reservation", ["RecordsParked"], poisoned_order),
    Fault("garbage is sent to a topic of commands", ["DeadLetters"], _garbage),
    Fault("a partner answers about an order that is lost", ["OrdersUnknown"], _lost_order),
    Fault("a row of an order is damaged", ["InternalErrors"], _damaged_row),
    Fault("a producer dies and leaves its transaction open", ["TransactionHangs"], transaction_open),
    Fault("a second installation has the same prefix", ["RelaysFenced"], _second_installation),
    Fault("the payment gateway is slow", ["GatewaySlow"], gateway_slow),
    Fault("the payment gateway is away", ["GatewayInDoubt"], _gateway_away),
    Fault("the payment service is killed while calls are in doubt", ["PaymentsOverdue"], _nobody_calls),
    Fault("a process gets no CPU time", ["EventLoopLags"], _no_cpu_time),
    Fault("somebody holds a lock on all orders", ["CommitQueueFills"], _table_locked),
    Fault("the synchronous standby is killed", ["StandbyAway", "CommitsWaitForStandby"], _standby_killed),
    Fault("a standby hangs", ["StandbyLags"], _standby_paused),
    Fault("the broker hangs", ["PublishingFails"], _broker_hangs),
    Fault("the broker hangs for eleven seconds, again and again", ["RequestsUnanswered"], _broker_hangs_shortly),
    Fault("the database is killed", ["DatabaseAway", "ConsumerWaits", *_burns("PostsFail")], _database_away),
    Fault("the inventory service is killed", ["MetricsAbsent", "OrdersTakenBack", "OrdersStuck"],
          lambda on: killed(on, "inventory")),
)  # fmt: skip
