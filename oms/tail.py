"""Events as a person reads them, from this process or from a topic."""

from collections.abc import Sequence

import typer

from messaging.kafka.settings import KafkaSettings
from messaging.kafka.topics import read_topic
from messaging.ports.record import Record


async def show_events(records: Sequence[Record]) -> None:
    """A subscriber that prints a line for each record."""
    for record in records:
        _show(record.topic, record.type, record.value.decode())


async def tail(settings: KafkaSettings, topic: str, *, from_beginning: bool, count: int | None) -> None:
    """Print the committed records of a topic; without `count` this ends only with the process."""
    seen = 0
    async for record in read_topic(settings, topic, from_beginning=from_beginning):
        where = f"{record.topic}[{record.partition}]@{record.offset}"
        _show(where, record.headers.get("ce_type", ""), record.value.decode(errors="replace"))
        seen += 1
        if seen == count:
            return


def _show(where: str, event_type: str, value: str) -> None:
    typer.echo(f"{typer.style(where, dim=True)} {typer.style(event_type, fg='green', bold=True)} {value}")
