"""Events as readable lines, from this process or from a topic."""

from collections.abc import Callable, Sequence

import typer

from messaging.kafka.settings import KafkaSettings
from messaging.kafka.topics import read_topic
from messaging.ports.record import UNREADABLE, Record
from messaging.ports.subscription import Subscriber
from oms.output import printable


def showing(show: Callable[[str], None]) -> Subscriber:
    """A subscriber that shows a line for each record."""

    async def show_events(records: Sequence[Record]) -> None:
        for record in records:
            show(_line(record.topic, record))

    return show_events


async def tail(
    settings: KafkaSettings,
    topic: str,
    *,
    from_beginning: bool,
    count: int | None,
    show: Callable[[str], None] = typer.echo,
) -> None:
    """Show the committed records of a topic. Without `count` this ends only with the process."""
    seen = 0
    async for record in read_topic(settings, topic, from_beginning=from_beginning):
        where = f"{record.topic}[{record.partition}]@{record.offset}"
        show(_line(where, record))
        seen += 1
        if seen == count:
            return


def _line(where: str, record: Record) -> str:
    """The line of a record. Unprintable characters are escaped, because a terminal could obey them."""
    event_type = printable(record.headers.get("ce_type", ""))
    value = printable(record.headers.get(UNREADABLE) or record.value.decode(errors="backslashreplace"))
    return f"{typer.style(where, dim=True)} {typer.style(event_type, fg='green', bold=True)} {value}"
