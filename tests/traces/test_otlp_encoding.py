"""Our encoder of spans means what OpenTelemetry's means."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from messaging.engine.conventions import SCHEMA_URL
from messaging.engine.tracing import FinishedSpan, Kind
from messaging.ports.trace_context import TraceContext, context_of
from messaging.runtime.otlp_encoding import SpanEncoder, encoded

RESOURCE = {"service.name": "oms-order", "service.namespace": "oms"}


def _ids(digits: int) -> st.SearchStrategy[str]:
    return st.integers(1, 16**digits - 1).map(lambda number: f"{number:0{digits}x}")


CONTEXTS = st.builds(
    context_of, _ids(32), _ids(16), is_sampled=st.booleans(), state=st.sampled_from(["", "vendor=1", "a=1,b=2"])
)
TIMES = st.integers(0, 2**63)
VALUES = st.text(max_size=300) | st.integers(-(2**63), 2**63 - 1) | st.booleans()
SPANS = st.builds(
    FinishedSpan,
    name=st.text(max_size=40),
    kind=st.sampled_from(list(Kind)),
    context=CONTEXTS,
    parent=st.none() | CONTEXTS,
    links=st.lists(CONTEXTS, max_size=3),
    attributes=st.dictionaries(st.text(min_size=1, max_size=20), VALUES, max_size=6),
    began=TIMES,
    ended=TIMES,
    error=st.none() | st.just("LookupError"),
)


def _theirs(spans: list[FinishedSpan]) -> ExportTraceServiceRequest:
    scope, resource = InstrumentationScope("oms", "1.2.3", SCHEMA_URL), Resource(RESOURCE)
    return encode_spans(
        [
            ReadableSpan(
                span.name,
                _context(span.context),
                _context(span.parent) if span.parent else None,
                resource,
                dict(span.attributes),
                links=[Link(_context(link)) for link in span.links],
                kind=SpanKind[span.kind.name],
                status=Status(StatusCode.ERROR) if span.error else Status(),
                start_time=span.began,
                end_time=span.ended,
                instrumentation_scope=scope,
            )
            for span in spans
        ]
    )


def _context(context: TraceContext) -> SpanContext:
    state = TraceState.from_header([context.state]) if context.state else None
    flags = TraceFlags(TraceFlags.SAMPLED if context.is_sampled else TraceFlags.DEFAULT)
    return SpanContext(
        int(context.trace_id, 16), int(context.span_id, 16), is_remote=False, trace_flags=flags, trace_state=state
    )


def _ours(spans: list[FinishedSpan]) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    request.MergeFromString(SpanEncoder(RESOURCE, "oms", "1.2.3").request([encoded(span) for span in spans]))
    return request


@given(st.lists(SPANS, min_size=1, max_size=3))
def test_what_is_sent_means_what_opentelemetrys_own_encoder_would_send(spans: list[FinishedSpan]) -> None:
    assert _ours(spans) == _theirs(spans)


@pytest.mark.parametrize("attributes", [0, 1, 2, 20, 3000])
def test_a_span_of_any_length_is_read_again(attributes: int) -> None:
    here = context_of("1" * 32, "2" * 16, is_sampled=True)
    values = {f"value {number}": "x" * 1024 for number in range(attributes)}
    spans = [FinishedSpan("GET", Kind.SERVER, here, None, [here] * 128, values, 1, 2)] * 2

    assert _ours(spans) == _theirs(spans)


def test_what_is_kept_for_the_next_span_does_not_mix_true_with_one() -> None:
    here = context_of("1" * 32, "2" * 16, is_sampled=True)
    values = (True, 1, False, 0, "1", "")
    spans = [FinishedSpan("GET", Kind.SERVER, here, None, [], {"value": value}, 1, 2) for value in values]

    assert _ours(spans) == _theirs(spans)


def test_what_is_no_text_is_replaced() -> None:
    here = context_of("1" * 32, "2" * 16, is_sampled=True)
    spans = [FinishedSpan("GET", Kind.SERVER, here, None, [], {"url.path": "/orders/\udcff"}, 1, 2)]

    (attribute,) = _ours(spans).resource_spans[0].scope_spans[0].spans[0].attributes
    assert attribute.value.string_value == "/orders/?"


def test_what_a_caller_wrote_has_a_bound() -> None:
    here = context_of("1" * 32, "2" * 16, is_sampled=True)
    spans = [FinishedSpan("GET", Kind.SERVER, here, None, [], {"url.path": "/" * 60_000}, 1, 2)]

    (attribute,) = _ours(spans).resource_spans[0].scope_spans[0].spans[0].attributes
    assert attribute.value.string_value == "/" * 1024
