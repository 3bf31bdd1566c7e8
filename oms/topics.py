"""`oms topics` and `oms events`, and the check of the topics at the start of a process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Annotated

import structlog
import typer

from messaging.engine.background import running
from messaging.kafka import acls
from messaging.kafka.admin import KafkaRefused, as_kafka_refused
from messaging.kafka.settings import KafkaSettings
from messaging.kafka.topic_check import problems_with
from messaging.kafka.topics import create_topics
from messaging.ports.audit import done
from messaging.ports.record import Record
from messaging.postgres.inbox import KEEP_DAYS
from oms.databases import record
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
    kafka, *settings = read_settings(KafkaSettings, *(service.settings for service in SERVICES.values()))

    async def main() -> None:
        with as_kafka_refused(kafka):
            created = await create_topics(kafka, TOPICS, replication=replication)
        for service, its_settings in zip(SERVICES.values(), settings, strict=True):
            if new := [kafka.prefix + topic.name for topic in service.topics if topic.name in created]:
                entry = done("topics.create", topics=", ".join(new), replication=replication)
                await record(service, its_settings, entry)
        if as_json:
            print_json([{"topic": topic.name, "created": topic.name in created} for topic in TOPICS])
        else:
            for topic in TOPICS:
                typer.echo(f"{topic.name}: {'created' if topic.name in created else 'was there already'}")
        await require_topics(kafka, replication=replication)

    run(main())


@topics.command("acls")
def topics_acls(
    principal: Annotated[
        str, typer.Option(help="The principals. {role} becomes order-relay, order-consumer, …, operator.")
    ] = "User:oms-{role}",
    command_config: Annotated[
        str | None, typer.Option(help="The file with which kafka-acls.sh logs in, as its --command-config.")
    ] = None,
) -> None:
    """Print the kafka-acls.sh commands that give each service's relay and consumer, and operators, what they need."""
    if acls.ROLE not in principal:
        raise typer.BadParameter(f"--principal has {acls.ROLE} where the role's name comes, unlike {principal!r}")
    (kafka,) = read_settings(KafkaSettings)

    async def main() -> None:
        permissions = [
            permission
            for service in SERVICES.values()
            for permission in acls.permissions_of(kafka.prefix, service.name, service.produces, service.consumes)
        ]
        permissions += acls.permissions_of_operators(kafka.prefix, TOPICS, list(SERVICES))
        for command in acls.commands(permissions, principal, kafka.bootstrap_servers, command_config):
            typer.echo(command)

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
