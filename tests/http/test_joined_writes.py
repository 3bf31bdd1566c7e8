"""What is written in one turn of the event loop is sent as one piece in the next, and before the connection closes."""

import asyncio

from starlette.types import Receive, Scope, Send

from oms.joined_writes import JoinedWrites
from tests.http.ambiguous import head_with
from tests.http.wire import Application, Wire


class _Sent(asyncio.Transport):
    """Keeps the pieces that were sent, and the end of the connection as None."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[bytes | None] = []

    def write(self, data: bytes) -> None:  # type: ignore[override]
        self.pieces.append(data)

    def close(self) -> None:
        self.pieces.append(None)

    def is_closing(self) -> bool:
        return None in self.pieces


async def _turn_ends() -> None:
    ended = asyncio.Event()
    asyncio.get_running_loop().call_soon(ended.set)
    await ended.wait()


async def test_the_head_and_the_body_of_an_answer_are_one_write() -> None:
    wire = Wire(Application())

    wire.send(head_with(b"Content-Length: 5\r\n") + b"hello")
    (answer,) = await wire.until_answered(1)

    assert (answer.body, wire.writes) == (b"hello", 1)


async def test_a_client_that_ends_its_side_while_its_answer_waits_to_be_sent_still_gets_it() -> None:
    async def answer_just_before_the_end(scope: Scope, receive: Receive, send: Send) -> None:
        await Application()(scope, receive, send)
        wire.end()

    wire = Wire(answer_just_before_the_end)
    wire.send(head_with(b"Content-Length: 5\r\n") + b"hello")

    assert [answer.body for answer in await wire.until_closed()] == [b"hello"]


async def test_what_is_written_in_different_turns_is_sent_in_its_order() -> None:
    transport = _Sent()
    writes = JoinedWrites(transport, asyncio.get_running_loop())

    writes.write(b"1")
    writes.write(b"2")
    assert transport.pieces == []
    await _turn_ends()
    writes.write(b"3")
    await _turn_ends()

    assert transport.pieces == [b"12", b"3"]


async def test_a_large_answer_in_many_parts_does_not_wait_until_it_is_whole() -> None:
    transport = _Sent()
    writes = JoinedWrites(transport, asyncio.get_running_loop())

    for _ in range(5):
        writes.write(b"x" * 32 * 1024)

    assert [len(piece or b"") for piece in transport.pieces] == [96 * 1024]
    await _turn_ends()
    assert [len(piece or b"") for piece in transport.pieces] == [96 * 1024, 64 * 1024]


async def test_what_was_written_before_the_end_is_sent_before_the_end_and_not_again() -> None:
    transport = _Sent()
    writes = JoinedWrites(transport, asyncio.get_running_loop())

    writes.write(b"last words")
    writes.close()
    await _turn_ends()

    assert transport.pieces == [b"last words", None]


async def test_nothing_is_sent_to_a_client_that_is_gone() -> None:
    transport = _Sent()
    writes = JoinedWrites(transport, asyncio.get_running_loop())

    writes.write(b"an answer")
    transport.close()
    await _turn_ends()

    assert transport.pieces == [None]
