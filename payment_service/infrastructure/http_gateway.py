"""PAYMENT_GATEWAY=http(s)://…: a gateway that is called over HTTP, by this protocol:

    POST {url}/charges   {"orderId": "…", "amount": {"amount": "12.50", "currency": "EUR"}}
    POST {url}/refunds   the same
    Idempotency-Key: {orderId}:charge, or {orderId}:refund
    Authorization: Bearer {PAYMENT_GATEWAY_KEY}, if it is set

| answer | charge | refund |
|---|---|---|
| 2xx with `{"reference": "…"}`, a text or a number: the gateway's name for what it did | captured | refunded |
| any other 2xx, such as the page of a proxy | in doubt | in doubt |
| 402 | declined; `{"reason": "…"}` is a sentence for the customer | in doubt |
| 401, 403, 404, 405, 407, 408, 409, 411, 421, 423, 424, 425, 426, 429, 431, 499 | in doubt: not about it | in doubt |
| any other 4xx with a `Retry-After` | in doubt: it may be asked again | in doubt |
| any other 4xx | declined: the gateway will never take this charge | in doubt |
| 3xx, 5xx, no answer, or one whose body does not arrive | in doubt | in doubt |

The gateway executes each key at most once, and answers it the same way each time. So a call in doubt is repeated with
the same key: some times here, and then by the service until it has an answer. A `Retry-After` is respected with every
answer in doubt, up to ten minutes.

An answer is read up to 64 KiB and for a limited time. No cookie and no connection outlives its call. On a connection
that is used again, a surplus answer would be taken for the answer to another order.
"""

import asyncio
import random
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import TypeAlias
from uuid import UUID

import httpx
from pydantic import SecretStr

from messaging.engine import conventions as names
from messaging.engine.foreign_answers import JSON_AS_IT_IS
from messaging.engine.tracing import Kind, Span, Value, child_of
from messaging.ports.trace_context import TRACE
from payment_service.application.ports import TRIES_TAKE, Captured, Declined, GatewayUnavailable
from payment_service.domain.payment import DECLINED
from payment_service.infrastructure.gateway_answer import Answer, head_of, read_answer
from shared_kernel.money import Money
from shared_kernel.reason import reason_of

Connect: TypeAlias = Callable[[], httpx.AsyncClient]

TRIES = 3
_LATE = TimeoutError.__name__
_FIRST_PAUSE = 0.1
_CLOSES_WITHIN = 1.0

# These report a problem of ours or of the network. An earlier call with the same key may have been executed.
_NOT_ABOUT_THE_CHARGE = {401, 403, 404, 405, 407, 408, 409, 411, 421, 423, 424, 425, 426, 429, 431, 499}
_PAYMENT_REQUIRED = 402
_HEADERS = JSON_AS_IT_IS | {"Connection": "close"}


class HttpGateway:
    """See PaymentGateway. `seconds` are for one try of a call."""

    def __init__(self, connect: Connect, url: str, *, seconds: float, secret: SecretStr | None = None) -> None:
        self._connect = connect
        self._url = url.rstrip("/")
        self._secret = secret
        self._seconds = seconds
        self._exchanges: set[asyncio.Task[Answer | str]] = set()

    async def close(self) -> None:
        """Wait until the connections of calls that were cut off are closed."""
        if self._exchanges:
            await asyncio.wait(self._exchanges, timeout=_CLOSES_WITHIN)

    async def charge(self, key: str, order_id: UUID, amount: Money) -> Captured | Declined:
        """See PaymentGateway."""
        answer = await self._ask("charges", key, order_id, amount)
        status = answer.status
        if httpx.codes.is_success(status):
            if answer.reference is None:
                raise GatewayUnavailable(f"the gateway answered {status} without a reference", answer.retry_after)
            return Captured(answer.reference)
        if status == _PAYMENT_REQUIRED:
            return Declined(reason_of(answer.reason, DECLINED))
        is_refused = httpx.codes.is_client_error(status) and status not in _NOT_ABOUT_THE_CHARGE
        if is_refused and answer.retry_after is None:
            return Declined(f"the payment gateway does not accept the charge (it answered {status})")
        raise GatewayUnavailable(f"the gateway answered {status}", answer.retry_after)

    async def refund(self, key: str, order_id: UUID, amount: Money) -> None:
        """See PaymentGateway."""
        answer = await self._ask("refunds", key, order_id, amount)
        if not httpx.codes.is_success(answer.status):
            raise GatewayUnavailable(f"the gateway answered {answer.status} to a refund", answer.retry_after)
        if answer.reference is None:
            problem = f"the gateway answered {answer.status} to a refund, without a reference"
            raise GatewayUnavailable(problem, answer.retry_after)

    async def _ask(self, what: str, key: str, order_id: UUID, amount: Money) -> Answer:
        """Repeat the call until the gateway answers, within the time for all tries. The gateway's Retry-After ends the
        tries."""
        body = {"orderId": str(order_id), "amount": {"amount": amount.amount, "currency": amount.currency}}
        problem = "time is up"
        try:
            async with asyncio.timeout(TRIES_TAKE * self._seconds):
                for attempt in range(TRIES):
                    if attempt:
                        await asyncio.sleep(random.uniform(0.5, 1) * _FIRST_PAUSE * 2**attempt)  # noqa: S311  jitter
                    answer = await self._try(what, key, body)
                    if isinstance(answer, str):
                        problem = f"no answer within {self._seconds:g} s" if answer == _LATE else answer
                        continue
                    if not (answer.broken or _is_a_problem_of_the_gateway(answer.status)):
                        return answer
                    problem = f"it answered {answer.status}{answer.broken and f', cut off by {answer.broken}'}"
                    if answer.retry_after:
                        raise GatewayUnavailable(f"the gateway wants time: {problem}", answer.retry_after)
        except TimeoutError:
            problem = f"{problem}, and time is up"
        raise GatewayUnavailable(f"the gateway does not do its work: {problem}")

    async def _try(self, what: str, key: str, body: object) -> Answer | str:
        """One try, as a span of the current trace."""
        trace = TRACE.get()
        if trace is None or not trace.is_sampled:
            return await self._call(what, key, body)
        attributes: dict[str, Value] = {names.HTTP_METHOD: "POST", names.URL_PATH: f"/{what}"}
        with Span(f"POST /{what}", Kind.CLIENT, child_of(trace), parent=trace, attributes=attributes) as span:
            answer = await self._call(what, key, body)
            if isinstance(answer, str):
                span.error = answer
            else:
                attributes[names.HTTP_STATUS] = answer.status
                span.error = answer.broken or None
        return answer

    async def _call(self, what: str, key: str, body: object) -> Answer | str:
        """Return the answer, or the name of the error when not even its head arrived. The time limit covers the whole
        answer, also a slow one.

        The exchange is a task of its own, which is told to end once. Told twice, as when two limits of time are over at
        the same moment, it would leave its connection open."""
        heads: list[Answer] = []
        exchange = asyncio.create_task(self._exchange(what, key, body, heads))
        self._exchanges.add(exchange)
        exchange.add_done_callback(self._exchanges.discard)
        try:
            await asyncio.wait({exchange}, timeout=self._seconds)
            return exchange.result() if exchange.done() else _broken(heads, _LATE)
        finally:
            exchange.cancel()

    async def _exchange(self, what: str, key: str, body: object, heads: list[Answer]) -> Answer | str:
        headers = {"Idempotency-Key": key}
        if self._secret is not None:
            headers["Authorization"] = f"Bearer {self._secret.get_secret_value()}"
        try:
            async with (
                self._connect() as client,
                client.stream("POST", f"{self._url}/{what}", json=body, headers=headers) as response,
            ):
                heads.append(head_of(response))
                return await read_answer(response)
        except Exception as error:  # noqa: BLE001  any failure to read a foreign answer leaves the call in doubt
            return _broken(heads, type(error).__name__)


def _broken(heads: list[Answer], error: str) -> Answer | str:
    """What there is of an answer that ended in this error."""
    return replace(heads[0], broken=error) if heads else error


def _is_a_problem_of_the_gateway(status: int) -> bool:
    return status == httpx.codes.TOO_MANY_REQUESTS or httpx.codes.is_server_error(status)


@asynccontextmanager
async def open_http_gateway(
    url: str,
    *,
    seconds: float,
    secret: SecretStr | None = None,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[HttpGateway]:
    """A gateway of which each try of a call has `seconds` seconds. The secret is read at each call."""
    verify = tls or httpx.create_ssl_context()
    # A pool of connections that many calls share would lose the place of a call that is cut off, and in the end all.
    connect = partial(httpx.AsyncClient, verify=verify, timeout=seconds, headers=_HEADERS)
    gateway = HttpGateway(connect, url, seconds=seconds, secret=secret)
    try:
        yield gateway
    finally:
        await gateway.close()
