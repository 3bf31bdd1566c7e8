"""What operators ask: /health, /metrics and /docs."""

import asyncio
import re
from pathlib import Path

import asyncpg
import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from http_api.health import Health, HealthChecks
from messaging.kafka.settings import KafkaSettings
from messaging.ports.store_health import HEALTHY, StoreHealth
from messaging.runtime.settings import PublisherKind, Role
from messaging.runtime.transport import LoggingTransport
from order_service.bootstrap import order_service
from order_service.settings import OrderSettings
from payment_service.infrastructure import gateway_metrics
from tests.http.answers import ORDER, assert_error, placed
from tests.http.conftest import client_of, running_service
from tests.real_parts.kafka import free_port
from tests.real_parts.waiting import DEADLINE

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"


def _nowhere() -> str:
    return f"postgresql://oms@127.0.0.1:{free_port()}/orders"


async def test_a_service_that_can_store_orders_is_ready(api: httpx.AsyncClient) -> None:
    answer = await api.get("/health/ready")

    assert answer.status_code == 200
    assert answer.json() == {
        "status": "UP",
        "checks": {"database": "UP", "schema": "UP", "commitQueue": "UP", "broker": "UNKNOWN"},
    }, "a process that does not relay knows nothing of the broker"


async def test_without_its_database_a_service_is_alive_and_not_ready() -> None:
    async with running_service(_nowhere()) as service, client_of(service.app) as api:
        live, ready = await api.get("/health/live"), await api.get("/health/ready")

    assert (live.status_code, live.json()) == (200, {"status": "UP", "checks": {}})
    assert ready.status_code == 503
    assert ready.json()["status"] == ready.json()["checks"]["database"] == "DOWN"


@pytest.mark.parametrize(
    ("database_hangs", "queue_is_full", "expected"),
    [(False, True, ("DOWN", "UP", "DOWN")), (True, False, ("DOWN", "DOWN", "UP")), (False, False, ("UP", "UP", "UP"))],
    ids=["queue is full", "database hangs", "all is well"],
)
async def test_readiness_is_what_orders_need(
    monkeypatch: pytest.MonkeyPatch, database_hangs: bool, queue_is_full: bool, expected: tuple[str, str, str]
) -> None:
    monkeypatch.setattr("http_api.health.CHECK_WITHIN_SECONDS", 0.01)

    async def database() -> StoreHealth:
        if database_hangs:
            await asyncio.Event().wait()
        return HEALTHY

    async def nothing() -> None: ...

    async with asyncio.timeout(DEADLINE):
        ready = await HealthChecks(database, lambda: queue_is_full, lambda: Health.DOWN, nothing).ready()

    assert (ready.status, ready.checks["database"], ready.checks["commitQueue"]) == expected


async def test_without_its_broker_a_service_is_ready_and_takes_orders() -> None:
    nobody = KafkaSettings(bootstrap_servers=f"127.0.0.1:{free_port()}")
    async with running_service("memory", nobody) as service, client_of(service.app) as api:
        async with asyncio.timeout(DEADLINE):
            while (ready := await api.get("/health/ready")).json()["checks"]["broker"] != "DOWN":
                await asyncio.sleep(0.01)

        assert (ready.status_code, ready.json()["status"]) == (200, "UP")
        await placed(api)


async def test_a_service_that_is_stopping_is_alive_not_ready_and_still_answers() -> None:
    async with running_service("memory") as service, client_of(service.app) as api:
        service.stop_taking_requests()
        live, ready = await api.get("/health/live"), await api.get("/health/ready")

        assert (live.status_code, ready.status_code, ready.json()["status"]) == (200, 503, "DOWN")
        await placed(api)


async def test_every_metric_that_the_operations_guide_names_is_there_and_no_other(api: httpx.AsyncClient) -> None:
    order_id = await placed(api)
    await api.post(f"/orders/{order_id}/cancel")
    answer = await api.get("/metrics")

    assert answer.headers["content-type"].startswith("text/plain")
    measured = {
        family.name + ("_total" if family.type == "counter" else "")
        for family in text_string_to_metric_families(answer.text)
        if family.name.startswith("oms_") and not family.name.endswith("_created")
    }
    documented = set(re.findall(r"^\| `(oms_\w+)", OPERATIONS.read_text(), re.MULTILINE))
    assert gateway_metrics, "imported, so that the payment service's metrics are there, too"
    assert measured == documented


def _requests(exposition: str) -> dict[tuple[str, str, str], float]:
    return {
        (sample.labels["method"], sample.labels["route"], sample.labels["status"]): sample.value
        for family in text_string_to_metric_families(exposition)
        for sample in family.samples
        if sample.name == "oms_http_requests_total"
    }


async def test_requests_are_counted_by_method_route_and_status_and_never_by_what_a_client_invents(
    memory_api: httpx.AsyncClient,
) -> None:
    before = _requests((await memory_api.get("/metrics")).text)
    order_id = await placed(memory_api)
    await memory_api.post("/orders", json={"items": []})
    await memory_api.get(f"/orders/{order_id}")
    await memory_api.post(f"/orders/{order_id}/cancel")
    await memory_api.get("/invented")
    await memory_api.request("INVENTED", "/orders", json=ORDER)
    after = _requests((await memory_api.get("/metrics")).text)

    grown = {labels: value - before.get(labels, 0) for labels, value in after.items() if value != before.get(labels)}
    assert grown == {
        ("POST", "/orders", "201"): 1,
        ("POST", "/orders", "400"): 1,
        ("GET", "/orders/{orderId}", "200"): 1,
        ("POST", "/orders/{orderId}/cancel", "202"): 1,
        ("GET", "unmatched", "404"): 1,
        ("other", "/orders", "405"): 1,
        ("GET", "/metrics", "200"): 1,
    }


async def test_the_outbox_is_measured_when_metrics_are_asked_for(api: httpx.AsyncClient) -> None:
    for _ in range(3):
        await placed(api)

    samples = {
        sample.name: sample.value
        for family in text_string_to_metric_families((await api.get("/metrics")).text)
        for sample in family.samples
        if family.name.startswith("oms_outbox") and sample.labels["service"] == "order"
    }
    assert samples["oms_outbox_depth"] == 6, "an event and a command of each order"
    assert 0 < samples["oms_outbox_oldest_age_seconds"] < 60


async def test_while_the_database_is_away_there_are_metrics_and_the_outbox_is_not_a_number() -> None:
    async with running_service(_nowhere()) as service, client_of(service.app) as api:
        answer = await api.get("/metrics")

    assert answer.status_code == 200
    assert 'oms_outbox_depth{service="order"} NaN' in answer.text
    assert 'oms_outbox_oldest_age_seconds{service="order"} NaN' in answer.text
    assert "oms_http_requests_total" in answer.text


async def test_while_somebody_holds_a_lock_on_everything_there_are_metrics_in_time(database: str) -> None:
    somebody = await asyncpg.connect(database)
    async with running_service(database) as service, client_of(service.app) as api:
        await api.get("/metrics")
        async with somebody.transaction():
            await somebody.execute("lock table orders, outbox in access exclusive mode")
            began = asyncio.get_running_loop().time()
            answer = await api.get("/metrics")
            took = asyncio.get_running_loop().time() - began
    await somebody.close()

    assert took < 8, "Prometheus waits ten seconds by default, and a statement waits as long for a lock"
    assert 'oms_outbox_depth{service="order"} NaN' in answer.text
    assert "oms_orders_stuck NaN" in answer.text


async def test_a_process_that_serves_no_orders_serves_health_and_metrics() -> None:
    settings = OrderSettings(order_database_url="memory", event_publisher=PublisherKind.LOGGING)
    relays = order_service(settings, LoggingTransport(), frozenset({Role.RELAY}))
    async with relays as service, client_of(service.app) as api:
        assert (await api.get("/health/ready")).json()["checks"]["broker"] == "UP"
        assert (await api.get("/metrics")).status_code == 200
        assert_error(await api.post("/orders", json=ORDER), 404)


async def test_the_documentation_loads_nothing_from_the_internet(memory_api: httpx.AsyncClient) -> None:
    page = (await memory_api.get("/docs")).text
    loaded = re.findall(r"""(?:src|href)=["']([^"']+)["']|url: '([^']+)'""", page)
    paths = [first or second for first, second in loaded]

    assert {path.rsplit("/", 1)[-1] for path in paths} == {
        "swagger-ui.css",
        "swagger-ui-bundle.js",
        "favicon.png",
        "openapi.json",
    }
    for path in paths:
        assert path.startswith("/"), f"{path} is on another server"
        assert (await memory_api.get(path)).status_code == 200, path
    assert "://" not in page


async def test_the_documentation_shows_how_to_place_an_order(memory_api: httpx.AsyncClient) -> None:
    page, document = await memory_api.get("/docs"), (await memory_api.get("/openapi.json")).json()

    assert page.status_code == 200
    assert "/openapi.json" in page.text
    operation = document["paths"]["/orders"]["post"]
    reference = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    schema = document["components"]["schemas"][reference.rsplit("/", 1)[-1]]
    assert schema["examples"] == [ORDER]
    assert operation["parameters"][0]["name"] == "Idempotency-Key"
    assert {"201", "400", "413", "415", "422", "503"} <= operation["responses"].keys()
    assert (await memory_api.post("/orders", json=schema["examples"][0])).status_code == 201
