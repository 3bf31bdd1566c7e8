"""The payment service's settings: environment variables that are checked once, at the start."""

import ssl
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Self

import httpx
from pydantic import AfterValidator, Field, model_validator

from messaging.engine.addresses import is_this_machine
from messaging.engine.secret_files import Secret
from messaging.engine.tls import client_context
from messaging.runtime.settings import DatabaseUrl, ServiceSettings
from payment_service.application.ports import TRIES_TAKE

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
    that began a call makes it. It must be longer than a call takes, which is up to twice the time for one try.

    PAYMENT_GATEWAY_KEY is what the gateway knows us by, and so are PAYMENT_GATEWAY_CERTFILE and
    PAYMENT_GATEWAY_KEYFILE. PAYMENT_GATEWAY_CAFILE has the authorities of the gateway's certificate.

    SIMULATED_LIMIT, SIMULATED_DELAY_SECONDS and SIMULATED_FAILURE_RATE (0 to 1) configure the simulated gateway.
    """

    payment_database_url: DatabaseUrl = "embedded"
    payment_gateway: Annotated[str, AfterValidator(_gateway), Field(repr=False)] = SIMULATED
    payment_gateway_key: Secret = None
    payment_gateway_cafile: Path | None = None
    payment_gateway_certfile: Path | None = None
    payment_gateway_keyfile: Path | None = None
    payment_gateway_timeout_seconds: float = Field(5.0, gt=0, le=300)
    payment_calls_at_once: int = Field(64, ge=1, le=1000)
    payment_recovery_seconds: float = Field(15.0, gt=0, le=3600)
    simulated_limit: Decimal = Field(Decimal("1000.00"), ge=0)
    simulated_delay_seconds: float = Field(0.0, ge=0, le=3600)
    simulated_failure_rate: float = Field(0.0, ge=0, le=1)

    @model_validator(mode="after")
    def _key_is_sent_over_tls(self) -> Self:
        if self.payment_gateway_key is not None and self.payment_gateway != SIMULATED:
            url = httpx.URL(self.payment_gateway)
            if url.userinfo:
                raise ValueError(
                    "PAYMENT_GATEWAY has a user and a password in it, and PAYMENT_GATEWAY_KEY is set: use one"
                )
            if url.scheme == "http" and not is_this_machine(url.host):
                raise ValueError("PAYMENT_GATEWAY must be an https:// address for PAYMENT_GATEWAY_KEY to be sent there")
        return self

    @model_validator(mode="after")
    def _gateway_can_be_called(self) -> Self:
        try:
            self.gateway_tls()
        except OSError as error:
            raise ValueError(
                "PAYMENT_GATEWAY_CAFILE, PAYMENT_GATEWAY_CERTFILE and PAYMENT_GATEWAY_KEYFILE must be certificates, "
                f"and a key without a passphrase: {error}"
            ) from None
        return self

    @model_validator(mode="after")
    def _nobody_else_makes_a_call_that_is_under_way(self) -> Self:
        if self.payment_gateway != SIMULATED and (
            self.payment_recovery_seconds <= TRIES_TAKE * self.payment_gateway_timeout_seconds
        ):
            raise ValueError(
                f"PAYMENT_RECOVERY_SECONDS must be more than {TRIES_TAKE} times PAYMENT_GATEWAY_TIMEOUT_SECONDS, the "
                "time that a call may take"
            )
        return self

    def gateway_tls(self) -> ssl.SSLContext | None:
        """The TLS context for the gateway. None for the standard one. Raises OSError."""
        if self.payment_gateway_cafile is None and self.payment_gateway_certfile is None:
            return None
        return client_context(self.payment_gateway_cafile, self.payment_gateway_certfile, self.payment_gateway_keyfile)
