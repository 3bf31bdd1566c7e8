"""The campaign against producers finds what it is there for, and its proxy does to a request what its fate says."""

import asyncio
import struct
import uuid
from asyncio import StreamReader, StreamWriter
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field

import pytest
import pytest_asyncio

from chaos.torn_stage import Verdict, judge
from tests.real_parts.kafka_node import free_port
from tests.real_parts.kafka_proxy import Fate, Kind, Request, deliver, kafka_proxy

KEY = ("orders", "key")
FIRST, SECOND, THIRD = (uuid.UUID(int=number) for number in range(3))
END_TXN = struct.pack(">hhih", Kind.END_TXN.value, 0, 7, 2) + b"me" + struct.pack(">h", 5) + b"relay" + b"\x01"
FRAME = len(END_TXN).to_bytes(4, "big") + END_TXN


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        ([FIRST, SECOND, THIRD], Verdict(0, 0, 0)),
        ([FIRST, THIRD], Verdict(1, 0, 0)),
        ([FIRST, SECOND, SECOND, THIRD], Verdict(0, 1, 0)),
        ([SECOND, FIRST, THIRD], Verdict(0, 0, 1)),
        ([], Verdict(3, 0, 0)),
    ],
)
def test_what_is_lost_doubled_or_out_of_order_is_counted(found: list[uuid.UUID], verdict: Verdict) -> None:
    assert judge({KEY: [FIRST, SECOND, THIRD]}, defaultdict(list, {KEY: found})) == verdict
    assert verdict.wrong == (found != [FIRST, SECOND, THIRD])


@dataclass(slots=True)
class FakeBroker:
    """Answers each frame with its own bytes, and the proxy in front of it gives each request the same fate."""

    fate: Fate = Fate.FORWARD
    port: int = 0
    proxy_port: int = field(default_factory=free_port)
    got: list[bytes] = field(default_factory=list)
    asked: list[Request] = field(default_factory=list)

    async def serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        """A connection."""
        with suppress(OSError, EOFError):
            while True:
                size = await reader.readexactly(4)
                self.got.append(size + await reader.readexactly(int.from_bytes(size, "big")))
                writer.write(self.got[-1])
        writer.close()

    async def script(self, request: Request) -> Fate:
        """See kafka_proxy."""
        self.asked.append(request)
        return self.fate

    async def answered(self, request: Request, answer: bytes) -> None:
        """See kafka_proxy."""


@pytest_asyncio.fixture
async def broker() -> AsyncIterator[FakeBroker]:
    """A broker behind a proxy."""
    fake = FakeBroker()
    async with await asyncio.start_server(fake.serve, "127.0.0.1") as server:
        fake.port = server.sockets[0].getsockname()[1]
        async with kafka_proxy({fake.proxy_port: fake.port}, fake.script, fake.answered):
            yield fake


@pytest.mark.parametrize(
    ("fate", "arrives", "answers"),
    [
        (Fate.FORWARD, 1, 1),
        (Fate.TWICE, 2, 1),
        (Fate.LOSE_ANSWER, 1, 0),
        (Fate.HOLD, 0, 0),
        (Fate.BREAK, 0, 0),
    ],
)
async def test_a_request_meets_its_fate(broker: FakeBroker, fate: Fate, arrives: int, answers: int) -> None:
    broker.fate = fate
    reader, writer = await asyncio.open_connection("127.0.0.1", broker.proxy_port)
    writer.write(FRAME)
    async with asyncio.timeout(30):
        answer = await reader.readexactly(len(FRAME)) if answers else await reader.read()
        while len(broker.got) < arrives:
            await asyncio.sleep(0.01)
    writer.close()

    assert answer == FRAME * answers
    assert broker.got == [FRAME] * arrives
    assert [(request.kind, request.transactional_id) for request in broker.asked] == [(Kind.END_TXN, "relay")]


async def test_what_is_held_silently_is_not_answered_and_arrives_when_it_is_delivered(broker: FakeBroker) -> None:
    broker.fate = Fate.HOLD_SILENTLY
    reader, writer = await asyncio.open_connection("127.0.0.1", broker.proxy_port)
    writer.write(FRAME * 2)
    async with asyncio.timeout(30):
        while len(broker.asked) < 2:
            await asyncio.sleep(0.01)
    assert broker.got == []

    assert await deliver(broker.asked[0]) == END_TXN
    assert broker.got == [FRAME]
    assert not reader.at_eof()
    writer.close()
