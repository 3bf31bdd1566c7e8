"""The consumers of docs/events.md are programs. They read from a real broker what a relay has committed.

The topic has what a consumer meets on a bad day: a batch that was aborted, and a type and a field of a later day.
"""

import asyncio
import json
import os
import shutil
import sys
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer

from messaging.kafka.settings import KafkaSettings
from messaging.kafka.topics import create_topics
from messaging.ports.message import Message
from oms.services import TOPICS
from order_service.infrastructure.message_encoding import encode
from tests.contract.example_events import EVENTS
from tests.real_parts.kafka_node import FEW_THREADS, classpath, java_there

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "events.md").read_text(encoding="utf-8")
EXAMPLES = sorted(path for path in (DOCS / "examples").iterdir() if path.is_file())
SAYS_WITHIN = 120.0


CREATED, CONFIRMED, COMPLETED = (
    encode(EVENTS[f"Order{name}Event.v1"]) for name in ("Created", "Confirmed", "Completed")
)
ORDER = CONFIRMED.key


def _changed(message: Message, **fields: object) -> Message:
    value = json.loads(message.value) | {"eventId": str(uuid.uuid4())} | fields
    headers = dict(message.headers) | {"ce_id": value["eventId"], "ce_type": value["eventType"]}
    return message._replace(headers=headers, value=json.dumps(value).encode())


def _confirmed(amount: str) -> Message:
    """Of another order."""
    return _changed(CONFIRMED, orderId=str(uuid.uuid4()), total={"amount": amount, "currency": "EUR"})


COMMITTED = (
    CREATED,
    _changed(CONFIRMED, addedLater={"some": ["thing"]}),
    _changed(COMPLETED, eventType="OrderPraisedEvent"),
    COMPLETED,
)


async def _publish(kafka: KafkaSettings, messages: Sequence[Message], *, commit: bool = True) -> None:
    """In one transaction, as a relay does."""
    async with AIOKafkaProducer(
        bootstrap_servers=kafka.bootstrap_servers, transactional_id=f"{kafka.prefix}relay", compression_type="zstd"
    ) as producer:
        await producer.begin_transaction()
        for message in messages:
            headers = [(name, value.encode()) for name, value in message.headers.items()]
            await producer.send_and_wait(
                f"{kafka.prefix}{message.topic}", message.value, message.key.encode(), headers=headers
            )
        await (producer.commit_transaction() if commit else producer.abort_transaction())


@pytest_asyncio.fixture
async def published(kafka: KafkaSettings) -> KafkaSettings:
    """The way to a topic with a transaction that was aborted, and one that was committed."""
    ours = kafka.model_copy(update={"prefix": f"{uuid.uuid4().hex[:8]}."})
    await create_topics(ours, [topic for topic in TOPICS if topic.name == "order-events"])
    await _publish(ours, [_confirmed("99.99")], commit=False)
    await _publish(ours, COMMITTED)
    return ours


@dataclass(frozen=True, slots=True)
class Program:
    """A running example, and the file with what it says beside its lines."""

    output: asyncio.StreamReader
    log: Path

    async def lines(self, count: int) -> list[str]:
        """The next lines."""
        try:
            async with asyncio.timeout(SAYS_WITHIN):
                return [(await self.output.readuntil()).decode().strip() for _ in range(count)]
        except (TimeoutError, asyncio.IncompleteReadError):
            raise AssertionError(f"{count} lines did not come; it said: {self.log.read_text()}") from None


@asynccontextmanager
async def _running(kafka: KafkaSettings, log: Path, *command: str) -> AsyncIterator[Program]:
    """An example, which is killed afterwards."""
    environment = {"KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers, "KAFKA_PREFIX": kafka.prefix}
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            *command, env=os.environ | environment, stdout=asyncio.subprocess.PIPE, stderr=file
        )
    assert process.stdout is not None
    try:
        yield Program(process.stdout, log)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_the_python_consumer_counts_each_confirmed_order_once_also_when_events_come_again(
    published: KafkaSettings, tmp_path: Path
) -> None:
    command = (sys.executable, str(DOCS / "examples" / "revenue.py"), str(tmp_path / "revenue.sqlite"))

    async with _running(published, tmp_path / "log", *command) as program:
        assert await program.lines(1) == [f"{ORDER} 29.90 EUR"]
    another = _confirmed("1.00")
    await _publish(published, [*COMMITTED, another])
    async with _running(published, tmp_path / "log", *command) as program:
        (line,) = await program.lines(1)

    assert line.endswith(" 1.00 EUR"), "an event that came again counted again"


async def test_the_java_consumer_prints_what_was_committed(published: KafkaSettings, tmp_path: Path) -> None:
    if not shutil.which("java") or not java_there():
        pytest.skip("the consumer in Java needs a JDK with Maven")
    command = ("java", *FEW_THREADS, "-cp", classpath(), str(DOCS / "examples" / "OrderEvents.java"))

    async with _running(published, tmp_path / "log", *command) as program:
        printed = await program.lines(len(COMMITTED))

    values = [json.loads(message.value) for message in COMMITTED]
    assert printed == [f"{ORDER} {value['eventType']} {value['orderVersion']}" for value in values]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_page_shows_the_program_as_it_is(path: Path) -> None:
    language = {".py": "python", ".java": "java"}[path.suffix]

    assert f"```{language}\n{path.read_text(encoding='utf-8')}```" in PAGE, f"docs/events.md shows another {path.name}"
