"""`oms topics` and `oms events`, and the check of the topics at the start of a process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Annotated

import structlog
import typer

from messaging.engine.background import running
from messaging.kafka.admin import KafkaRefused, as_kafka_refused
from messaging.kafka.settings import KafkaSettings
from messaging.kafka.topic_check import problems_with
from messaging.kafka.topics import create_topics
from messaging.ports.record import Record
from messaging.postgres.inbox import KEEP_DAYS
from oms.environment import CannotDo, read_settings, run
from oms.output import AsJson, print_json, print_json_line
from oms.services import SERVICES, TOPICS
from oms.tail import document_of, line_of, tail

_LOOK_AGAIN_AFTER = 5.0

topics = typer.Typer(no_args_is_help=True, help="The topics on Kafka.")
events = typer.Typer(no_args_is_help=True, help="The events on Kafka.")
log = structlog.get_logger("topics")


@topics.command("create")
def topics_create(
    replication: Annotated[int, typer.Option(help="The number of copies of each partition.", min=1)] = 1,
    as_json: AsJson = False,
) -> None:
    """Create the missing topics, and name what is wrong with the others."""
    kafka, *_ = read_settings(KafkaSettings, *(service.settings for service in SERVICES.values()))

    async def main() -> None:
        with as_kafka_refused(kafka):
            created = await create_topics(kafka, TOPICS, replication=replication)
        if as_json:
            print_json([{"topic": topic.name, "created": topic.name in created} for topic in TOPICS])
        else:
            for topic in TOPICS:
                typer.echo(f"{topic.name}: {'created' if topic.name in created else 'was there already'}")
        await require_topics(kafka, replication=replication)

    run(main())


@events.command("tail")
def events_tail(
    topic: Annotated[str, typer.Argument(help="The topic to read.")] = "order-events",
    from_beginning: Annotated[bool, typer.Option(help="Start with the oldest event.")] = False,
    count: Annotated[int | None, typer.Option("--count", "-n", help="Stop after this number of events.", min=1)] = None,
    as_json: AsJson = False,
) -> None:
    """Print the committed events of a topic as they arrive. JSON has a line for each event."""
    (kafka,) = read_settings(KafkaSettings)

    def take(record: Record) -> None:
        if as_json:
            print_json_line(document_of(record))
        else:
            typer.echo(line_of(record, from_kafka=True))

    async def main() -> None:
        with as_kafka_refused(kafka):
            await tail(kafka, topic, from_beginning=from_beginning, count=count, take=take)

    run(main())


async def require_topics(kafka: KafkaSettings, *, replication: int = 1) -> None:
    """Check the topics. Raises CannotDo with a sentence for each problem, and KafkaRefused when no broker answers."""
    with as_kafka_refused(kafka):
        problems = await problems_with(kafka, TOPICS, timedelta(days=KEEP_DAYS), replication=replication)
    if problems:
        raise CannotDo("\n".join(problems))


@asynccontextmanager
async def topics_required(kafka: KafkaSettings) -> AsyncIterator[None]:
    """The same for a process that serves. Without a broker the process starts nevertheless, and checks the topics once
    a broker answers. A problem then ends the process."""
    try:
        await require_topics(kafka)
    except KafkaRefused as reason:
        log.warning("the topics are looked at later", reason=str(reason))
        async with running({"looking at the topics": _require_later(kafka)}):
            yield
    else:
        yield


async def _require_later(kafka: KafkaSettings) -> None:
    while True:
        await asyncio.sleep(_LOOK_AGAIN_AFTER)
        try:
            await require_topics(kafka)
        except KafkaRefused:
            continue
        log.info("the topics are as they should be")
        await asyncio.Event().wait()  # for as long as the process runs
