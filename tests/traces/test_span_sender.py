"""The queue of spans: when it is sent, and what a collector can do to it."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from pydantic import SecretStr

from messaging.engine.secret_files import SecretOfFile
from messaging.engine.tracing import FinishedSpan, Kind
from messaging.ports.trace_context import context_of
from messaging.runtime.otlp import SpanSender
from tests.traces.sink import PATIENCE, Sink, sink

HERE = context_of("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", is_sampled=True)


@pytest.fixture
def collector() -> Iterator[Sink]:
    """It answers at once."""
    with sink() as kept:
        yield kept


@contextmanager
def sending(collector: Sink, most_waiting: int = 5000, headers: SecretStr | None = None) -> Iterator[SpanSender]:
    """A sender, closed afterwards."""
    sender = SpanSender(collector.url, "oms-order", most_waiting=most_waiting, send_every=0.1, headers=headers)
    try:
        yield sender
    finally:
        sender.close()


def span(number: int) -> FinishedSpan:
    """A span that can be told from others."""
    return FinishedSpan(f"span {number}", Kind.INTERNAL, HERE, None, (), {}, 1, 2)


def dropped(reason: str) -> float:
    """How many spans this process has lost."""
    return REGISTRY.get_sample_value("oms_spans_dropped_total", {"reason": reason}) or 0.0


async def until(holds: Callable[[], bool]) -> None:
    """Wait until it holds. Raises TimeoutError."""
    async with asyncio.timeout(PATIENCE):
        while not holds():
            await asyncio.sleep(0.02)


async def test_spans_arrive_in_order_and_none_twice(collector: Sink) -> None:
    with sending(collector) as sender:
        for number in range(5000):
            sender.record(span(number))
        await collector.until(lambda sink: len(sink.spans) >= 5000, "all spans")

    assert [each.name for each in collector.spans] == [f"span {number}" for number in range(5000)]


async def test_what_waits_at_the_end_is_sent(collector: Sink) -> None:
    with sending(collector) as sender:
        sender.record(span(1))

    assert [each.name for each in collector.spans] == ["span 1"]


async def test_what_a_collector_refuses_is_counted(collector: Sink) -> None:
    collector.status, before = 400, dropped("not_accepted")
    with sending(collector) as sender:
        for number in range(3):
            sender.record(span(number))
        await until(lambda: dropped("not_accepted") == before + 3)


async def test_while_a_collector_hangs_the_queue_is_bounded_and_closing_it_too(collector: Sink) -> None:
    collector.open.clear()
    before = dropped("queue_full")
    with sending(collector, most_waiting=10) as sender:
        for number in range(100):
            sender.record(span(number))
        began = time.monotonic()

    assert dropped("queue_full") - before >= 80, "one batch is on its way, and one waits"
    assert time.monotonic() - began < PATIENCE / 3


async def test_headers_are_those_of_the_file_at_each_request(collector: Sink, tmp_path: Path) -> None:
    file = tmp_path / "headers"
    file.write_text("authorization=Bearer%20first\n")
    with sending(collector, headers=SecretOfFile(file)) as sender:
        sender.record(span(1))
        await until(lambda: len(collector.authorization) == 1)
        file.write_text("authorization=Bearer%20second")
        sender.record(span(2))
        await until(lambda: len(collector.authorization) == 2)
        file.write_text("nonsense")
        sender.record(span(3))
        await until(lambda: len(collector.authorization) == 3)

    assert collector.authorization == ["Bearer first", "Bearer second", "Bearer second"]
