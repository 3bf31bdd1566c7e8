"""The payment service's settings: environment variables that are checked once, at the start."""

from decimal import Decimal
from typing import Annotated

import httpx
from pydantic import AfterValidator, Field

from messaging.runtime.settings import DatabaseUrl, ServiceSettings

SIMULATED = "simulated"


def _gateway(value: str) -> str:
    if value == SIMULATED or _is_http_address(value):
        return value
    raise ValueError("must be simulated or an address such as https://payments.example.com, without ? and #")


def _is_http_address(value: str) -> bool:
    """True for an address that the HTTP client can call."""
    try:
        url = httpx.URL(value)
    except httpx.InvalidURL:
        return False
    return url.scheme in ("http", "https") and bool(url.host) and url.port != 0 and not (url.query or url.fragment)


class PaymentSettings(ServiceSettings):
    """PAYMENT_DATABASE_URL, PAYMENT_GATEWAY (`simulated` or an address), PAYMENT_GATEWAY_TIMEOUT_SECONDS (for one try
    of a call), PAYMENT_CALLS_AT_ONCE and PAYMENT_RECOVERY_SECONDS. The last one is the time for which only the process
    that began a call makes it. It should be longer than a call takes.

    SIMULATED_LIMIT, SIMULATED_DELAY_SECONDS and SIMULATED_FAILURE_RATE (0 to 1) configure the simulated gateway.
    """

    payment_database_url: DatabaseUrl = "embedded"
    payment_gateway: Annotated[str, AfterValidator(_gateway)] = SIMULATED
    payment_gateway_timeout_seconds: float = Field(5.0, gt=0, le=300)
    payment_calls_at_once: int = Field(64, ge=1, le=1000)
    payment_recovery_seconds: float = Field(15.0, gt=0, le=3600)
    simulated_limit: Decimal = Field(Decimal("1000.00"), ge=0)
    simulated_delay_seconds: float = Field(0.0, ge=0, le=3600)
    simulated_failure_rate: float = Field(0.0, ge=0, le=1)
