"""`oms`: start the services, look at their topics, put load on them."""

import asyncio
import sys
from collections.abc import Coroutine
from enum import StrEnum
from typing import Annotated, Any

import typer
from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings

from messaging.embedded_postgres import EmbeddedPostgresMissing
from messaging.kafka import create_topics
from messaging.kafka_settings import KafkaSettings
from oms import load as load_test
from oms.logs import LogFormat, configure_logs
from oms.order_process import run_order_service
from oms.process import CannotListen
from oms.tail import tail
from order_service.bootstrap import TOPICS
from order_service.infrastructure import database
from order_service.settings import OrderSettings, PublisherKind, Role

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
topics = typer.Typer(no_args_is_help=True, help="The topics on Kafka.")
events = typer.Typer(no_args_is_help=True, help="The events on Kafka.")
app.add_typer(topics, name="topics")
app.add_typer(events, name="events")


class Service(StrEnum):
    """What `oms serve` can start."""

    ORDER = "order"


class LogLevel(StrEnum):
    """LOG_LEVEL."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


class LogSettings(BaseSettings):
    """LOG_FORMAT and LOG_LEVEL."""

    log_format: LogFormat = LogFormat.AUTO
    log_level: LogLevel = Field(LogLevel.INFO)


Host = Annotated[str, typer.Option(help="Address to listen on.")]
Port = Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65535)]


def _settings() -> tuple[OrderSettings, KafkaSettings]:
    """Read the environment. A wrong value ends the process with a sentence that names it."""
    try:
        logs = LogSettings()
        settings = OrderSettings(), KafkaSettings()
    except ValidationError as error:
        for problem in error.errors():
            prefix = "KAFKA_" if error.title == KafkaSettings.__name__ else ""
            name = f"{prefix}{problem['loc'][0]}".upper() + " " if problem["loc"] else ""
            secret = "PASSWORD" in name or "DATABASE_URL" in name
            given = f" (it is {problem['input']!r})" if name and not secret else ""
            typer.echo(f"{name}{problem['msg'].removeprefix('Value error, ')}{given}", err=True)
        raise typer.Exit(2) from None
    configure_logs(logs.log_format, logs.log_level)
    return settings


def _run(main: Coroutine[Any, Any, None]) -> None:
    """Run to the end on uvloop where there is one. What the user can mend ends with a sentence and status 1."""
    try:
        if sys.platform == "win32":
            asyncio.run(main)
        else:
            import uvloop

            uvloop.run(main)
    except (EmbeddedPostgresMissing, CannotListen) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


@app.command()
def up(host: Host = "127.0.0.1", port: Port = 8000) -> None:
    """Everything in one process: take orders, publish their events, and show each event as it is delivered."""
    settings, kafka = _settings()

    async def main() -> None:
        if settings.event_publisher is PublisherKind.KAFKA:
            await create_topics(kafka, TOPICS)
        await run_order_service(settings, kafka, frozenset(Role), host, port, show=True)

    _run(main())


@app.command()
def serve(
    service: Annotated[Service, typer.Argument(help="Which service.")],
    roles: Annotated[str, typer.Option(help="What this process does: api, relay, or both with a comma.")] = "api,relay",
    host: Host = "127.0.0.1",
    port: Port = 8000,
) -> None:
    """One service, with one or more of its roles."""
    try:
        wanted = frozenset(Role(role.strip()) for role in roles.split(","))
    except ValueError:
        raise typer.BadParameter(f"roles are {', '.join(Role)}, separated by commas, not {roles!r}") from None
    settings, kafka = _settings()
    if Role.RELAY in wanted and settings.event_publisher is PublisherKind.IN_PROCESS:
        typer.echo(
            "EVENT_PUBLISHER=in-process has nobody to deliver to in a service on its own: "
            "set EVENT_PUBLISHER=kafka (or logging), or start everything in one process with `oms up`",
            err=True,
        )
        raise typer.Exit(2)
    match service:
        case Service.ORDER:
            _run(run_order_service(settings, kafka, wanted, host, port, show=False))


@app.command()
def migrate() -> None:
    """Bring the database's schema up to date."""
    settings, _ = _settings()

    async def main() -> None:
        if settings.order_database_url == "memory":
            typer.echo("ORDER_DATABASE_URL=memory has no schema to migrate", err=True)
            return
        await database.migrate(await database.resolve(settings.order_database_url, settings.data_dir))
        typer.echo("order: the schema is up to date")

    _run(main())


@topics.command("create")
def topics_create(
    replication: Annotated[int, typer.Option(help="Copies of each partition.", min=1)] = 1,
) -> None:
    """Make the topics that are not there yet."""
    _, kafka = _settings()

    async def main() -> None:
        created = await create_topics(kafka, TOPICS, replication=replication)
        for topic in TOPICS:
            typer.echo(f"{topic.name}: {'created' if topic.name in created else 'was there already'}")

    _run(main())


@events.command("tail")
def events_tail(
    topic: Annotated[str, typer.Argument(help="The topic to read.")] = "order-events",
    from_beginning: Annotated[bool, typer.Option(help="Begin with the oldest event.")] = False,
    count: Annotated[int | None, typer.Option("--count", "-n", help="Stop after this many.", min=1)] = None,
) -> None:
    """Show the committed events of a topic as they come."""
    _, kafka = _settings()
    _run(tail(kafka, topic, from_beginning=from_beginning, count=count))


@app.command()
def load(
    url: Annotated[str, typer.Option(help="The order service.")] = "http://127.0.0.1:8000",
    orders: Annotated[int, typer.Option("--orders", "-n", help="How many orders to place.", min=1)] = 10_000,
    connections: Annotated[int, typer.Option("--connections", "-c", help="How many at a time.", min=1, max=1000)] = 64,
) -> None:
    """Place orders as fast as they are taken, and print what became of them."""
    _run(load_test.run(url, orders=orders, connections=connections))
