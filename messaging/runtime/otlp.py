"""The queue of spans, and the thread that sends them. Only a process that records traces imports this module."""

import logging
import os
import socket
import threading
from collections import deque
from contextlib import suppress
from importlib.metadata import version

import requests
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from pydantic import SecretStr
from requests.auth import AuthBase

from messaging.engine.metrics import SPANS_DROPPED
from messaging.engine.tracing import FinishedSpan
from messaging.runtime.otlp_encoding import SpanEncoder, encoded
from messaging.runtime.telemetry import headers_of

_BATCH = 2048
_SEND_WITHIN = 5.0
_SEND_LAST_WITHIN = 1.5

# OpenTelemetry repeats a header that it cannot read, and headers are secrets. Ours are checked at the start.
logging.getLogger("opentelemetry.util.re").setLevel(logging.CRITICAL)


class SpanSender:
    """Sends spans to a collector. One that is away or slow costs spans, which are counted, and nothing else.

    A span is encoded when it ends: the event loop never competes with a thread that encodes a whole batch.
    """

    def __init__(
        self, endpoint: str, service: str, *, most_waiting: int, send_every: float, headers: SecretStr | None = None
    ) -> None:
        ours = version("distributed-oms")
        resource = Resource.create(
            {
                "service.name": service,
                "service.namespace": "oms",
                "service.version": ours,
                "service.instance.id": f"{socket.gethostname()}/{os.getpid()}",
            }
        )
        self._encoder = SpanEncoder({key: str(value) for key, value in resource.attributes.items()}, "oms", ours)
        session = requests.Session()
        session.auth = None if headers is None else _Headers(headers)
        self._exporter = OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces", timeout=_SEND_WITHIN, session=session)
        self._send = self._exporter._client.export  # noqa: SLF001  its own `export` takes no encoded spans
        self._most_waiting = most_waiting
        self._send_every = send_every
        self._batch = min(_BATCH, most_waiting)
        self._waiting: deque[bytes] = deque()
        self._is_time = threading.Event()
        self._is_closing = False
        self._thread = threading.Thread(target=self._send_until_closed, name="spans", daemon=True)
        self._thread.start()

    def record(self, span: FinishedSpan) -> None:
        """Queue a span, or count it if the queue is full."""
        if len(self._waiting) >= self._most_waiting:
            SPANS_DROPPED.labels("queue_full").inc()
            return
        self._waiting.append(encoded(span))
        if len(self._waiting) == self._batch:
            self._is_time.set()

    def close(self) -> None:
        """Send what is queued, and give up after a moment."""
        self._is_closing = True
        self._is_time.set()
        self._thread.join(_SEND_LAST_WITHIN)
        self._waiting.clear()
        self._exporter.shutdown()  # type: ignore[no-untyped-call]

    def _send_until_closed(self) -> None:
        """Send a batch when it is full, and what there is after a while."""
        while not self._is_closing:
            self._is_time.wait(self._send_every)
            self._is_time.clear()
            self._send_batch()
            while len(self._waiting) >= self._batch or (self._is_closing and self._waiting):
                self._send_batch()

    def _send_batch(self) -> None:
        spans = [self._waiting.popleft() for _ in range(min(self._batch, len(self._waiting)))]
        if spans and not self._send(self._encoder.request(spans)).success:
            SPANS_DROPPED.labels("not_accepted").inc(len(spans))


class _Headers(AuthBase):
    """Adds the headers of OTEL_EXPORTER_OTLP_HEADERS as they are at each request. Where a changed file has none that
    can be read, the last ones stay."""

    def __init__(self, secret: SecretStr) -> None:
        self._secret = secret
        self._headers = headers_of(secret)

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        with suppress(ValueError):
            self._headers = headers_of(self._secret)
        request.headers.update(self._headers)
        return request
