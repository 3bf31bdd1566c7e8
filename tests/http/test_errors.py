"""Errors that are not about an order's content: unknown paths, a store that is away, and our own mistakes."""

from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from http_api import errors
from messaging.memory.outbox import MemoryOutbox
from messaging.ports.changes import Created, Duplicate, StoreOverloaded, StoreUnavailable, Written
from order_service.application.ports import OrderCreation, OrderWrite
from order_service.domain.fulfilment import Reaction
from order_service.domain.order import Order, OrderId
from order_service.infrastructure.memory_orders import MemoryOrders
from tests.http.answers import ORDER, assert_error
from tests.http.conftest import api_on, client_of, running_service
from tests.real_parts.kafka import free_port

SECRET = "postgresql://oms:hunter2@db.internal/orders"

MISSING = "019ab1f0-6c1e-7c8a-9d3e-0b5f6a7c8d9e"  # an id of the right kind that no order has
EVERY_ROUTE = [
    ("POST", "/orders"),
    ("GET", "/orders"),
    ("GET", f"/orders/{MISSING}"),
    ("POST", f"/orders/{MISSING}/cancel"),
    ("POST", f"/orders/{MISSING}/complete"),
]


class FailingOrders(MemoryOrders):
    """A store whose every method raises."""

    def __init__(self, error: Exception) -> None:
        super().__init__(MemoryOutbox())
        self._error = error

    async def create(self, creation: OrderCreation) -> Created | Duplicate:  # noqa: ARG002
        """Raise."""
        raise self._error

    async def write(self, write: OrderWrite) -> Written[Order, Reaction]:  # noqa: ARG002
        """Raise."""
        raise self._error

    async def find(self, order_id: OrderId) -> Order | None:  # noqa: ARG002
        """Raise."""
        raise self._error

    async def newest(self, **_: object) -> list[Order]:
        """Raise."""
        raise self._error


async def _ask(api: httpx.AsyncClient, method: str, path: str) -> httpx.Response:
    return await api.request(method, path, json=ORDER if method == "POST" else None)


@pytest.mark.parametrize(("method", "path"), EVERY_ROUTE)
@pytest.mark.parametrize(
    "error",
    [
        StoreOverloaded("too many orders are waiting"),
        StoreUnavailable("the database does not answer"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_what_may_succeed_in_a_moment_is_a_503_that_says_when_to_try_again(
    error: Exception, method: str, path: str
) -> None:
    async with api_on(FailingOrders(error)) as api:
        answer = await _ask(api, method, path)

    assert_error(answer, 503, "Service unavailable", {"service": str(error)})
    assert answer.headers["retry-after"] == "1"


async def test_the_log_says_why_requests_are_refused_and_does_not_repeat_it_for_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(errors, "_next_refusal_at", 0.0)
    with capture_logs() as lines:
        async with api_on(FailingOrders(StoreUnavailable("the database does not answer (DiskFullError)"))) as api:
            for _ in range(3):
                await _ask(api, "POST", "/orders")

    refusals = [line for line in lines if line["event"] == "requests are refused"]
    assert [line["why"] for line in refusals] == ["the database does not answer (DiskFullError)"]


@pytest.mark.parametrize(("method", "path"), EVERY_ROUTE)
async def test_our_own_mistake_is_a_500_that_tells_nothing_of_our_insides(method: str, path: str) -> None:
    mistake = RuntimeError(f"cannot connect to {SECRET}")
    with capture_logs() as lines:
        async with api_on(FailingOrders(mistake)) as api:
            answer = await _ask(api, method, path)

    (line,) = [line for line in lines if line["log_level"] == "error"]
    assert (line["exc_info"], line["method"], line["path"]) == (mistake, method, path), "the log does say it"
    assert_error(answer, 500, "Internal server error", {})
    for inside in ("hunter2", "cannot connect", "RuntimeError", "Traceback"):
        assert inside not in answer.text
        assert inside not in str(answer.headers)
    assert answer.headers["x-request-id"]


@pytest_asyncio.fixture
async def api_without_its_database() -> AsyncIterator[httpx.AsyncClient]:
    """The service, told of a database that is not there."""
    nowhere = f"postgresql://oms:hunter2@127.0.0.1:{free_port()}/orders"
    async with running_service(nowhere) as service, client_of(service.app) as client:
        yield client


@pytest.mark.parametrize(("method", "path"), EVERY_ROUTE)
async def test_without_its_database_the_service_runs_and_says_503(
    api_without_its_database: httpx.AsyncClient, method: str, path: str
) -> None:
    answer = await _ask(api_without_its_database, method, path)

    sentences = assert_error(answer, 503, "Service unavailable")
    assert sentences["service"].startswith("the database does not answer")
    assert answer.headers["retry-after"] == "1"
    assert "hunter2" not in answer.text


@pytest.mark.parametrize("path", ["/order", "/orders/1/2/3", "/redoc", "/orders/%2e%2e/cancel/x", "/ORDERS"])
async def test_a_path_that_is_not_there_is_a_404(memory_api: httpx.AsyncClient, path: str) -> None:
    for method in ("GET", "POST", "DELETE"):
        assert_error(await memory_api.request(method, path), 404, "Not Found", {})


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/orders", {"GET", "HEAD", "POST"}),
        (f"/orders/{MISSING}", {"GET", "HEAD"}),
        (f"/orders/{MISSING}/cancel", {"POST"}),
        (f"/orders/{MISSING}/complete", {"POST"}),
        ("/health/live", {"GET", "HEAD"}),
        ("/metrics", {"GET", "HEAD"}),
    ],
)
async def test_a_method_that_a_path_does_not_have_is_a_405_that_names_those_it_has(
    memory_api: httpx.AsyncClient, path: str, allowed: set[str]
) -> None:
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"} - allowed:
        answer = await memory_api.request(method, path)

        assert_error(answer, 405, "Method Not Allowed", {})
        assert set(answer.headers["allow"].split(", ")) == allowed


@pytest.mark.parametrize("request_id", ["abc", "019ab1f0-6c1e-7c8a:9d3e.1_x", "x" * 64])
@pytest.mark.parametrize(("method", "path"), [*EVERY_ROUTE[:3], ("GET", "/nowhere"), ("GET", "/health/live")])
async def test_every_answer_carries_the_request_id_of_the_client(
    memory_api: httpx.AsyncClient, method: str, path: str, request_id: str
) -> None:
    answer = await memory_api.request(method, path, json=ORDER, headers={"X-Request-Id": request_id})

    assert answer.headers.get_list("x-request-id") == [request_id]


@pytest.mark.parametrize("harmful", [b"", b"x" * 65, b"a b", b"a\tb", b'a"b', b"\xff", b"<script>"])
async def test_a_request_id_that_could_do_harm_in_a_log_is_replaced(
    memory_api: httpx.AsyncClient, harmful: bytes
) -> None:
    answer = await memory_api.get("/health/live", headers=[(b"X-Request-Id", harmful)])

    assert answer.headers["x-request-id"].encode() != harmful
    assert answer.headers["x-request-id"]


async def test_every_request_without_an_id_gets_one_of_its_own(memory_api: httpx.AsyncClient) -> None:
    answers = [await memory_api.get("/health/live") for _ in range(10)]

    assert len({answer.headers["x-request-id"] for answer in answers}) == 10
