"""A payment gateway is another company's program: whatever it says, in whatever length and for whatever time, a call to
it ends in time, in one of the three ways that there are, and takes little memory."""

import asyncio
import gzip
import tracemalloc
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from uuid_utils.compat import uuid7

from payment_service.application.ports import Captured, Declined, GatewayUnavailable
from payment_service.domain.payment import DECLINED
from payment_service.infrastructure.http_gateway import TRIES, HttpGateway, open_http_gateway
from tests.payment_service.payments import AMOUNT
from tests.real_parts.hostile_server import Answers, HostileServer, endless, hostile_server, response, saying
from tests.real_parts.waiting import DEADLINE

KEY = "key-1"
OK = b'{"reference": "ch_1"}'
CHUNKED = b"HTTP/1.1 %d X\r\nTransfer-Encoding: chunked\r\n\r\n"
A_MEGABYTE = 1 << 20


@asynccontextmanager
async def gateway_that(answers: Answers, seconds: float = 30.0) -> AsyncIterator[tuple[HttpGateway, HostileServer]]:
    """The adapter, for a gateway that answers like this. A call that never ends is an error."""
    async with hostile_server(answers) as server, open_http_gateway(server.url, seconds=seconds) as adapter:
        async with asyncio.timeout(DEADLINE):
            yield adapter, server


async def charged(answers: Answers) -> Captured | Declined:
    """What a charge becomes when the gateway answers like this."""
    async with gateway_that(answers) as (adapter, _):
        return await adapter.charge(KEY, uuid7(), AMOUNT)


IN_DOUBT: dict[str, bytes] = {
    "nothing like HTTP": b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    "a status that is none": b"HTTP/1.1 abc OK\r\n\r\n",
    "another version of HTTP": b"HTTP/3.7 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    "a header that is none": b"HTTP/1.1 200 OK\r\nno colon here\r\n\r\n",
    "a header with a NUL": b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 2\r\n\r\n{}",
    "a header without an end": b"HTTP/1.1 200 OK\r\nX: " + b"x" * A_MEGABYTE,
    "a megabyte of headers": b"HTTP/1.1 200 OK\r\n" + b"X: x\r\n" * 200_000 + b"\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 21\r\n\r\n" + OK,
    "a length below nothing": b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n" + OK,
    "a chunk that is none": CHUNKED % 200 + b"zz\r\n",
    "a redirect": response(307, b"", "Location: http://127.0.0.1:9/charges"),
    "a redirect to nowhere": response(302, b"", "Location: http://["),
    "another protocol": b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    "nothing": response(204, b""),
    "a status beyond all": response(999, OK),
    "no JSON": response(200, b"<html>Welcome to our hotel's network</html>"),
    "JSON that is no object": response(200, b'["reference"]'),
    "half of it": response(200, OK[:-1]),
    "no UTF-8": response(200, b'{"reference": "ch_\xff"}'),
    "nesting without an end": response(200, b'{"reference": ' + b"[" * 60_000),
    "objects in objects": response(200, b'{"a":' * 12_000),
    "more than any answer needs": response(200, OK[:-1] + b" " * A_MEGABYTE + b"}"),
    "a coding nobody asked for": response(200, OK, "Content-Encoding: br"),
    "a coding that is none": response(200, OK, "Content-Encoding: gzip"),
    "a coding in a coding": response(200, gzip.compress(gzip.compress(OK)), "Content-Encoding: gzip, gzip"),
    "a bomb": response(200, gzip.compress(OK[:-1] + b" " * 200 * A_MEGABYTE + b"}", 1), "Content-Encoding: gzip"),
    "a bomb in deflate": response(200, zlib.compress(b" " * 20 * A_MEGABYTE), "Content-Encoding: deflate"),
    "no reference": response(200, b"{}"),
    "a reference of nothing": response(200, b'{"reference": null}'),
    "a blank reference": response(200, b'{"reference": " \\u200b\\n"}'),
    "a reference of lone surrogates": response(200, b'{"reference": "\\ud800"}'),
    "a reference that is a list": response(200, b'{"reference": ["ch_1"]}'),
    "a reference that is true": response(200, b'{"reference": true}'),
    "a reference that is no number": response(200, b'{"reference": NaN}'),
}


@pytest.mark.parametrize("what", IN_DOUBT)
async def test_an_answer_that_cannot_be_believed_leaves_the_charge_in_doubt(what: str) -> None:
    async def answer_and_hang_up(writer: asyncio.StreamWriter) -> None:
        writer.write(IN_DOUBT[what])
        await writer.drain()
        writer.close()

    with pytest.raises(GatewayUnavailable, match="the gateway "):
        await charged(answer_and_hang_up)


ENDLESS: dict[str, Answers] = {
    "headers": endless(b"HTTP/1.1 200 OK\r\n", b"X: " + b"x" * 1000 + b"\r\n"),
    "a body": endless(CHUNKED % 402, b"10000\r\n" + b" " * 0x10000 + b"\r\n"),
    "a compressed body": endless(
        b"HTTP/1.1 402 X\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"10000\r\n" + b"\0" * 0x10000 + b"\r\n",
    ),
}


@pytest.mark.parametrize("what", ENDLESS)
async def test_an_answer_without_an_end_is_not_read_to_its_end(what: str) -> None:
    tracemalloc.start()
    try:
        async with gateway_that(ENDLESS[what]) as (adapter, _):
            with suppress(GatewayUnavailable):
                answer = await adapter.charge(KEY, uuid7(), AMOUNT)
                assert (what, answer) != ("headers", answer), "there never was an answer"
                assert answer == Declined(DECLINED)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 8 * A_MEGABYTE


SLOW: dict[str, Answers] = {
    "a status line, letter by letter": endless(b"", b"H", every=0.05),
    "one header after another": endless(b"HTTP/1.1 200 OK\r\n", b"X: x\r\n", every=0.05),
    "one interim answer after another": endless(b"", b"HTTP/1.1 102 Wait\r\n\r\n", every=0.05),
    "a body, letter by letter": endless(CHUNKED % 200, b"1\r\n \r\n", every=0.05),
}


@pytest.mark.parametrize("what", SLOW)
async def test_the_time_is_for_all_of_an_answer_however_slowly_it_comes(what: str) -> None:
    async with gateway_that(SLOW[what], seconds=0.5) as (adapter, server):
        with pytest.raises(GatewayUnavailable, match=r"no answer within|time is up"):
            await adapter.charge(KEY, uuid7(), AMOUNT)

    assert 1 <= len(server.requests) <= 2, "all tries together take twice the time of one"


REFERENCES: dict[str, tuple[bytes, str]] = {
    "a number": (b'{"reference": 42}', "42"),
    "a number of thirty digits": (b'{"reference": 123456789012345678901234567890}', "123456789012345678901234567890"),
    "a number of ten thousand digits": (b'{"reference": %s}' % (b"7" * 10_000), "7" * 500),
    "a number with its zeros": (b'{"reference": 10.500}', "10.500"),
    "a number beyond all numbers": (b'{"reference": 1e999999}', "1e999999"),
    "a long one": (b'{"reference": "%s"}' % (b"x" * 5000), "x" * 500),
    "an odd one": (b'{"reference": " ch\\u0000_\\n1 "}', "ch _ 1"),
    "one in another script": ('{"reference": "плата 1"}'.encode(), "плата 1"),
    "two of them": (b'{"reference": "ch_1", "reference": "ch_2"}', "ch_2"),
    "one beside what nobody reads": (b'{"amount": 1e999999, "x": NaN, "reference": "ch_1"}', "ch_1"),
    "one behind a byte order mark": (b"\xef\xbb\xbf" + OK, "ch_1"),
}


@pytest.mark.parametrize("what", REFERENCES)
async def test_a_reference_is_what_the_gateway_wrote_as_far_as_it_can_be_kept(what: str) -> None:
    body, reference = REFERENCES[what]

    assert await charged(saying(response(201, body))) == Captured(reference)


@pytest.mark.parametrize(
    ("compressed", "coding"),
    [(gzip.compress(OK), "gzip"), (gzip.compress(OK), "X-GZIP"), (zlib.compress(OK), "deflate"), (OK, "identity")],
    ids=["gzip", "x-gzip", "deflate", "none"],
)
async def test_an_answer_that_was_compressed_on_its_way_is_read(compressed: bytes, coding: str) -> None:
    assert await charged(saying(response(200, compressed, f"Content-Encoding: {coding}"))) == Captured("ch_1")


@pytest.mark.parametrize(
    "body",
    [b"", b"\xff", b"[" * 60_000, b"9" * 10_000, b" " * A_MEGABYTE, b'{"reason": 7}', b'{"reason": 1e5}',
     b'{"reason": ["no"]}', b'{"reason": ""}', b'{"reason": "\\u200b \\ud800"}'],
    ids=lambda body: ascii(body[:20]),
)  # fmt: skip
async def test_a_charge_is_declined_by_its_status_whatever_the_reason_looks_like(body: bytes) -> None:
    assert await charged(saying(response(402, body))) == Declined(DECLINED)


async def test_an_answer_too_many_is_not_taken_for_the_answer_to_another_order() -> None:
    surplus = saying(response(402, b'{"reason": "no cover"}'), response(201, b'{"reference": "of nobody"}'))
    async with gateway_that(surplus) as (adapter, server):
        answers = [await adapter.charge(f"key-{number}", uuid7(), AMOUNT) for number in range(3)]

    assert answers == [Declined("no cover")] * 3
    assert len(server.requests) == 3


async def test_a_gateway_cannot_make_us_carry_its_cookies() -> None:
    async with gateway_that(saying(response(201, OK, "Set-Cookie: a=" + "x" * 4000))) as (adapter, server):
        for _ in range(2):
            await adapter.charge(KEY, uuid7(), AMOUNT)

    assert not [head for head in server.requests if "cookie" in head.lower()]


def _date(**later: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(**later), usegmt=True)


AN_HOUR_BEHIND = f"Date: {_date(hours=-1)}"
WISHES: dict[str, tuple[list[str], int]] = {
    "seconds": (["Retry-After: 120"], 120),
    "seconds with spaces around": (["Retry-After:   120  "], 120),
    "a date": ([f"Date: {_date()}", f"Retry-After: {_date(minutes=5)}"], 300),
    "a date by a clock that is an hour behind": ([AN_HOUR_BEHIND, f"Retry-After: {_date(minutes=-55)}"], 300),
    "a date, without saying what the time is": ([f"Retry-After: {_date(hours=100)}"], 360_000),
    "a date that has been": ([f"Retry-After: {_date(minutes=-5)}"], 0),
    "a date beyond all calendars": (["Retry-After: Fri, 31 Dec 99999 23:59:59 GMT"], 0),
    "more seconds than a number holds": (["Retry-After: " + "9" * 5000], 10**9),
    "seconds below nothing": (["Retry-After: -5"], 0),
    "a second and a half": (["Retry-After: 1.5"], 2),
    "a fraction that is none": (["Retry-After: 300.0"], 300),
    "two points": (["Retry-After: 1.5.0"], 0),
    "no number": (["Retry-After: tomorrow"], 0),
    "nothing": (["Retry-After: "], 0),
    "another alphabet's digits": (["Retry-After: \xb2"], 0),
    "two of them": (["Retry-After: 5", "Retry-After: 10"], 10),
    "two that a proxy joined": (["Retry-After: 10, 5"], 10),
    "a date and seconds": ([f"Date: {_date()}", f"Retry-After: {_date(minutes=5)}", "Retry-After: 5"], 300),
}


@pytest.mark.parametrize("wish", WISHES)
async def test_a_gateway_that_says_when_to_ask_again_is_heard(wish: str) -> None:
    headers, seconds = WISHES[wish]
    async with gateway_that(saying(response(503, b"{}", *headers))) as (adapter, server):
        with pytest.raises(GatewayUnavailable) as unknown:
            await adapter.charge(KEY, uuid7(), AMOUNT)

    assert unknown.value.retry_after.total_seconds() == pytest.approx(seconds, rel=0.1)
    assert len(server.requests) == (1 if seconds else TRIES), "it is asked again at once only if it does not want time"


@pytest.mark.parametrize("status", [429, 500, 408, 425, 302])
async def test_so_is_one_that_says_it_of_anything_that_is_not_about_the_charge(status: int) -> None:
    async with gateway_that(saying(response(status, b"{}", "Retry-After: 7"))) as (adapter, server):
        for call in (adapter.charge, adapter.refund):
            with pytest.raises(GatewayUnavailable) as unknown:
                await call(KEY, uuid7(), AMOUNT)
            assert unknown.value.retry_after == timedelta(seconds=7)

    assert len(server.requests) == 2


@pytest.mark.parametrize("wish", ["7", "0"])
@pytest.mark.parametrize("status", [400, 413, 422, 451])
async def test_a_refusal_that_may_be_asked_again_is_none(status: int, wish: str) -> None:
    async with gateway_that(saying(response(status, b"{}", f"Retry-After: {wish}"))) as (adapter, _):
        with pytest.raises(GatewayUnavailable, match=str(status)) as unknown:
            await adapter.charge(KEY, uuid7(), AMOUNT)

    assert unknown.value.retry_after == timedelta(seconds=int(wish))


async def test_a_decline_stays_one_whenever_it_may_be_asked_again() -> None:
    assert await charged(saying(response(402, b"{}", "Retry-After: 7"))) == Declined(DECLINED)


@pytest.mark.parametrize("status", [200, 202])
async def test_so_is_one_that_accepts_a_call_and_does_not_say_what_it_did(status: int) -> None:
    async with gateway_that(saying(response(status, b"{}", "Retry-After: 7"))) as (adapter, _):
        for call in (adapter.charge, adapter.refund):
            with pytest.raises(GatewayUnavailable, match=str(status)) as unknown:
                await call(KEY, uuid7(), AMOUNT)
            assert unknown.value.retry_after == timedelta(seconds=7)


@pytest.mark.parametrize("status", [200, 402, 422, 503])
@pytest.mark.parametrize("hangs_up", [True, False], ids=["cut off", "too slow"])
async def test_so_is_one_whose_answer_has_no_end(status: int, hangs_up: bool) -> None:
    async def half(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 %d X\r\nRetry-After: 7\r\nContent-Length: 100\r\n\r\n{" % status)
        await writer.drain()
        if hangs_up:
            writer.close()

    async with gateway_that(half, seconds=30 if hangs_up else 0.5) as (adapter, server):
        with pytest.raises(GatewayUnavailable, match=str(status)) as unknown:
            await adapter.charge(KEY, uuid7(), AMOUNT)

    assert unknown.value.retry_after == timedelta(seconds=7)
    assert len(server.requests) == 1


async def test_no_address_makes_a_call_fail_in_another_way() -> None:
    for url in (
        "http://127.0.0.1:1",
        "http://nowhere.invalid",
        "https://127.0.0.1:1",
        "http://a..b",
        "http://\x7f",
        "http://" + "x" * 300,
    ):
        async with open_http_gateway(url, seconds=5) as adapter:
            with pytest.raises(GatewayUnavailable):
                await adapter.charge(KEY, uuid7(), AMOUNT)
