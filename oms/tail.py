"""Events as readable lines or as JSON, from this process or from a topic."""

from collections.abc import Callable
from typing import Any

import typer

from messaging.kafka.settings import KafkaSettings
from messaging.kafka.topics import read_topic
from messaging.ports.record import UNREADABLE, Record
from oms.output import printable


async def tail(
    settings: KafkaSettings,
    topic: str,
    *,
    from_beginning: bool,
    count: int | None,
    take: Callable[[Record], None],
) -> None:
    """Hand over the committed records of a topic. Without `count` this ends only with the process."""
    seen = 0
    async for record in read_topic(settings, topic, from_beginning=from_beginning):
        take(record)
        seen += 1
        if seen == count:
            return


def line_of(record: Record, *, from_kafka: bool) -> str:
    """The line of a record. Unprintable characters are escaped, because a terminal could obey them."""
    where = f"{record.topic}[{record.partition}]@{record.offset}" if from_kafka else record.topic
    event_type = printable(record.headers.get("ce_type", ""))
    value = printable(_text(record))
    return f"{typer.style(where, dim=True)} {typer.style(event_type, fg='green', bold=True)} {value}"


def document_of(record: Record) -> dict[str, Any]:
    """The same, for JSON. The value stays text, because it may be no JSON."""
    return {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "key": record.key,
        "headers": dict(record.headers),
        "value": _text(record),
    }


def _text(record: Record) -> str:
    return record.headers.get(UNREADABLE) or record.value.decode(errors="backslashreplace")
