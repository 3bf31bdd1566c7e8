"""What an operator sees of what could not be done, and does about it."""

import asyncio
import re
from pathlib import Path

import httpx
from uuid_utils.compat import uuid7

from messaging.ports.changes import InboxClaim
from messaging.ports.failures import Failure
from messaging.ports.record import Record
from messaging.postgres.failures import PostgresFailures
from messaging.postgres.pool import open_pool, open_pools
from order_service.application.unknown_orders import UnknownOrders
from order_service.domain.fulfilment import PaymentCaptured, StockReleased
from order_service.domain.order import OrderId
from order_service.infrastructure.unknown_orders import PostgresUnknownOrders
from tests.cli.commands import oms
from tests.domain.orders import moment
from tests.real_parts.order_process import ORDER, OrderProcess
from tests.real_parts.relays import nobody
from tests.traces.sink import sink

TRACE = "0af7651916cd43dd8448eb211c80319c"
GARBAGE = Record("inventory-events", 2, 41, "some-key", {"ce_type": "StockReserved"}, b"\xff not JSON")


async def test_a_stuck_order_is_listed_and_under_way_again_after_a_retry(tmp_path: Path, database: str) -> None:
    environment = {"ORDER_DATABASE_URL": database, "EVENT_PUBLISHER": "logging", "STEP_TIMEOUT_SECONDS": "0.02"}
    with sink() as collector:
        recording = {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
        with OrderProcess(tmp_path, environment | recording) as service:  # nobody answers its commands
            traced = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-00"}
            order_id = httpx.post(f"{service.url}/orders", json=ORDER, headers=traced).json()["orderId"]
            await _until(service.url, order_id, "STUCK")
            metrics = httpx.get(f"{service.url}/metrics").text
        listed = await oms(tmp_path, "orders", "stuck", ORDER_DATABASE_URL=database)
        collector.spans.clear()
        retried = await oms(tmp_path, "orders", "retry", order_id, ORDER_DATABASE_URL=database, **recording)
        decided = [span for span in collector.spans if span.name == "decide orders"]
    all_of_them = await oms(tmp_path, "orders", "retry", "--all", ORDER_DATABASE_URL=database)
    none_left = await oms(tmp_path, "orders", "stuck", ORDER_DATABASE_URL=database)

    assert [[trace for trace, _ in span.links] for span in decided] == [[TRACE]], "what is asked for later links back"
    assert "oms_orders_stuck 1.0" in metrics
    assert order_id in listed.output
    assert "RELEASING" in listed.output
    assert (retried.code, retried.output) == (0, f"{order_id}: CANCELLING\n"), retried.errors
    assert (all_of_them.code, all_of_them.output) == (0, "no order is stuck\n")
    assert none_left.output == "no order is stuck\n"


async def test_an_order_that_only_partners_know_is_listed_and_counted(tmp_path: Path, database: str) -> None:
    none = await oms(tmp_path, "orders", "unknown", ORDER_DATABASE_URL=database)
    async with open_pools(database) as pools:
        unknown = PostgresUnknownOrders(database, pools, nobody, max_batch=1, max_waiting=1)
        order_id = OrderId(uuid7())
        await UnknownOrders(unknown, moment).compensate(order_id, StockReleased(), InboxClaim(uuid7()))
        assert await unknown.count() == 0
        await UnknownOrders(unknown, moment).compensate(order_id, PaymentCaptured(), InboxClaim(uuid7()))
        await unknown.close()
    listed = await oms(tmp_path, "orders", "unknown", ORDER_DATABASE_URL=database)
    with OrderProcess(tmp_path, {"ORDER_DATABASE_URL": database, "EVENT_PUBLISHER": "logging"}) as service:
        metrics = httpx.get(f"{service.url}/metrics").text

    assert none.output == "no order is unknown\n"
    assert str(order_id) in listed.output
    assert "PaymentCaptured" in listed.output
    assert "oms_orders_unknown 1.0" in metrics


async def test_a_retry_of_an_order_that_is_not_there_says_so(tmp_path: Path, database: str) -> None:
    unknown = "019ab1f0-6c1e-7c8a-9d3e-0b5f6a7c8d9e"
    ended = await oms(tmp_path, "orders", "retry", unknown, ORDER_DATABASE_URL=database)

    assert (ended.code, ended.output) == (1, "")
    assert ended.errors.splitlines()[-1] == f"there is no order {unknown}"


async def test_dead_letters_are_listed_shown_and_replayed_with_their_ids(tmp_path: Path, database: str) -> None:
    await _keep(database, GARBAGE)
    environment = {"ORDER_DATABASE_URL": database}
    listed = await oms(tmp_path, "dead-letters", "list", "--service", "order", **environment)
    (number,) = re.findall(r"│ +(\d+) +│ StockReserved", listed.output)
    shown = await oms(tmp_path, "dead-letters", "show", number, "--service", "order", **environment)
    replayed = await oms(tmp_path, "dead-letters", "replay", number, "--service", "order", **environment)
    parked = await oms(tmp_path, "parked", "list", "--service", "order", **environment)
    retried = await oms(tmp_path, "parked", "retry", "--service", "order", **environment)
    nope = await oms(tmp_path, "parked", "retry", "--service", "order", "--key", "nope", **environment)
    again = await oms(tmp_path, "dead-letters", "replay", "--all", "--service", "order", **environment)

    assert "inventory-events[2]@41" in listed.output
    assert "it is not JSON" in listed.output
    assert "value:    \\xff not JSON" in shown.output
    assert "header:   ce_type: StockReserved" in shown.output
    assert (replayed.code, replayed.output) == (0, "order: 1 will be handled again by the next sweep of its consumer\n")
    assert "some-key" in parked.output
    tried = "order: parked messages will be tried by the next sweep of its consumer\n"
    assert (retried.code, retried.output) == (0, tried), retried.errors
    assert (nope.code, nope.output) == (1, "")
    assert nope.errors.splitlines()[-1] == "nothing is parked in order with the key 'nope'"
    assert (again.code, again.errors.splitlines()[-1]) == (1, "order has no such dead letter")


async def test_where_nothing_is_parked_there_is_nothing_to_try(tmp_path: Path, database: str) -> None:
    ended = await oms(tmp_path, "parked", "retry", "--service", "order", ORDER_DATABASE_URL=database)

    assert (ended.code, ended.output) == (0, "nothing is parked in order\n")


async def test_memory_has_nothing_to_look_at(tmp_path: Path) -> None:
    for command in (["orders", "stuck"], ["dead-letters", "list", "--service", "order"]):
        ended = await oms(tmp_path, *command, ORDER_DATABASE_URL="memory")
        assert ended.code == 1
        assert ended.errors.startswith(
            "ORDER_DATABASE_URL=memory is the memory of another process, which a command cannot read"
        )


async def _until(url: str, order_id: str, status: str) -> None:
    seen = None
    try:
        async with asyncio.timeout(60), httpx.AsyncClient(base_url=url) as client:
            while seen != status:
                seen = (await client.get(f"/orders/{order_id}")).json()["status"]
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"the order is {seen}, not {status}") from None


async def _keep(dsn: str, record: Record) -> None:
    async with open_pool(dsn) as pool:
        await PostgresFailures(pool).bury(Failure(record, "it is not JSON", 1))
