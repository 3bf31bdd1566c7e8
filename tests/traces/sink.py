"""A collector for the tests: it takes spans over OTLP and keeps them."""

import asyncio
import gzip
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

PATIENCE = 180.0
KINDS = {1: "internal", 2: "server", 3: "client", 4: "producer", 5: "consumer"}


@dataclass(frozen=True, slots=True)
class Seen:
    """A span as it arrived. Ids are hexadecimal; `links` are pairs of a trace and a span. Times are nanoseconds since
    1970."""

    service: str
    trace: str
    id: str
    parent: str
    name: str
    kind: str
    links: Sequence[tuple[str, str]]
    attributes: dict[str, Any]
    is_error: bool
    began: int
    ended: int

    @property
    def label(self) -> str:
        """The name with the type of the message, if there is one."""
        return " ".join(filter(None, (self.name, self.attributes.get("oms.message.type", ""))))


@dataclass(slots=True)
class Sink:
    """What has arrived. While `open` is not set, requests hang. `status` answers them."""

    url: str = ""
    spans: list[Seen] = field(default_factory=list)
    open: threading.Event = field(default_factory=threading.Event)
    status: int = 200
    authorization: list[str | None] = field(default_factory=list)
    """What each request had in this header."""

    async def until(self, holds: Callable[["Sink"], bool], what: str) -> None:
        """Wait until the sink has what is waited for. Raises AssertionError with the names that came instead."""
        try:
            async with asyncio.timeout(PATIENCE):
                while not holds(self):
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise AssertionError(
                f"waited in vain for {what}; there are {sorted(s.label for s in self.spans)}"
            ) from None

    def of(self, trace: str) -> list[Seen]:
        """The spans of a trace."""
        return [span for span in list(self.spans) if span.trace == trace]

    def paths(self, trace: str) -> set[str]:
        """The trace as paths of labels from its root, without the spans of the database. A message that is delivered
        twice is the same path."""
        spans = {span.id: span for span in self.of(trace)}

        def path(span: Seen) -> str:
            above = spans.get(span.parent)
            return f"{path(above)} > {span.label}" if above else span.label

        return {path(span) for span in spans.values() if "db.system.name" not in span.attributes}

    def take(self, body: bytes) -> None:
        """Keep the spans of a request."""
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = next(
                each.value.string_value for each in resource.resource.attributes if each.key == "service.name"
            )
            for scope in resource.scope_spans:
                self.spans += [_seen(service, span) for span in scope.spans]


def _seen(service: str, span: Any) -> Seen:
    return Seen(
        service=service,
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        name=span.name,
        kind=KINDS[span.kind],
        links=[(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
        attributes={each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes},
        is_error=span.status.code == span.status.STATUS_CODE_ERROR,
        began=span.start_time_unix_nano,
        ended=span.end_time_unix_nano,
    )


@contextmanager
def sink() -> Iterator[Sink]:
    """A collector that answers; gone afterwards."""
    kept = Sink()
    kept.open.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            kept.open.wait(PATIENCE)
            kept.authorization.append(self.headers.get("Authorization"))
            kept.take(gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body)
            self.send_response(kept.status)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  its base class's name
            """The spans say it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    kept.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield kept
    finally:
        kept.open.set()
        server.shutdown()
        server.server_close()
