"""What arrives on a connection is the requests that the client meant, whatever it offers and however it is cut up."""

import json
from collections.abc import Callable

import pytest

from oms import http_protocol
from oms.http_protocol import MAX_HEAD, MAX_HEADERS
from oms.process import server_config
from tests.http.ambiguous import AMBIGUOUS, EVIL, head_with
from tests.http.wire import Answer, Application, Wire

H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"
OFFERS = {
    "HTTP/2": H2C,
    "websocket": b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: eA==\r\n",
    "several": b"connection: keep-alive, upgrade\r\nupgrade: TLS/1.2\r\nUpgrade: something/2, else\r\n",
    "the last request": b"Connection: close, upgrade\r\nUpgrade: h2c\r\n",
}
CUTS: dict[str, Callable[[bytes, bytes], list[bytes]]] = {
    "in one": lambda head, body: [head + body],
    "head and body": lambda head, body: [head, body],
    "byte by byte": lambda head, body: [bytes([byte]) for byte in head + body],
    "in the middle of the head": lambda head, body: [head[:25], head[25:] + body[:3], body[3:]],
}
NEXT = b"GET /next HTTP/1.1\r\nHost: oms\r\n\r\n"


def _assert_last_error(answers: list[Answer], status: int) -> dict[str, str]:
    answer = answers[-1]
    body = json.loads(answer.body)
    assert answer.status == body["status"] == status
    assert list(body) == ["status", "message", "errors", "timestamp"]
    assert answer.headers["connection"] == "close"
    assert answer.headers["content-type"] == "application/json"
    sentences: dict[str, str] = body["errors"]
    return sentences


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS.keys())
@pytest.mark.parametrize("offer", OFFERS.values(), ids=OFFERS.keys())
@pytest.mark.parametrize("framing", ["length", "chunks"])
async def test_an_offer_to_upgrade_is_ignored_and_the_body_stays_a_body(
    offer: bytes, cut: Callable[[bytes, bytes], list[bytes]], framing: str
) -> None:
    application = Application()
    wire = Wire(application)
    if framing == "length":
        head, body = head_with(offer + b"Content-Length: %d\r\n" % len(EVIL)), EVIL
    else:
        head = head_with(offer + b"Transfer-Encoding: chunked\r\n")
        body = b"5\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (EVIL[:5], len(EVIL) - 5, EVIL[5:])

    wire.send(*cut(head, body))
    (answer,) = await wire.until_answered(1)

    assert (answer.status, answer.body) == (200, EVIL)
    (request,) = application.requests
    assert (request.method, request.path, request.body) == ("POST", "/orders", EVIL)
    assert "upgrade" not in request.headers


async def test_after_an_offer_the_connection_goes_on_and_may_offer_again() -> None:
    application = Application()
    wire = Wire(application)
    offering = head_with(H2C, b"GET /first HTTP/1.1")

    wire.send(offering + offering.replace(b"first", b"second") + NEXT)
    await wire.until_answered(3)

    assert [request.path for request in application.requests] == ["/first", "/second", "/next"]
    assert not wire.is_closed


async def test_a_request_to_be_a_proxy_is_refused_and_nothing_after_it_is_run() -> None:
    application = Application()
    wire = Wire(application)

    wire.send(b"CONNECT bank:443 HTTP/1.1\r\nHost: bank\r\n\r\n" + EVIL, EVIL)
    answers = await wire.until_closed()

    assert _assert_last_error([*answers], 501) == {"method": "CONNECT is for proxies, and this is none"}
    assert application.requests == []


@pytest.mark.parametrize(
    "request_bytes",
    AMBIGUOUS,
    ids=lambda value: repr(value[:60]),
)
async def test_what_two_readers_could_understand_differently_is_refused_and_nothing_after_it_is_run(
    request_bytes: bytes,
) -> None:
    application = Application()
    wire = Wire(application)

    wire.send(request_bytes, EVIL)
    answers = await wire.until_closed()

    assert _assert_last_error([*answers], 400) == {"request": "the request is not HTTP/1.1"}
    assert len(answers) == 1
    assert application.requests == []


async def test_requests_that_come_at_once_are_answered_in_their_order() -> None:
    wire = Wire(Application())
    bodies = [b"%d" % number for number in range(5)]

    requests = b"".join(head_with(b"Content-Length: 1\r\n") + body for body in bodies)
    wire.send(requests[:100], requests[100:])

    assert [answer.body for answer in await wire.until_answered(5)] == bodies


async def test_garbage_behind_a_request_takes_nothing_from_its_answer() -> None:
    application = Application()
    application.free.clear()
    wire = Wire(application)

    wire.send(head_with(b"Content-Length: 5\r\n") + b"hello garbage\r\n\r\n", EVIL)
    application.free.set()
    answers = await wire.until_closed()

    assert [(answer.status, answer.body) for answer in answers] == [(200, b"hello")]
    assert answers[0].headers["connection"] == "close"
    assert [request.path for request in application.requests] == ["/orders"]


async def test_a_body_that_breaks_off_behind_another_request_waits_for_its_answer() -> None:
    application = Application()
    application.free.clear()
    wire = Wire(application)

    wire.send(NEXT + head_with(b"Transfer-Encoding: chunked\r\n") + b"5\r\nhello\r\nZZ" + EVIL)
    application.free.set()
    answers = await wire.until_closed()

    assert [answer.status for answer in answers] == [200, 200]
    assert [request.body for request in application.requests] == [b"", b""], "no part of it is taken for the whole"


async def test_a_body_that_breaks_off_is_refused() -> None:
    application = Application()
    wire = Wire(application)

    wire.send(head_with(b"Transfer-Encoding: chunked\r\n"), b"5\r\nhello\r\nZZ" + EVIL)
    answers = await wire.until_closed()

    _assert_last_error([*answers], 400)
    assert application.requests == []


async def test_trailers_are_not_headers() -> None:
    application = Application()
    wire = Wire(application)

    wire.send(head_with(b"Transfer-Encoding: chunked\r\n") + b"2\r\nok\r\n0\r\nIdempotency-Key: k\r\n\r\n")
    await wire.until_answered(1)

    assert application.requests[0].headers == {"host": "oms", "transfer-encoding": "chunked"}


@pytest.mark.parametrize("lines", [1, 1000], ids=["line by line", "many at once"])
async def test_trailers_without_end_are_refused(lines: int) -> None:
    application = Application()
    wire = Wire(application)

    wire.send(head_with(b"Transfer-Encoding: chunked\r\n") + b"2\r\nok\r\n0\r\n")
    for _ in range(3 * MAX_HEAD // (6 * lines)):
        wire.send(b"a: b\r\n" * lines)
        if wire.is_closed:
            break
    answers = await wire.until_closed()

    assert "trailers must be at most 65536 bytes" in _assert_last_error([*answers], 431)["headers"]
    assert application.requests == []


async def test_more_than_a_hundred_headers_are_refused() -> None:
    many = b"".join(b"X-%d: x\r\n" % number for number in range(MAX_HEADERS))
    wire = Wire(Application())

    wire.send(head_with(many))

    assert "at most 100 headers" in _assert_last_error([*await wire.until_closed()], 431)["headers"]


@pytest.mark.parametrize("unsent", [(7000,), (9000, 7000)], ids=["nothing", "a part"])
async def test_a_client_that_takes_nothing_more_is_given_up(
    monkeypatch: pytest.MonkeyPatch, unsent: tuple[int, ...]
) -> None:
    monkeypatch.setattr(http_protocol, "TAKEN_SECONDS", 0.001)
    wire = Wire(Application())

    wire.take(*unsent)
    await wire.until_closed()

    assert wire.is_aborted


async def test_a_client_that_takes_its_answers_slowly_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "TAKEN_SECONDS", 0.001)
    wire = Wire(Application(), keep_alive_seconds=0.1)

    wire.take(0, 5000, 4000, 3000, 0)
    await wire.until_closed()

    assert not wire.is_aborted


@pytest.mark.parametrize(
    "segments",
    [
        [head_with(b"X: %b\r\n" % (b"x" * MAX_HEAD))],
        [head_with(b""[:-2] + b"".join(b"X-%d: %b\r\n" % (number, b"x" * 1000) for number in range(70)))],
        [b"GET /orders?%b" % (b"x" * 1000), *[b"x" * 10_000] * 7],
        [b"GET /orders HTTP/1.1\r\nX: ", *[b"x" * 10_000] * 7],
    ],
    ids=["one header", "many headers", "the target, in pieces", "a header, in pieces"],
)
async def test_a_head_larger_than_64_kib_is_refused(segments: list[bytes]) -> None:
    application = Application()
    wire = Wire(application)

    wire.send(*segments)
    answers = await wire.until_closed()

    assert "must be at most 65536 bytes" in _assert_last_error([*answers], 431)["headers"]
    assert application.requests == []


async def test_many_requests_in_one_segment_have_no_large_head() -> None:
    wire = Wire(Application())

    wire.send(NEXT * 3000 + b"GET /las", b"t HTTP/1.1\r\n\r\n")

    assert len(await wire.until_answered(3001)) == 3001
    assert not wire.is_closed


@pytest.mark.parametrize(
    "part",
    [b"GET /orders HTTP/1.1\r\nHost: o", head_with(b"Content-Length: 5\r\n") + b"hell", NEXT + b"GET"],
    ids=["head", "body", "behind another"],
)
async def test_a_request_that_does_not_come_to_its_end_is_given_up(
    monkeypatch: pytest.MonkeyPatch, part: bytes
) -> None:
    monkeypatch.setattr(http_protocol, "REQUEST_SECONDS", 0.01)
    application = Application()
    wire = Wire(application)

    wire.send(part)
    answers = await wire.until_closed()

    assert "the whole request must come within" in _assert_last_error([*answers], 408)["request"]
    assert len(application.requests) == len(answers) - 1


async def test_a_connection_on_which_nothing_is_ever_said_is_closed_like_an_idle_one() -> None:
    assert await Wire(Application(), keep_alive_seconds=0.01).until_closed() == []


async def test_a_client_that_waits_to_send_its_body_is_told_to_and_its_connection_is_not_used_again() -> None:
    wire = Wire(Application())

    wire.send(head_with(b"Expect: 100-continue\r\nContent-Length: 5\r\n"))
    await wire.until_answered(1)
    wire.send(b"hello")
    interim, answer = await wire.until_closed()

    assert (interim.status, answer.status, answer.body) == (100, 200, b"hello")
    assert answer.headers["connection"] == "close"


def test_connections_stay_open_for_the_seconds_that_are_set() -> None:
    assert server_config(Application(), 1234).timeout_keep_alive == 1234


async def test_a_client_that_ends_its_side_is_answered_and_then_the_connection_is_closed() -> None:
    application = Application()
    application.free.clear()
    wire = Wire(application)

    wire.send(head_with(b"Content-Length: 1\r\n") + b"1", head_with(b"Content-Length: 1\r\n") + b"2")
    wire.end()
    application.free.set()

    assert [answer.body for answer in await wire.until_closed()] == [b"1", b"2"]


@pytest.mark.parametrize("sent", [b"", NEXT[:20], head_with(b"Content-Length: 2\r\n") + b"1"])
async def test_a_client_that_ends_its_side_without_a_whole_request_is_done_with(sent: bytes) -> None:
    application = Application()
    wire = Wire(application)

    wire.send(sent)
    wire.end()

    assert await wire.until_closed() == []
    assert application.requests == []


async def test_a_client_that_has_ended_its_side_is_not_held_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "ENDED_SECONDS", 0.01)
    application = Application()
    application.free.clear()
    wire = Wire(application)

    wire.send(NEXT)
    wire.end()

    assert await wire.until_closed() == []
