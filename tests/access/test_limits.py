"""One caller cannot take the service from the others."""

import asyncio
import math
from collections.abc import AsyncIterator

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send

from http_api.access.current import CALLER
from http_api.access.limit_callers import LimitCallers
from http_api.access.limits import MOST_CALLERS, Allowed, Limits, RateLimit, TooMany
from http_api.request_context import RequestContext
from shared_kernel.caller import Caller


class Clock:
    """A clock that is moved by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@given(
    per_second=st.floats(0.1, 1000, allow_nan=False),
    pauses=st.lists(st.floats(0, 2, allow_nan=False), min_size=1, max_size=300),
)
def test_in_no_time_are_there_more_requests_than_the_burst_and_the_rate_allow(
    per_second: float, pauses: list[float]
) -> None:
    clock = Clock()
    limit = RateLimit(Limits(per_second, at_once=10**6), clock)
    allowed: list[float] = []
    for pause in pauses:
        clock.now += pause
        if isinstance(limit.begin("shop"), Allowed):
            allowed.append(clock.now)

    for first, began in enumerate(allowed):
        for last in range(first, len(allowed)):
            assert last - first + 1 <= limit.limits.burst + per_second * (allowed[last] - began) + 1e-6


@given(per_second=st.floats(0.1, 1000, allow_nan=False), requests=st.integers(1, 300))
def test_who_waits_as_long_as_was_said_is_let_in(per_second: float, requests: int) -> None:
    clock = Clock()
    limit = RateLimit(Limits(per_second, at_once=10**6), clock)

    for _ in range(requests):
        answer = limit.begin("shop")
        if isinstance(answer, TooMany):
            clock.now += answer.again_in + 1e-6
            assert isinstance(limit.begin("shop"), Allowed)


def test_the_answer_says_how_many_requests_may_follow() -> None:
    limit = RateLimit(Limits(per_second=5, at_once=100), Clock())

    answers = [limit.begin("shop") for _ in range(6)]

    assert [answer.left for answer in answers if isinstance(answer, Allowed)] == [4, 3, 2, 1, 0]
    refused = answers[-1]
    assert isinstance(refused, TooMany)
    assert refused.again_in == pytest.approx(0.2)
    assert refused.sentence == "at most 5 requests a second of one caller are handled"


def test_one_callers_flood_is_not_anothers() -> None:
    limit = RateLimit(Limits(per_second=2, at_once=100), Clock())
    for _ in range(100):
        limit.begin("flood")

    assert isinstance(limit.begin("shop"), Allowed)


def test_requests_at_once_are_counted_until_they_end() -> None:
    limit = RateLimit(Limits(per_second=1000, at_once=2), Clock())
    for _ in range(2):
        assert isinstance(limit.begin("shop"), Allowed)

    assert limit.begin("shop") == TooMany(1.0, "at most 2 requests of one caller are handled at once")
    assert isinstance(limit.begin("rival"), Allowed)
    limit.end("shop")
    assert isinstance(limit.begin("shop"), Allowed)


def test_invented_callers_do_not_fill_the_memory() -> None:
    limit = RateLimit(Limits(per_second=1, at_once=1), Clock())
    for number in range(MOST_CALLERS * 2):
        limit.begin(str(number))
        limit.end(str(number))

    assert len(limit._empty_at) <= MOST_CALLERS
    assert not limit._running


@pytest.fixture
async def held() -> AsyncIterator[tuple[httpx.AsyncClient, asyncio.Event]]:
    """An application that answers when it may, at most three requests of a caller at once and 100 a second."""
    may_answer = asyncio.Event()

    async def app(scope: Scope, _: Receive, send: Send) -> None:
        await may_answer.wait()
        if scope["path"] == "/fails":
            raise RuntimeError("it fails")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    limited = LimitCallers(app, RateLimit(Limits(per_second=100, at_once=3), Clock()), pause=0)
    async with callers_of(limited) as client:
        yield client, may_answer


def callers_of(limited: LimitCallers) -> httpx.AsyncClient:
    """A client whose X-Caller is who calls."""

    async def as_caller(scope: Scope, receive: Receive, send: Send) -> None:
        CALLER.set(Caller(dict(scope["headers"])[b"x-caller"].decode(), frozenset()))
        await limited(scope, receive, send)

    transport = httpx.ASGITransport(RequestContext(as_caller), raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://oms")


async def test_a_caller_with_too_many_requests_under_way_gets_a_429_with_a_sentence(
    held: tuple[httpx.AsyncClient, asyncio.Event],
) -> None:
    client, may_answer = held
    flood = {"X-Caller": "flood"}
    waiting = [asyncio.create_task(client.get("/", headers=flood)) for _ in range(3)]
    await asyncio.sleep(0)

    refused = await client.get("/", headers=flood)
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
    assert refused.json()["errors"] == {
        "caller": "at most 3 requests of one caller are handled at once; try again after Retry-After"
    }
    others = asyncio.create_task(client.get("/", headers={"X-Caller": "shop"}))
    may_answer.set()
    assert [(await each).status_code for each in (*waiting, others)] == [200] * 4
    answer = await client.get("/", headers=flood)
    assert answer.headers["RateLimit-Policy"] == '"default";q=100;w=1'
    assert answer.headers["RateLimit"] == '"default";r=96;t=1'


async def test_who_does_not_heed_refusals_waits_for_each_and_nobody_else_does() -> None:
    async def app(_: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    limited = LimitCallers(app, RateLimit(Limits(per_second=1, at_once=10), Clock()), pause=3600, most_pauses=2)
    async with callers_of(limited) as client:
        flood = {"X-Caller": "flood"}
        assert (await client.get("/", headers=flood)).status_code == 200
        waiting = [asyncio.create_task(client.get("/", headers=flood)) for _ in range(2)]
        await asyncio.sleep(0)

        assert (await client.get("/", headers={"X-Caller": "shop"})).status_code == 200
        assert (await client.get("/", headers=flood)).status_code == 429, "as many wait as may"
        assert not any(each.done() for each in waiting)
        for each in waiting:
            each.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert limited._pauses_left == 2


async def test_a_request_that_fails_or_is_given_up_makes_room(held: tuple[httpx.AsyncClient, asyncio.Event]) -> None:
    client, may_answer = held
    flood = {"X-Caller": "flood"}
    given_up = [asyncio.create_task(client.get("/", headers=flood)) for _ in range(3)]
    await asyncio.sleep(0)
    for each in given_up:
        each.cancel()
    await asyncio.gather(*given_up, return_exceptions=True)

    may_answer.set()
    for _ in range(5):
        await client.get("/fails", headers=flood)
    assert (await client.get("/", headers=flood)).status_code == 200


def test_the_rate_of_a_process_is_its_part_of_the_callers() -> None:
    assert math.isclose(Limits(per_second=1000 / 4, at_once=1).per_second, 250)
    assert Limits(per_second=0.5, at_once=1).policy == b'"default";q=1;w=1'
