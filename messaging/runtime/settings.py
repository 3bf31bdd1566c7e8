"""The settings of every service: environment variables that are checked once, at the start."""

import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from messaging.engine.secret_files import SECRET, InFile, Settings
from messaging.engine.tls import server_context
from messaging.postgres.address import FORM, InvalidAddress, address_of, file_url
from shared_kernel.choice import Choice


class PublisherKind(Choice):
    """EVENT_PUBLISHER: the adapter of the EventPublisher port."""

    IN_PROCESS = "in-process"
    LOGGING = "logging"
    KAFKA = "kafka"


class Role(Choice):
    """The work of a process of a service."""

    API = "api"
    RELAY = "relay"
    CONSUMER = "consumer"


RELAY_ALONE: Final = frozenset({Role.RELAY})
"""The roles of a process that only publishes. It reads and changes no rows but those of the outbox."""


def _database_url(value: str) -> str:
    if value in ("embedded", "memory"):
        return value
    if not value.startswith(("postgresql://", "postgres://")):
        raise ValueError(f"must be embedded, memory or {FORM}")
    address_of(value)
    return value


def _database_url_or_file(value: Any) -> Any:
    if not isinstance(value, InFile):
        return _database_url(value) if isinstance(value, str) else value
    value.check()
    url = file_url(value.path)
    try:
        address_of(url)
    except InvalidAddress as error:
        raise ValueError(f"in the file {value.path} {error}") from None
    return url


def _folder(value: Path) -> Path:
    if str(value) in ("", "."):
        raise ValueError("must name a folder")
    return value


DatabaseUrl = Annotated[str, BeforeValidator(_database_url_or_file), SECRET, Field(repr=False)]
"""The address of a database. The type of a setting that has a password in it, and so may be in a file."""


class ServiceSettings(Settings):
    """Each field is read from the environment variable of its name in capitals: EVENT_PUBLISHER, DATA_DIR, …"""

    event_publisher: PublisherKind = PublisherKind.IN_PROCESS
    data_dir: Annotated[Path, AfterValidator(_folder)] = Path("data")
    commit_connections: int = Field(2, ge=1, le=16)
    commit_batch_max: int = Field(256, ge=1, le=5000)
    commit_queue_max: int = Field(2048, ge=1, le=1_000_000)
    http_keep_alive_seconds: int = Field(75, ge=1, le=3600)  # more than load balancers keep idle connections (60 s)
    metrics_port: int | None = Field(None, ge=1, le=65535)  # None: health and metrics share the service's port
    http_tls_certfile: Path | None = None
    http_tls_keyfile: Path | None = None
    http_tls_client_cafile: Path | None = None
    relay_idle_timeout_seconds: float = Field(10.0, ge=2.0, le=300.0)

    @model_validator(mode="after")
    def _certificates_can_be_read(self) -> Self:
        if self.http_tls_certfile is None and (self.http_tls_keyfile or self.http_tls_client_cafile):
            raise ValueError("HTTP_TLS_KEYFILE and HTTP_TLS_CLIENT_CAFILE need HTTP_TLS_CERTFILE")
        try:
            self.http_tls()
        except OSError as error:
            raise ValueError(
                "HTTP_TLS_CERTFILE, HTTP_TLS_KEYFILE and HTTP_TLS_CLIENT_CAFILE must be certificates, and a key "
                f"without a passphrase: {error}"
            ) from None
        return self

    def http_tls(self) -> Sequence[ssl.SSLContext | None]:
        """The TLS contexts of the service's port and of METRICS_PORT, where probes come without a certificate. None
        without TLS. Raises OSError."""
        if self.http_tls_certfile is None:
            return None, None
        certificate, key = self.http_tls_certfile, self.http_tls_keyfile
        return server_context(certificate, key, self.http_tls_client_cafile), server_context(certificate, key)
