"""The settings of access: AUTH and AUTH_*."""

import ssl
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from http_api.access.limits import Limits
from messaging.engine.addresses import encrypted_address, is_this_machine
from messaging.engine.secret_files import Settings
from messaging.engine.tls import client_context
from shared_kernel.choice import Choice


class Auth(Choice):
    """AUTH."""

    OFF = "off"
    REQUIRED = "required"


class AuthSettings(Settings):
    """AUTH, and AUTH_ISSUER, AUTH_AUDIENCE and AUTH_JWKS_URL for access tokens. Without these three, callers need API
    keys. AUTH_JWKS_CAFILE has the authorities of the issuer's certificate."""

    auth: Auth | None = None
    auth_issuer: Annotated[str, Field(min_length=1)] | None = None
    auth_audience: Annotated[str, Field(min_length=1)] | None = None
    auth_jwks_url: Annotated[str, AfterValidator(encrypted_address)] | None = None
    auth_jwks_cafile: Path | None = None
    auth_leeway_seconds: float = Field(30.0, ge=0, le=60)
    rate_limit_per_second: float = Field(1000.0, gt=0, le=1_000_000)
    rate_limit_processes: int = Field(1, ge=1, le=1000)
    """How many processes share the load of a service, so that each allows its part of the rate."""
    requests_at_once: int = Field(256, ge=1, le=100_000)

    @model_validator(mode="after")
    def _tokens_are_described(self) -> Self:
        given = [self.auth_issuer, self.auth_audience, self.auth_jwks_url]
        if None in given and any(given):
            raise ValueError("access tokens need AUTH_ISSUER, AUTH_AUDIENCE and AUTH_JWKS_URL: set all three")
        if any(given) and self.auth is not Auth.REQUIRED:
            raise ValueError("AUTH_ISSUER is set, so AUTH=required must be, too: nobody is asked for a token otherwise")
        return self

    @property
    def limits(self) -> Limits:
        """What one caller may ask of this process."""
        return Limits(self.rate_limit_per_second / self.rate_limit_processes, self.requests_at_once)

    @model_validator(mode="after")
    def _certificates_can_be_read(self) -> Self:
        try:
            self.jwks_tls()
        except OSError as error:
            raise ValueError(f"AUTH_JWKS_CAFILE must be certificates: {error}") from None
        return self

    def jwks_tls(self) -> ssl.SSLContext | None:
        """The TLS context for the issuer. None for the standard one. Raises OSError."""
        return client_context(self.auth_jwks_cafile) if self.auth_jwks_cafile else None

    def must_be_said(self, host: str) -> str | None:
        """The sentence for a process that would let strangers in without anybody having said so."""
        if self.auth is not None or is_this_machine(host):
            return None
        return (
            f"listening on {host} without AUTH lets everybody who reaches it place and read orders: "
            "set AUTH=required (docs/security.md), or AUTH=off if that is what you want"
        )
