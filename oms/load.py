"""`oms load`: place orders over HTTP and follow each until it is settled. It is a Python client, so measure the highest
throughput with wrk.

With a rate the loop is open: requests are due at fixed times, and their time counts from then, as HdrHistogram's method
demands. A system that stalls does not get fewer requests, and the waiting of those that were due meanwhile is counted.
Without a rate each connection places one order after the other, and such waiting is not seen.
"""

import asyncio
import re
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import Any

import httpx

from messaging.engine.secret_files import Secret, Settings
from oms.environment import CannotDo
from oms.load_report import CONFIRMED, TAKEN, LoadReport, live, print_report
from oms.output import print_json
from oms.why import why

_ANSWERS_WITHIN = 10.0
_GIVES_UP_AFTER = 10.0
_FOLLOWED_AT_ONCE = 500
_LATE = 0.1
_PAUSE = 0.2
_WAIT = 5
_BODY = {"items": [{"productId": "p1", "quantity": 2}]}
_UNSETTLED = ("PENDING", "CANCELLING")
_TOKEN = re.compile(r"[!-~]{1,32768}")


class LoadSettings(Settings):
    """OMS_TOKEN: the access token or the API key of the caller who places the orders."""

    oms_token: Secret = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What to place. `rate` is in orders a second, or None for as fast as they are accepted. Orders that are not
    settled `settle_within` seconds after the last was placed are given up. `token` says who places them."""

    url: str
    orders: int
    connections: int
    rate: float | None
    settle_within: float
    token: Secret = None


@dataclass(frozen=True, slots=True)
class _Accepted:
    order_id: str
    due: float
    answered: float


async def run(plan: Plan, *, as_json: bool = False) -> None:
    """Place the orders, show the progress, and print a report. This stops when no order was accepted for ten seconds.
    Raises CannotDo when that happened, or when no order was confirmed."""
    report = LoadReport(plan.orders, plan.rate)
    gave_up = False
    with live(report, time.perf_counter):
        async with AsyncExitStack() as stack:
            placing = await stack.enter_async_context(_client(plan, plan.connections))
            following = await stack.enter_async_context(_client(plan, _FOLLOWED_AT_ONCE))
            load = _Load(plan, report, placing, following)
            gave_up = not await load.place_all()
            if not gave_up:
                await load.settle()
            await load.close()
    if as_json:
        print_json(report.document())
    else:
        print_report(report)
    _raise_for(plan, report, gave_up=gave_up)


def _raise_for(plan: Plan, report: LoadReport, *, gave_up: bool) -> None:
    if not report.accepted:
        answer = f"answered {report.answers.most_common(1)[0][0]}" if report.answers else "did not answer in time"
        raise CannotDo(f"{plan.url} took none of the orders, but {answer}: is it the address of the order service?")
    if gave_up:
        raise CannotDo(f"{plan.url} took {report.accepted} of {plan.orders} orders, and then none for some time")
    if not report.outcomes[CONFIRMED]:
        became = ", ".join(f"{count} {outcome}" for outcome, count in report.outcomes.items()) or "none is settled"
        raise CannotDo(f"{plan.url} took {report.accepted} orders and confirmed none: {became}")


def _client(plan: Plan, connections: int) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
    auth = _Token(plan.token.get_secret_value) if plan.token else None
    return httpx.AsyncClient(limits=limits, timeout=httpx.Timeout(_ANSWERS_WITHIN, pool=None), auth=auth)


class _Token(httpx.Auth):
    """The caller's token on each request, read anew, because tokens end."""

    def __init__(self, read: Callable[[], str]) -> None:
        self._read = read

    def auth_flow(self, request: httpx.Request) -> Iterator[httpx.Request]:  # type: ignore[override]
        """See httpx.Auth. Raises CannotDo: the client's own error would repeat the token."""
        token = self._read()
        if not _TOKEN.fullmatch(token):
            raise CannotDo("OMS_TOKEN is neither an access token nor an API key: no token has such characters")
        request.headers["Authorization"] = f"Bearer {token}"
        yield request


class _Load:
    """Workers that place orders, and workers that follow them."""

    def __init__(
        self, plan: Plan, report: LoadReport, placing: httpx.AsyncClient, following: httpx.AsyncClient
    ) -> None:
        self._plan = plan
        self._report = report
        self._placing = placing
        self._following = following
        self._orders = f"{plan.url.rstrip('/')}/orders"
        self._clock = time.perf_counter  # the time of the event loop stands still between two events
        self._accepted: asyncio.Queue[_Accepted] = asyncio.Queue()
        self._followers: list[asyncio.Task[None]] = []

    async def place_all(self) -> bool:
        """Place every order. False when no order was accepted for ten seconds."""
        plan = self._plan
        numbers = iter(range(plan.orders))
        patience = _GIVES_UP_AFTER + (1 / plan.rate if plan.rate else 0)
        self._report.began = began = self._clock()
        with suppress(TimeoutError):
            async with asyncio.timeout(patience) as limit:
                workers = min(plan.connections, plan.orders)
                await asyncio.gather(*(self._place(numbers, began, limit, patience) for _ in range(workers)))
                return True
        self._report.ended = self._clock()
        return False

    async def _place(self, numbers: Iterator[int], began: float, limit: asyncio.Timeout, patience: float) -> None:
        rate = self._plan.rate
        for number in numbers:
            due = began + number / rate if rate else self._clock()
            await asyncio.sleep(max(0, due - self._clock()))
            answer, order_id = await self._post()
            answered = self._clock()
            self._report.posted(answer, answered - due, answered)
            if order_id is not None:
                limit.reschedule(asyncio.get_running_loop().time() + patience)
                self._follow_soon(_Accepted(order_id, due, answered))
            else:
                await asyncio.sleep(0)  # a call that fails before it waits must not keep the time from passing

    async def _post(self) -> tuple[str, str | None]:
        try:
            response = await self._placing.post(self._orders, json=_BODY)
            status = str(response.status_code)
            return (status, str(response.json()["orderId"])) if status == TAKEN else (status, None)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return why(error), None
        except (ValueError, KeyError, TypeError):
            return "201 without an order", None

    def _follow_soon(self, accepted: _Accepted) -> None:
        self._accepted.put_nowait(accepted)
        if len(self._followers) < _FOLLOWED_AT_ONCE:
            self._followers.append(asyncio.create_task(self._follow(), name="follower of orders"))

    async def _follow(self) -> None:
        while True:
            accepted = await self._accepted.get()
            if self._clock() - accepted.answered > _LATE:
                self._report.followed_late += 1
            outcome = await self._outcome(accepted.order_id)
            now = self._clock()
            self._report.settled(outcome, now - accepted.due, now)
            self._accepted.task_done()

    async def _outcome(self, order_id: str) -> str:
        """The status of the order once it is settled."""
        while True:
            try:
                response = await self._following.get(f"{self._orders}/{order_id}", headers={"Prefer": f"wait={_WAIT}"})
                status = str(response.json()["status"]) if response.is_success else None
            except (httpx.HTTPError, ValueError, KeyError, TypeError):
                status = None
            if status is not None and status not in _UNSETTLED:
                return status
            if status is None:
                await asyncio.sleep(_PAUSE)

    async def settle(self) -> None:
        """Wait until every accepted order is settled, or until the plan's time is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._plan.settle_within):
                await self._accepted.join()

    async def close(self) -> None:
        """End the followers."""
        for follower in self._followers:
            follower.cancel()
        ended: list[Any] = await asyncio.gather(*self._followers, return_exceptions=True)
        for error in ended:
            if isinstance(error, Exception):
                raise error
