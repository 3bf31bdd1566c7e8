"""The queue of spans, and the thread that sends them. Both are OpenTelemetry's. Only a process that records traces
imports this module."""

import os
import socket
from collections.abc import Sequence
from importlib.metadata import version

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from messaging.engine.conventions import SCHEMA_URL
from messaging.engine.metrics import SPANS_DROPPED
from messaging.engine.tracing import FinishedSpan, Kind
from messaging.ports.trace_context import TraceContext

_BATCH = 512
_SEND_EVERY_MS = 1000
_SEND_WITHIN = 5.0
_SEND_LAST_WITHIN_MS = 1500

_SCOPE = InstrumentationScope("oms", version("distributed-oms"), SCHEMA_URL)
_KINDS = {kind: SpanKind[kind.name] for kind in Kind}
_SAMPLED, _NOT_SAMPLED = TraceFlags(TraceFlags.SAMPLED), TraceFlags(TraceFlags.DEFAULT)
_FINE, _WRONG = Status(), Status(StatusCode.ERROR)


class SpanSender:
    """Sends spans to a collector. One that is away or slow costs spans, which are counted, and nothing else."""

    def __init__(self, endpoint: str, service: str, *, most_waiting: int) -> None:
        self._most_waiting = most_waiting
        self._resource = Resource.create(
            {
                "service.name": service,
                "service.namespace": "oms",
                "service.version": version("distributed-oms"),
                "service.instance.id": f"{socket.gethostname()}/{os.getpid()}",
            }
        )
        self._exporter = _Counted(OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces", timeout=_SEND_WITHIN))
        self._queue = BatchSpanProcessor(
            self._exporter,
            max_queue_size=most_waiting,
            schedule_delay_millis=_SEND_EVERY_MS,
            max_export_batch_size=min(_BATCH, most_waiting),
        )
        self._given = 0

    def record(self, span: FinishedSpan) -> None:
        """Queue a span, or count it if the queue is full."""
        if self._given - self._exporter.taken >= self._most_waiting:
            SPANS_DROPPED.labels("queue_full").inc()
            return
        self._given += 1
        self._queue.on_end(
            ReadableSpan(
                span.name,
                _context_of(span.context),
                None if span.parent is None else _context_of(span.parent),
                self._resource,
                dict(span.attributes),
                links=[Link(_context_of(link)) for link in span.links],
                kind=_KINDS[span.kind],
                status=_FINE if span.error is None else _WRONG,
                start_time=span.began,
                end_time=span.ended,
                instrumentation_scope=_SCOPE,
            )
        )

    def close(self) -> None:
        """Send what is queued, and give up after a moment."""
        self._queue._batch_processor.shutdown(_SEND_LAST_WITHIN_MS)  # noqa: SLF001  its own `shutdown` waits 30 s


class _Counted(SpanExporter):
    """Counts the spans that have left the queue, and those that were not accepted."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self.taken = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.taken += len(spans)
        result = self._exporter.export(spans)
        if result is not SpanExportResult.SUCCESS:
            SPANS_DROPPED.labels("not_accepted").inc(len(spans))
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


def _context_of(context: TraceContext) -> SpanContext:
    state = TraceState.from_header([context.state]) if context.state else None
    flags = _SAMPLED if context.is_sampled else _NOT_SAMPLED
    return SpanContext(
        int(context.trace_id, 16), int(context.span_id, 16), is_remote=False, trace_flags=flags, trace_state=state
    )
