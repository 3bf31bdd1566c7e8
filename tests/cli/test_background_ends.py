"""A part of a process that ends by itself ends the process: in order, with its name in the log, and status 1."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import typer
from structlog.testing import capture_logs

from http_api.access.settings import AuthSettings
from inventory_service.settings import InventorySettings
from messaging.kafka.settings import KafkaSettings
from messaging.runtime.settings import PublisherKind
from oms import showing
from oms.environment import run
from oms.service_process import run_all
from order_service.settings import OrderSettings
from payment_service.settings import PaymentSettings
from tests.real_parts.kafka import free_port
from tests.real_parts.waiting import DEADLINE


def _up(
    kind: PublisherKind = PublisherKind.IN_PROCESS, kafka: KafkaSettings | None = None, *, events: bool = False
) -> Coroutine[Any, Any, None]:
    """`oms up` with nothing on disk."""
    settings = {
        "order": OrderSettings(order_database_url="memory", event_publisher=kind),
        "inventory": InventorySettings(inventory_database_url="memory", event_publisher=kind),
        "payment": PaymentSettings(payment_database_url="memory", event_publisher=kind),
    }
    where = ("127.0.0.1", free_port())
    return run_all(
        settings, kafka or KafkaSettings(), AuthSettings(), *where, samples=False, quiet=False, events=events
    )


def _ended(main: Coroutine[Any, Any, None]) -> tuple[int, list[Any]]:
    """Run to the end: the status, and what was logged."""
    with capture_logs() as logs:
        try:
            run(main)
        except typer.Exit as ended:
            return ended.exit_code, logs
    return 0, logs


async def _end(process: Coroutine[Any, Any, None], name: str) -> None:
    """Run the process, and cancel the task of that name in it as soon as everything runs."""
    running = asyncio.create_task(process)
    async with asyncio.timeout(DEADLINE):
        while not (found := _named(name)) or not _named("the HTTP server"):
            assert not running.done(), running
            await asyncio.sleep(0.01)
        found[0].cancel()
        await running


def _named(name: str) -> list[asyncio.Task[Any]]:
    return [task for task in asyncio.all_tasks() if task.get_name() == name]


def _assert_ended_by(name: str, how: str, ended: tuple[int, list[Any]]) -> None:
    status, logs = ended
    critical = [line for line in logs if line["log_level"] == "critical"]
    assert status == 1, logs
    assert [line["event"] for line in critical] == [
        "stopping without a signal",
        "ended, because a part of it does not go on",
    ]
    assert {line["reason"] for line in critical[-1:]} == {f"{name} {how}"}
    assert not [line for line in logs if line["event"] in ("does not stop", "did not stop in order")]


@pytest.mark.parametrize(
    "name",
    [
        "shard 2 of the order relay",
        "the inventory relay",
        "the counting of relays by the payment relay",
        "the payment sweep of payments in doubt",
        "the inventory sweep of parked records",
    ],
)
def test_a_task_that_is_cancelled(name: str) -> None:
    _assert_ended_by(name, "was cancelled", _ended(_end(_up(), name)))


@pytest.mark.parametrize("name", ["the deliveries to inventory-service", "the tail of order-events"])
def test_a_task_that_is_cancelled_with_kafka(kafka: KafkaSettings, name: str) -> None:
    _assert_ended_by(name, "was cancelled", _ended(_end(_up(PublisherKind.KAFKA, kafka), name)))


def test_the_http_server_that_is_cancelled() -> None:
    status, logs = _ended(_end(_up(), "the HTTP server"))

    assert status == 1, logs
    assert [line["reason"] for line in logs if line["log_level"] == "critical"] == ["the HTTP server was cancelled"]


@pytest.mark.parametrize(
    ("part", "name"),
    [
        ("messaging.engine.relay.Relay._share_with_other_relays", "the counting of relays by the order relay"),
        ("messaging.engine.relay.Relay._keep_publishing", "shard 0 of the order relay"),
        ("messaging.runtime.roles.every", "the order sweep of inbox partitions"),
    ],
)
def test_a_task_that_raises(monkeypatch: pytest.MonkeyPatch, part: str, name: str) -> None:
    async def broken(*_: object) -> None:
        await asyncio.sleep(0.1)
        raise ZeroDivisionError("a mistake")

    monkeypatch.setattr(part, broken)
    status, logs = _ended(_up())

    assert status == 1, logs
    assert logs[-1]["reason"] == f"{name} ended: ZeroDivisionError: a mistake"
    assert isinstance(logs[-1]["exc_info"], ZeroDivisionError), "a mistake is shown with its traceback"


@pytest.mark.parametrize(("events", "wanted"), [(False, 2), (True, 6)])
def test_showing_what_a_broker_does_not_answer_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, kafka: KafkaSettings, events: bool, wanted: int
) -> None:
    """A blip of the broker ends nothing."""
    tries: list[str] = []

    async def blip(_: KafkaSettings, topic: str, **_options: object) -> None:
        tries.append(topic)
        if tries.count(topic) == 1:
            raise ConnectionError("away")
        await asyncio.Event().wait()

    async def main(ready: Callable[[], bool]) -> None:
        up = asyncio.create_task(_up(PublisherKind.KAFKA, kafka, events=events))
        async with asyncio.timeout(DEADLINE):
            while not ready():
                assert not up.done(), up
                await asyncio.sleep(0.01)
        up.cancel()
        await asyncio.wait({up})

    monkeypatch.setattr(showing, "tail", blip)
    monkeypatch.setattr(showing, "_SHOWN_AGAIN_AFTER", 0.01)
    status, logs = _ended(main(lambda: len(tries) == wanted))

    assert status == 0, logs
    assert sorted(tries) == sorted(["order-events", "inventory-events", "payment-events"][: wanted // 2] * 2)
