"""The settings of every service: environment variables that are checked once, at the start."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from messaging.postgres.address import FORM, address_of
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


def _database_url(value: str) -> str:
    if value in ("embedded", "memory"):
        return value
    if not value.startswith(("postgresql://", "postgres://")):
        raise ValueError(f"must be embedded, memory or {FORM}")
    address_of(value)
    return value


def _folder(value: Path) -> Path:
    if str(value) in ("", "."):
        raise ValueError("must name a folder")
    return value


DatabaseUrl = Annotated[str, AfterValidator(_database_url)]


class ServiceSettings(BaseSettings):
    """Each field is read from the environment variable of its name in capitals: EVENT_PUBLISHER, DATA_DIR, …"""

    model_config = SettingsConfigDict(frozen=True)

    event_publisher: PublisherKind = PublisherKind.IN_PROCESS
    data_dir: Annotated[Path, AfterValidator(_folder)] = Path("data")
    commit_connections: int = Field(2, ge=1, le=16)
    commit_batch_max: int = Field(256, ge=1, le=5000)
    commit_queue_max: int = Field(2048, ge=1, le=1_000_000)
    http_keep_alive_seconds: int = Field(75, ge=1, le=3600)  # more than load balancers keep idle connections (60 s)
    metrics_port: int | None = Field(None, ge=1, le=65535)  # None: health and metrics share the service's port
    relay_idle_timeout_seconds: float = Field(10.0, ge=2.0, le=300.0)
