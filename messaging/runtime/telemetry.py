"""Traces by the environment's wish. Nothing of OpenTelemetry is imported without it."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Annotated
from urllib.parse import unquote

import structlog
from pydantic import AfterValidator, Field, SecretStr

from messaging.engine import tracing
from messaging.engine.secret_files import Secret, Settings
from messaging.engine.tracing import TraceMessages, Tracing
from shared_kernel.choice import Choice

_NAME, _VALUE = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"), re.compile(r"[\x20-\x7e]+")

log = structlog.get_logger("telemetry")


class TracesExporter(Choice):
    """OTEL_TRACES_EXPORTER."""

    NONE = "none"
    OTLP = "otlp"


class TelemetryUnavailable(Exception):
    """Traces are asked for, and the packages for it are not installed."""


def _address(value: str) -> str:
    if not value.startswith(("http://", "https://")):
        raise ValueError("must be an address such as http://127.0.0.1:4318")
    return value.rstrip("/")


def headers_of(secret: SecretStr) -> dict[str, str]:
    """The headers in OTEL_EXPORTER_OTLP_HEADERS: `name=value`, with commas between them. Raises ValueError."""
    pairs = [pair.partition("=") for pair in secret.get_secret_value().split(",")]
    headers = {name.strip().lower(): unquote(value).strip() for name, _, value in pairs}
    if not all(_NAME.fullmatch(name) and _VALUE.fullmatch(value) for name, value in headers.items()):
        raise ValueError("must be name=value, or several of them with commas")
    return headers


def _headers(secret: SecretStr | None) -> SecretStr | None:
    if secret is not None:
        headers_of(secret)
    return secret


class TelemetrySettings(Settings):
    """OpenTelemetry's own variables, and TRACE_MESSAGES."""

    otel_traces_exporter: TracesExporter = TracesExporter.NONE
    otel_exporter_otlp_endpoint: Annotated[str, AfterValidator(_address), Field(repr=False)] = "http://127.0.0.1:4318"
    otel_exporter_otlp_headers: Annotated[Secret, AfterValidator(_headers)] = None
    otel_traces_sampler_arg: float = Field(0.01, ge=0.0, le=1.0)
    otel_bsp_max_queue_size: int = Field(8192, ge=1, le=1_000_000)
    otel_bsp_schedule_delay: int = Field(5000, ge=1, le=60_000)
    trace_messages: TraceMessages = TraceMessages.CHILD


@asynccontextmanager
async def record_traces(settings: TelemetrySettings, service: str, system: str) -> AsyncIterator[None]:
    """Record traces during the block, if the settings ask for them. `system` moves the messages. Raises
    TelemetryUnavailable."""
    if settings.otel_traces_exporter is TracesExporter.NONE:
        yield
        return
    try:
        from messaging.runtime.otlp import SpanSender
    except ImportError as missing:
        raise TelemetryUnavailable(
            f"OTEL_TRACES_EXPORTER=otlp needs packages that are not installed ({missing.name}): "
            "install distributed-oms[telemetry], or set OTEL_TRACES_EXPORTER=none"
        ) from None
    endpoint = settings.otel_exporter_otlp_endpoint
    sender = SpanSender(
        endpoint,
        service,
        most_waiting=settings.otel_bsp_max_queue_size,
        send_every=settings.otel_bsp_schedule_delay / 1000,
        headers=settings.otel_exporter_otlp_headers,
    )
    share = settings.otel_traces_sampler_arg
    tracing.install(Tracing(sender.record, share, settings.trace_messages, system))
    log.info("recording traces", share=share, to=re.sub("//.*@", "//…@", endpoint))
    try:
        yield
    finally:
        tracing.install(None)
        await asyncio.to_thread(sender.close)


async def traced(settings: TelemetrySettings, service: str, system: str, serve: Callable[[], Awaitable[None]]) -> None:
    """Serve, and record traces meanwhile."""
    async with record_traces(settings, service, system):
        await serve()
