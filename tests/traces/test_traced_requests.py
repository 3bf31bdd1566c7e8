"""Requests as spans; and what a caller, a collector and an installation can do wrong."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from prometheus_client.openmetrics import parser

from messaging.engine import tracing
from messaging.engine.tracing import FinishedSpan, Tracing
from messaging.ports.trace_context import TRACE, context_of
from tests.cli.commands import oms
from tests.http.answers import ORDER
from tests.http.conftest import client_of, running_service
from tests.real_parts.order_process import OURS, OrderProcess
from tests.traces.sink import PATIENCE, sink

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
SPAN_ID = "b7ad6b7169203331"
CALLER = {"traceparent": f"00-{TRACE_ID}-{SPAN_ID}-01"}
IN_MEMORY = {f"{service}_DATABASE_URL": "memory" for service in ("ORDER", "INVENTORY", "PAYMENT")}


@pytest.fixture
def recorded() -> Iterator[list[FinishedSpan]]:
    """Every trace is sampled."""
    spans: list[FinishedSpan] = []
    tracing.install(Tracing(spans.append, 1.0))
    yield spans
    tracing.install(None)


@pytest_asyncio.fixture
async def api(recorded: list[FinishedSpan]) -> AsyncIterator[httpx.AsyncClient]:  # noqa: ARG001  it must be on before
    """The API over a store in memory."""
    async with running_service("memory") as service, client_of(service.app) as client:
        yield client


def _requests(spans: list[FinishedSpan]) -> list[FinishedSpan]:
    return [span for span in spans if span.kind is tracing.Kind.SERVER]


async def test_a_request_goes_on_with_its_callers_trace(api: httpx.AsyncClient, recorded: list[FinishedSpan]) -> None:
    answer = await api.post("/orders", json=ORDER, headers=CALLER | {"tracestate": "vendor=1"})

    (request,) = _requests(recorded)
    assert answer.status_code == 201
    assert request.name == "POST /orders"
    assert (request.context.trace_id, request.context.state) == (TRACE_ID, "vendor=1")
    assert request.parent == context_of(TRACE_ID, SPAN_ID, is_sampled=True, state="vendor=1")
    assert request.attributes == {
        "http.request.method": "POST",
        "http.route": "/orders",
        "http.response.status_code": 201,
        "url.path": "/orders",
        "url.scheme": "http",
        "server.address": "orders",
    }
    assert request.error is None


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("traceparent", "nonsense")],
        [("traceparent", "\xff" * 55)],
        [("traceparent", f"00-{'0' * 32}-{SPAN_ID}-01")],
        [("traceparent", CALLER["traceparent"]), ("traceparent", CALLER["traceparent"])],
        [("tracestate", "vendor=1")],
    ],
)
async def test_without_a_valid_header_a_request_begins_a_trace(
    api: httpx.AsyncClient, recorded: list[FinishedSpan], headers: list[tuple[str, str]]
) -> None:
    encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    answer = await api.post("/orders", json=ORDER, headers=encoded)

    (request,) = _requests(recorded)
    assert answer.status_code == 201
    assert request.parent is None
    assert request.context.trace_id != TRACE_ID
    assert request.context.state == ""


async def test_the_name_of_a_span_is_its_route_and_never_what_a_caller_wrote(
    api: httpx.AsyncClient, recorded: list[FinishedSpan]
) -> None:
    await api.get("/orders/01890f00-0000-7000-8000-000000000000")
    await api.get("/no/such/page")
    await api.request("BREW", "/orders")

    assert [span.name for span in _requests(recorded)] == ["GET /orders/{orderId}", "HTTP", "HTTP /orders"]


async def test_what_is_recorded_has_no_body_no_key_and_no_parameter(
    api: httpx.AsyncClient, recorded: list[FinishedSpan]
) -> None:
    await api.post("/orders?secret-1", json=ORDER | {"customerId": "secret-2"}, headers={"Idempotency-Key": "secret-3"})

    assert "secret" not in repr(recorded)


async def test_health_and_metrics_are_not_traced(api: httpx.AsyncClient, recorded: list[FinishedSpan]) -> None:
    for path in ("/health/live", "/health/ready", "/metrics"):
        await api.get(path)

    assert not recorded


async def test_a_slow_request_can_be_found_by_the_exemplar_of_its_metric(api: httpx.AsyncClient) -> None:
    await api.post("/orders", json=ORDER, headers=CALLER)
    answer = await api.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})

    exemplars = [
        sample.exemplar.labels["trace_id"]
        for family in parser.text_string_to_metric_families(answer.text)  # type: ignore[no-untyped-call]
        if family.name == "oms_http_request_seconds"
        for sample in family.samples
        if sample.exemplar
    ]
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert TRACE_ID in exemplars


async def test_no_trace_outlives_its_request(api: httpx.AsyncClient) -> None:
    await api.post("/orders", json=ORDER, headers=CALLER)

    assert TRACE.get() is None


async def test_a_log_line_names_its_trace(tmp_path: Path) -> None:
    traced = {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_TRACES_SAMPLER_ARG": "0", "LOG_LEVEL": "DEBUG"}
    with OrderProcess(tmp_path, IN_MEMORY | traced | {"EVENT_PUBLISHER": "logging"}, "serve", "order") as service:
        httpx.post(f"{service.url}/orders", json=ORDER, headers=CALLER)
        async with asyncio.timeout(PATIENCE):
            while not (lines := [line for line in service.log.splitlines() if '"answered"' in line and "POST" in line]):
                await asyncio.sleep(0.02)

    assert json.loads(lines[0])["trace_id"] == TRACE_ID


async def test_a_collector_that_hangs_costs_its_spans_and_no_order_and_they_are_counted(tmp_path: Path) -> None:
    with sink() as collector:
        collector.open.clear()
        traced = {
            "OTEL_TRACES_EXPORTER": "otlp",
            "OTEL_TRACES_SAMPLER_ARG": "1",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_BSP_MAX_QUEUE_SIZE": "64",
        }
        with OrderProcess(tmp_path, IN_MEMORY | traced, "up", "--quiet") as service:
            ended = await oms(tmp_path, "load", "--url", service.url, "-n", "100", "-c", "8")
            metrics = httpx.get(f"{service.url}/metrics").text
            service.send(signal.SIGTERM)
            code = await asyncio.to_thread(service.wait, 30)

    assert ended.code == 0, ended.errors
    dropped = [line for line in metrics.splitlines() if line.startswith('oms_spans_dropped_total{reason="queue_full"}')]
    assert dropped, metrics
    assert float(dropped[0].split()[-1]) > 0
    assert code == 0, "a hanging collector does not keep a process from stopping"


async def test_a_process_that_records_nothing_imports_nothing_of_it_and_says_what_is_missing_otherwise(
    tmp_path: Path,
) -> None:
    without = (
        "import sys; sys.modules['opentelemetry.sdk'] = None; sys.argv = ['oms', *sys.argv[1:]]; import oms; oms.main()"
    )
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(OURS)}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", without, "serve", "order", "--port", "1"),
        env=inherited | IN_MEMORY | {"EVENT_PUBLISHER": "logging", "OTEL_TRACES_EXPORTER": "otlp"},
        cwd=tmp_path,
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await process.communicate()

    assert process.returncode == 1
    assert "install distributed-oms[telemetry], or set OTEL_TRACES_EXPORTER=none" in errors.decode()
    assert "Traceback" not in errors.decode()
