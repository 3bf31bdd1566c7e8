"""Traces by the environment's wish. Nothing of OpenTelemetry is imported without it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Annotated

import structlog
from pydantic import AfterValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from messaging.engine import tracing
from messaging.engine.tracing import TraceMessages, Tracing
from shared_kernel.choice import Choice

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


class TelemetrySettings(BaseSettings):
    """OpenTelemetry's own variables, and TRACE_MESSAGES."""

    model_config = SettingsConfigDict(frozen=True)

    otel_traces_exporter: TracesExporter = TracesExporter.NONE
    otel_exporter_otlp_endpoint: Annotated[str, AfterValidator(_address)] = "http://127.0.0.1:4318"
    otel_traces_sampler_arg: float = Field(0.01, ge=0.0, le=1.0)
    otel_bsp_max_queue_size: int = Field(8192, ge=1, le=1_000_000)
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
    most_waiting = settings.otel_bsp_max_queue_size
    sender = SpanSender(settings.otel_exporter_otlp_endpoint, service, most_waiting=most_waiting)
    share = settings.otel_traces_sampler_arg
    tracing.install(Tracing(sender.record, share, settings.trace_messages, system))
    log.info("recording traces", share=share, to=settings.otel_exporter_otlp_endpoint)
    try:
        yield
    finally:
        tracing.install(None)
        await asyncio.to_thread(sender.close)


async def traced(settings: TelemetrySettings, service: str, system: str, serve: Callable[[], Awaitable[None]]) -> None:
    """Serve, and record traces meanwhile."""
    async with record_traces(settings, service, system):
        await serve()
