"""PAYMENT_GATEWAY=http(s)://…: a gateway that is spoken to over HTTP, in this little protocol.

    POST {url}/charges   {"orderId": "…", "amount": {"amount": "12.50", "currency": "EUR"}}
    POST {url}/refunds   the same
    Idempotency-Key: {orderId}:charge, or {orderId}:refund

| answer | charge | refund |
|---|---|---|
| 2xx | captured; `{"reference": "…"}` is the gateway's name for it | given back |
| 402 | declined; `{"reason": "…"}` is a sentence for the customer | in doubt |
| 401, 403, 404, 405, 407, 408, 409, 421, 425, 429 | in doubt: they are not about the charge | in doubt |
| any other 4xx | declined: the gateway will never take this charge | in doubt |
| 3xx, 5xx, no answer, or one that cannot be read | in doubt | in doubt |

The gateway does what a key asks for at most once, and answers it the same way each time. So whatever is in doubt is
asked again with the same key: some times here, and then by the service until it knows.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import UUID

import httpx

from payment_service.application import Captured, Declined, GatewayUnavailable
from payment_service.domain import MAX_TEXT, is_storable_text
from shared_kernel.money import Money

TRIES = 3
_FIRST_PAUSE = 0.1

# They say that we, or the way to the gateway, have a problem; an earlier call with the same key may have gone through.
_NOT_ABOUT_THE_CHARGE = {401, 403, 404, 405, 407, 408, 409, 421, 425, 429}
_PAYMENT_REQUIRED = 402


class HttpGateway:
    """See PaymentGateway. All tries of a call together take at most twice `seconds`."""

    def __init__(self, client: httpx.AsyncClient, url: str, *, seconds: float) -> None:
        self._client = client
        self._url = url.rstrip("/")
        self._seconds = seconds

    async def charge(self, key: str, order_id: UUID, amount: Money) -> Captured | Declined:
        """See PaymentGateway."""
        response = await self._post("charges", key, order_id, amount)
        status = response.status_code
        if response.is_success:
            reference = _text(response, "reference")
            if reference is None:
                raise GatewayUnavailable(f"the gateway answered {status} without a reference")
            return Captured(reference)
        if status == _PAYMENT_REQUIRED:
            return Declined(_text(response, "reason") or "the payment was declined")
        if response.is_client_error and status not in _NOT_ABOUT_THE_CHARGE:
            return Declined(f"the payment gateway does not accept the charge (it answered {status})")
        raise GatewayUnavailable(f"the gateway answered {status}")

    async def refund(self, key: str, order_id: UUID, amount: Money) -> None:
        """See PaymentGateway."""
        response = await self._post("refunds", key, order_id, amount)
        if not response.is_success:
            raise GatewayUnavailable(f"the gateway answered {response.status_code} to a refund")

    async def _post(self, what: str, key: str, order_id: UUID, amount: Money) -> httpx.Response:
        body = {"orderId": str(order_id), "amount": {"amount": amount.amount, "currency": amount.currency}}
        problem = "time is up"
        with suppress(TimeoutError):
            async with asyncio.timeout(2 * self._seconds):
                for attempt in range(TRIES):
                    if attempt:
                        await asyncio.sleep(random.uniform(0.5, 1) * _FIRST_PAUSE * 2**attempt)  # noqa: S311  jitter
                    try:
                        response = await self._client.post(
                            f"{self._url}/{what}", json=body, headers={"Idempotency-Key": key}
                        )
                    except httpx.HTTPError as error:
                        problem = type(error).__name__
                        continue
                    if response.status_code != httpx.codes.TOO_MANY_REQUESTS and not response.is_server_error:
                        return response
                    problem = f"it answered {response.status_code}"
        raise GatewayUnavailable(f"the gateway does not do its work: {problem}")


@asynccontextmanager
async def open_http_gateway(url: str, *, seconds: float, at_once: int) -> AsyncIterator[HttpGateway]:
    """A gateway with connections for so many calls at once; each try has so many `seconds`."""
    limits = httpx.Limits(max_connections=at_once, max_keepalive_connections=at_once)
    async with httpx.AsyncClient(timeout=seconds, limits=limits) as client:
        yield HttpGateway(client, url, seconds=seconds)


def _text(response: httpx.Response, field: str) -> str | None:
    """What the body says in this field, if it is something that we can keep."""
    try:
        body: Any = response.json()
    except ValueError:
        return None
    text = body.get(field) if isinstance(body, dict) else None
    if not isinstance(text, str):
        return None
    shortened = text[:MAX_TEXT]
    return shortened if is_storable_text(shortened) else None
