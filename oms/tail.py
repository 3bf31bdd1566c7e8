"""Events as a person reads them, from this process or from a topic."""

from collections.abc import Sequence

import typer

from messaging.kafka.settings import KafkaSettings
from messaging.kafka.topics import read_topic
from messaging.ports.record import UNREADABLE, Record


async def show_events(records: Sequence[Record]) -> None:
    """A subscriber that prints a line for each record."""
    for record in records:
        _show(record.topic, record)


async def tail(settings: KafkaSettings, topic: str, *, from_beginning: bool, count: int | None) -> None:
    """Print the committed records of a topic; without `count` this ends only with the process."""
    seen = 0
    async for record in read_topic(settings, topic, from_beginning=from_beginning):
        where = f"{record.topic}[{record.partition}]@{record.offset}"
        _show(where, record)
        seen += 1
        if seen == count:
            return


def _show(where: str, record: Record) -> None:
    """What does not print is escaped: a topic may hold anybody's bytes, and a terminal obeys some of them."""
    event_type = _printable(record.headers.get("ce_type", ""))
    value = _printable(record.headers.get(UNREADABLE) or record.value.decode(errors="backslashreplace"))
    typer.echo(f"{typer.style(where, dim=True)} {typer.style(event_type, fg='green', bold=True)} {value}")


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
