"""HTTP/1.1 on one connection: uvicorn's protocol on httptools, and a guard in front of it.

At an offer to upgrade, the parser stops and takes the request for one without a body. The body would then be parsed as
the next request. So a request that offers an upgrade is parsed again without the offer. RFC 9110 lets a server ignore
the offer, and only HTTP/1.1 is spoken here. The guard also bounds the size of a head and the time of a request. It
answers input that is not HTTP in the shape of all errors, after the requests before it.
"""

import asyncio
from enum import Enum
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from http_api.errors import error_response
from oms.joined_writes import JoinedWrites

MAX_HEAD = 64 * 1024
MAX_HEADERS = 100
REQUEST_SECONDS = 30.0
TAKEN_SECONDS = 30.0
ENDED_SECONDS = 5.0


class _Part(Enum):
    """The part of a request that comes next."""

    NOTHING = "nothing"
    HEAD = "head"
    BODY = "body"


class _TooLargeHead(Exception):
    """The request line and the headers are larger than MAX_HEAD, or there are more than MAX_HEADERS."""


class GuardedHttp(HttpToolsProtocol):
    """`uvicorn.Config(http=GuardedHttp)`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._part = _Part.NOTHING
        self._head_bytes = 0  # of the head at hand, without the segment that it began in
        self._segment_bytes = 0
        self._trailer_bytes = 0
        self._refused = False
        self._deadline: asyncio.TimerHandle | None = None
        self._looks_again: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count a new connection without a request as idle, and look whether the client takes its answers."""
        super().connection_made(transport)
        self._joined = JoinedWrites(transport, self.loop)
        self.transport = self._joined  # type: ignore[assignment]  # it has the methods that are used
        self._look_at_what_is_unsent(0)
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the timers of the connection."""
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        self._forget_deadline()
        if self._looks_again is not None:
            self._looks_again.cancel()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Answer a client that has sent all that it will, as `nc -N` has. It looks like one that is gone, so a held
        request is given up soon. TLS cannot end one half of a connection."""
        self._joined.flush()  # the connection may close now
        is_answered = self.cycle is None or self.cycle.response_complete
        is_cut_off = self._part is not _Part.NOTHING and not self._refused
        if is_answered or is_cut_off or self.scheme == "https":
            return False
        self.cycle.keep_alive = False
        self._deadline = self.loop.call_later(ENDED_SECONDS, self.transport.close)
        return True

    def data_received(self, data: bytes) -> None:
        """Feed the parser, and feed it requests that offer an upgrade once more."""
        if self._refused:
            return
        self._unset_keepalive_if_required()
        head_goes_on = self._part is _Part.HEAD
        self._segment_bytes = len(data)
        try:
            self._feed(data)
        except httptools.HttpParserError as error:
            if isinstance(error.__context__, _TooLargeHead):
                self._refuse_head()
            else:
                self._refuse(400, "Malformed HTTP", {"request": "the request is not HTTP/1.1"})
            return
        if self._part is _Part.NOTHING:
            self._forget_deadline()
            return
        if self._part is _Part.BODY and self.headers:
            self._drop_trailers()
        if self._refused:
            return
        if self._deadline is None:
            self._deadline = self.loop.call_later(REQUEST_SECONDS, self._deadline_passed)
        if head_goes_on and self._part is _Part.HEAD:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD:
                self._refuse_head()

    def _feed(self, data: bytes) -> None:
        while not self._refused:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                data = self._head_without_upgrade() + data[upgrade.args[0] :]
                # The old parser may count the connection as ended, as after `Connection: close, upgrade`.
                self.parser = httptools.HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            else:
                return

    def _head_without_upgrade(self) -> bytes:
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        if method == b"CONNECT":  # the parser counts CONNECT as an upgrade
            self._refuse(501, "Not implemented", {"method": "CONNECT is for proxies, and this is none"})
            return b""
        headers = (b"%b: %b\r\n" % header for header in self.headers if header[0] != b"upgrade")
        return b"".join([b"%b %b HTTP/%b\r\n" % (method, self.url, version), *headers, b"\r\n"])

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._part = _Part.HEAD
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        """Hand the request over, unless it is parsed again."""
        self._part = _Part.BODY
        may_be_large = self._head_bytes + self._segment_bytes > MAX_HEAD
        if len(self.headers) > MAX_HEADERS or (may_be_large and self._size_of_head() > MAX_HEAD):
            raise _TooLargeHead
        self._trailer_bytes = 0
        if self.parser.should_upgrade():
            return
        super().on_headers_complete()
        self.headers = []  # trailers come after the body and must not become headers
        if self.expect_100_continue:
            # After a refusal the client may send the body or another request, and the two cannot be distinguished.
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._part = _Part.NOTHING
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what cannot be parsed."""
        self._refuse(400, "Malformed HTTP", {"request": msg})

    def _size_of_head(self) -> int:
        return len(self.url) + self._size_of_headers()

    def _size_of_headers(self) -> int:
        return sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _drop_trailers(self) -> None:
        """Drop the trailers that have come, and refuse the request when they are too large."""
        self._trailer_bytes += self._size_of_headers()
        self.headers = []
        if self._trailer_bytes > MAX_HEAD:
            sentence = f"trailers must be at most {MAX_HEAD} bytes"
            self._refuse(431, "Request header fields too large", {"headers": sentence})

    def _refuse_head(self) -> None:
        sentence = (
            f"the request line and the headers must be at most {MAX_HEAD} bytes, with at most {MAX_HEADERS} headers"
        )
        self._refuse(431, "Request header fields too large", {"headers": sentence})

    def _look_at_what_is_unsent(self, before: int) -> None:
        """Give up a client that has taken nothing since the last look. What is written would wait for it for ever."""
        unsent = self.transport.get_write_buffer_size()
        if unsent >= before > 0:
            self.transport.abort()
        else:
            self._looks_again = self.loop.call_later(TAKEN_SECONDS, self._look_at_what_is_unsent, unsent)

    def _deadline_passed(self) -> None:
        self._deadline = None
        if self._part is _Part.NOTHING:
            return
        if self.flow.read_paused:  # reading is paused, so the client is not late
            self._deadline = self.loop.call_later(REQUEST_SECONDS, self._deadline_passed)
            return
        self._refuse(
            408, "Request timeout", {"request": f"the whole request must come within {REQUEST_SECONDS:.0f} seconds"}
        )

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _refuse(self, status: int, message: str, errors: dict[str, str]) -> None:
        """Stop reading, and answer with an error if no earlier request waits for its answer.

        Answers must keep the order of requests. So if earlier requests are unanswered, they are answered, and then the
        connection is closed without this error.
        """
        self._refused = True
        self._forget_deadline()
        cycle, in_body = self.cycle, self._part is _Part.BODY and self.cycle is not None
        if cycle is not None and not in_body and not cycle.response_complete:
            cycle.keep_alive = False
        elif in_body and cycle.response_started:
            self.transport.close()
        elif in_body and self.pipeline:
            cycle.keep_alive = False
            cycle.body, cycle.more_body = bytearray(), False
            cycle.message_event.set()
        else:
            self._answer_last(status, message, errors)

    def _answer_last(self, status: int, message: str, errors: dict[str, str]) -> None:
        response = error_response(status, message, errors, {"Connection": "close"})
        headers = [*self.server_state.default_headers, *response.raw_headers]
        lines = [b"%b: %b\r\n" % header for header in headers]
        self.transport.write(b"".join([STATUS_LINE[status], *lines, b"\r\n", bytes(response.body)]))
        self.transport.close()
