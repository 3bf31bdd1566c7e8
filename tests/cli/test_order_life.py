"""`oms orders show` tells one order's life: what was done, by whom, what is waited for, and what went wrong."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from uuid_utils.compat import uuid7

from messaging.ports.changes import StoreUnavailable
from messaging.ports.failures import Failure
from messaging.ports.record import Record
from messaging.postgres.failures import PostgresFailures
from messaging.postgres.pinned import LOOKING
from messaging.postgres.pool import open_pool
from tests.cli.commands import Ended, oms
from tests.real_parts.kafka import Broker, free_port
from tests.real_parts.order_process import ORDER
from tests.real_parts.postgres import PostgresServer
from tests.real_parts.three_services import ThreeServices, all_in_one, three_services

ENDS_OF_TRANSACTIONS = 8
UNKNOWN = "019ab1f0-6c1e-7c8a-9d3e-0b5f6a7c8d9e"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ThreeServices]:
    """All services in one process, without a broker."""
    async with all_in_one(postgres, tmp_path_factory.mktemp("shop")) as services:
        yield services


def environment_of(services: ThreeServices) -> dict[str, str]:
    return {f"{name.upper()}_DATABASE_URL": dsn for name, dsn in services.databases.items()}


async def settled(url: str, body: dict[str, Any]) -> str:
    """The id of a new order, once it is settled."""
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        order_id: str = (await client.post("/orders", json=body)).json()["orderId"]
        (await client.get(f"/orders/{order_id}", headers={"Prefer": "wait=30"})).raise_for_status()
    return order_id


def steps_of(ended: Ended) -> list[tuple[str, str]]:
    return [(step["who"], step["what"]) for step in json.loads(ended.output)["steps"]]


async def test_a_confirmed_order_is_shown_step_by_step(shop: ThreeServices, tmp_path: Path) -> None:
    order_id = await settled(shop.url("order"), ORDER | {"customerId": "Käthe"})
    shown = await oms(tmp_path, "orders", "show", order_id, **environment_of(shop))
    told = await oms(tmp_path, "orders", "show", order_id, "--json", **environment_of(shop))
    ascii_only = await oms(tmp_path, "orders", "show", order_id, PYTHONIOENCODING="ascii", **environment_of(shop))

    assert (shown.code, shown.errors) == (0, "")
    assert (ascii_only.code, ascii_only.errors) == (0, "")
    assert r"customer K\xe4the" in ascii_only.output
    assert "status CONFIRMED, stock RESERVED, payment CAPTURED, total 25.00 EUR, customer Käthe" in shown.output
    for words in ("CONFIRMED: payment captured", "RESERVED: 2 of p1", "reference simulated-"):
        assert words in shown.output
    assert "waits for      nothing\nparked         none\ndead letters   none\n" in shown.output
    assert "no broker is set" in shown.output
    assert told.code == 0
    assert steps_of(told)[0] == ("order", "PENDING")
    assert steps_of(told)[-1] == ("order", "CONFIRMED")
    times = [step["at"] for step in json.loads(told.output)["steps"]]
    assert times == sorted(times)


async def test_what_is_parked_or_dead_of_an_order_is_shown_with_it(shop: ThreeServices, tmp_path: Path) -> None:
    order_id = str(uuid7())
    evil = "\x1b[2J [/bold] it is not JSON"
    parked, dead = (
        Record("inventory-commands", 3, at, order_id, {"ce_type": "ReserveStock", "ce_id": str(uuid7())}, b"{")
        for at in (7, 8)
    )
    async with open_pool(shop.databases["inventory"]) as pool:
        await PostgresFailures(pool).park([Failure(parked, evil, 4)])
        await PostgresFailures(pool).postpone(1, evil, 3600)  # the running consumer would try it
        await PostgresFailures(pool).bury(Failure(dead, evil, 1))
    shown = await oms(tmp_path, "orders", "show", order_id, **environment_of(shop))
    told = json.loads((await oms(tmp_path, "orders", "show", order_id, "--json", **environment_of(shop))).output)

    assert shown.code == 0, shown.errors
    assert "inventory-commands[3]@7" in shown.output
    assert "inventory-commands[3]@8" in shown.output
    assert r"\x1b[2J [/bold] it is not JSON" in shown.output
    ((one,), (other,)) = told["parked"], told["deadLetters"]
    assert (one["service"], one["offset"], one["attempts"], one["error"]) == ("inventory", 7, 5, evil)
    assert (other["service"], other["offset"], other["nextAttemptAt"]) == ("inventory", 8, None)


async def test_an_order_that_is_not_there_and_an_id_that_is_none_are_one_sentence(
    tmp_path: Path, shop: ThreeServices
) -> None:
    unknown = await oms(tmp_path, "orders", "show", UNKNOWN, "--json", **environment_of(shop))
    assert (unknown.code, unknown.output, unknown.errors) == (1, "", f"there is no order {UNKNOWN}\n")
    for wrong in ("x", "", "7", "f47ac10b-58cc-4372-a567-0e02b2c3d479", "\x1b[2J"):
        ended = await oms(tmp_path, "orders", "show", "--", wrong)
        assert (ended.code, ended.output) == (2, "")
        assert ended.errors == f"an order id is a UUID of version 7, as POST /orders answers it, not {wrong!r}\n"


async def test_a_database_that_is_away_is_named_and_the_rest_is_shown(shop: ThreeServices, tmp_path: Path) -> None:
    order_id = await settled(shop.url("order"), ORDER)
    away = {"PAYMENT_DATABASE_URL": f"postgresql://127.0.0.1:{free_port()}/payments"}
    shown = await oms(tmp_path, "orders", "show", order_id, **environment_of(shop) | away)
    told = await oms(tmp_path, "orders", "show", order_id, "--json", **environment_of(shop) | away)
    nobody = await oms(tmp_path, "orders", "show", UNKNOWN, **environment_of(shop) | away)

    assert (shown.code, told.code, nobody.code) == (3, 3, 3)
    assert "not read       payment database: the database of PAYMENT_DATABASE_URL cannot be used: " in shown.output
    assert "parked         unknown" in shown.output
    assert json.loads(told.output)["notRead"].keys() == {"payment database", "topics"}
    assert nobody.errors.startswith(f"there is no order {UNKNOWN} in what could be read; not read: payment database: ")
    assert len(nobody.errors.splitlines()) == 1


async def test_looking_cannot_write_and_waits_for_nobody(database: str) -> None:
    async with open_pool(database, LOOKING) as pool:
        with pytest.raises(StoreUnavailable, match="ReadOnlySQLTransactionError"):
            await PostgresFailures(pool).retry()
        limits = await pool.fetchrow("select current_setting('statement_timeout'), current_setting('lock_timeout')")
    assert tuple(limits) == ("5s", "1s")


async def test_every_message_of_an_order_is_found_on_its_topic(
    broker: Broker, postgres: PostgresServer, tmp_path: Path
) -> None:
    async with three_services(broker, postgres, tmp_path) as services:
        assert services.kafka is not None
        kafka = {"KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers, "KAFKA_PREFIX": services.kafka.prefix}
        environment = environment_of(services) | kafka
        confirmed = await settled(services.url("order"), ORDER)
        whole = await oms(tmp_path, "orders", "show", confirmed, "--json", **environment)
        status = await oms(tmp_path, "status", "--json", **environment)
        services.kill("inventory")
        async with httpx.AsyncClient(base_url=services.url("order"), timeout=60) as client:
            waiting = (await client.post("/orders", json=ORDER)).json()["orderId"]
        shown = await oms(tmp_path, "orders", "show", waiting, **environment)

    assert whole.code == 0, whole.errors
    life = json.loads(whole.output)
    messages = {step["what"]: step for step in life["steps"] if step["messageId"]}
    assert list(messages) == [
        *("OrderCreatedEvent", "ReserveStock", "StockReserved"),
        *("ChargePayment", "PaymentCaptured", "OrderConfirmedEvent"),
    ]
    assert messages["ReserveStock"]["topic"] == "inventory-commands"
    assert messages["ReserveStock"]["offset"] == 0
    assert {step["outcome"] for step in messages.values()} == {
        None, "handled by inventory", "handled by order", "handled by payment",
    }  # fmt: skip
    assert life["notRead"] == {}
    system = json.loads(status.output)
    assert (status.code, system["verdict"]) == (0, "well"), status.output
    for service in system["services"].values():
        assert service["consumers"] == 1
        assert service["lag"] <= ENDS_OF_TRANSACTIONS
    assert shown.code == 0, shown.errors
    assert "waits for      order: StockReserved or StockRejected, until " in shown.output


@pytest.mark.parametrize("address", ["postgresql://127.0.0.1:1/orders", "memory"])
async def test_without_any_database_there_is_nothing_to_show(tmp_path: Path, address: str) -> None:
    nothing = {f"{name}_DATABASE_URL": address for name in ("ORDER", "INVENTORY", "PAYMENT")}
    ended = await oms(tmp_path, "orders", "show", UNKNOWN, **nothing)

    assert (ended.code, ended.output) == (1, "")
    assert "ORDER_DATABASE_URL" in ended.errors
    assert "Traceback" not in ended.errors
