"""`oms`: start the services, look at their topics, put load on them."""

import re
from functools import partial
from typing import Annotated

import structlog
import typer

from http_api.access.settings import AuthSettings
from messaging.kafka.settings import KafkaSettings
from messaging.postgres import rights
from messaging.runtime import database as service_database
from messaging.runtime.database_unusable import as_database_unusable
from messaging.runtime.service import Service
from messaging.runtime.settings import PublisherKind, Role
from messaging.runtime.telemetry import TelemetrySettings, traced
from oms import topics
from oms.api_key_commands import api_keys
from oms.audit_commands import audit
from oms.environment import read_settings, run
from oms.exit_status import ExitStatus
from oms.kept_commands import dead_letters, parked
from oms.order_commands import orders as orders_commands
from oms.output import AsJson, print_json
from oms.service_process import run_all, run_service
from oms.services import SERVICES, service_named
from oms.status_command import status

log = structlog.get_logger("process")

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
app.command()(status)
app.add_typer(topics.topics, name="topics")
app.add_typer(topics.events, name="events")
app.add_typer(orders_commands, name="orders")
app.add_typer(dead_letters, name="dead-letters")
app.add_typer(parked, name="parked")
app.add_typer(api_keys, name="api-keys")
app.add_typer(audit, name="audit")


ONE_OF = f"One of {', '.join(SERVICES)}."
PREFIX = re.compile(r"[a-z_][a-z0-9_]{0,39}")
Host = Annotated[str, typer.Option(help="The address to listen on.")]
Port = Annotated[int, typer.Option(help="The port to listen on.", min=1, max=65535)]


@app.command()
def up(
    host: Host = "127.0.0.1",
    port: Port = 8000,
    samples: Annotated[bool, typer.Option("--samples/--no-samples", help="Put products p1 to p5 on sale.")] = True,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print no orders.")] = False,
    events: Annotated[
        bool, typer.Option("--events", help="Print every event instead of a line for each order.")
    ] = False,
) -> None:
    """Run orders, inventory and payments in one process, and print a line for each order: who, what, how long."""
    if quiet and events:
        raise typer.BadParameter("give --quiet or --events, not both")
    kinds = [service.settings for service in SERVICES.values()]
    kafka, telemetry, auth, *settings = read_settings(KafkaSettings, TelemetrySettings, AuthSettings, *kinds)
    _say_who_may_come_in(auth, host)
    by_name = dict(zip(SERVICES, settings, strict=True))
    serving = partial(run_all, by_name, kafka, auth, host, port, samples=samples, quiet=quiet, events=events)
    run(traced(telemetry, "oms", by_name["order"].event_publisher, serving))


@app.command()
def serve(
    service: Annotated[Service, typer.Argument(help=ONE_OF, metavar="SERVICE", parser=service_named)],
    roles: Annotated[
        str, typer.Option(help="The roles of this process: api, relay, consumer, or several with commas.")
    ] = "api,relay,consumer",
    host: Host = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(help="The port to listen on. [default: the service's own, from 8000 on]", min=1, max=65535),
    ] = None,
    samples: Annotated[bool, typer.Option("--samples", help="inventory: put products p1 to p5 on sale.")] = False,
) -> None:
    """Run one service, with one or more of its roles."""
    if samples and service.name != "inventory":
        raise typer.BadParameter("--samples is for the inventory")
    wanted = _roles(roles)
    kafka, telemetry, auth, settings = read_settings(KafkaSettings, TelemetrySettings, AuthSettings, service.settings)
    _say_who_may_come_in(auth, host)
    if wanted != {Role.API} and settings.event_publisher is PublisherKind.IN_PROCESS:
        typer.echo(
            "EVENT_PUBLISHER=in-process does not reach other processes, and this is one service on its own: "
            "set EVENT_PUBLISHER=kafka (or logging), or start everything in one process with `oms up`",
            err=True,
        )
        raise typer.Exit(ExitStatus.USAGE)
    if Role.CONSUMER in wanted and settings.event_publisher is PublisherKind.LOGGING:
        log.warning(
            "EVENT_PUBLISHER=logging delivers no messages: this consumer receives nothing, and orders reach their "
            "deadlines"
        )
    options = {"samples": True} if samples else {}
    serving = partial(run_service, service, settings, kafka, auth, wanted, host, port or service.port, options)
    run(traced(telemetry, f"oms-{service.name}", settings.event_publisher, serving))


def _say_who_may_come_in(auth: AuthSettings, host: str) -> None:
    """End the process if it would let strangers in and nobody has said that it shall."""
    if sentence := auth.must_be_said(host):
        typer.echo(sentence, err=True)
        raise typer.Exit(ExitStatus.USAGE)


def _roles(text: str) -> frozenset[Role]:
    try:
        wanted = [Role(role) for role in text.split(",")]
    except ValueError:
        raise typer.BadParameter(f"roles are {', '.join(Role)}, separated by commas, not {text!r}") from None
    if len(set(wanted)) < len(wanted):
        raise typer.BadParameter(f"each role is given once, not as in {text!r}")
    return frozenset(wanted)


@app.command()
def migrate(
    service: Annotated[
        Service | None,
        typer.Argument(help=f"{ONE_OF} All of them if it is not given.", metavar="SERVICE", parser=service_named),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Bring the schemas of the databases up to date."""
    chosen = [service] if service else list(SERVICES.values())
    _, *settings = read_settings(KafkaSettings, *(one.settings for one in chosen))

    async def main() -> None:
        migrated = []
        for one, its_settings in zip(chosen, settings, strict=True):
            url = one.database_url(its_settings)
            if url == "memory":
                typer.echo(f"{one.name.upper()}_DATABASE_URL=memory has no schema to migrate", err=True)
                continue
            with as_database_unusable(one):
                dsn = await service_database.resolve(url, its_settings.data_dir, one.database_name)
                is_ours = await service_database.bring_up_to_date(dsn, one.migrations)
                if is_ours:  # a newer release may need other rights, and has granted them
                    await service_database.grant_rights(dsn, one.tables)
            migrated.append({"service": one.name, "upToDate": True})
            if not as_json:
                state = "up to date" if is_ours else "of a newer release, there is nothing to do"
                typer.echo(f"{one.name}: the schema is {state}")
        if as_json:
            print_json(migrated)

    run(main())


@app.command()
def roles(
    service: Annotated[Service, typer.Argument(help=ONE_OF, metavar="SERVICE", parser=service_named)],
    prefix: Annotated[
        str | None, typer.Option(help="What the names of the roles begin with. [default: oms_ and the service]")
    ] = None,
) -> None:
    """Print the SQL that makes a service's database roles: a migrator that owns the tables, and roles for the
    application, its relay and operators, with no more rights than they need. A superuser runs it once with psql."""
    chosen = prefix or f"oms_{service.name}"
    if not PREFIX.fullmatch(chosen):
        raise typer.BadParameter(f"--prefix has 1 to 40 small letters, digits and underscores, not {chosen!r}")

    async def main() -> None:
        typer.echo(rights.roles(chosen, service.tables, service.name), nl=False)

    run(main())


@app.command()
def load(
    url: Annotated[str, typer.Option(help="The address of the order service.")] = "http://127.0.0.1:8000",
    orders: Annotated[
        int, typer.Option("--orders", "-n", help="How many orders to place.", min=1, max=10_000_000)
    ] = 10_000,
    connections: Annotated[int, typer.Option("--connections", "-c", help="How many at a time.", min=1, max=1000)] = 64,
    rate: Annotated[
        float | None,
        typer.Option(
            help="Orders a second, at fixed times. [default: as fast as they are accepted]", min=0.01, max=100_000
        ),
    ] = None,
    settle_within: Annotated[
        float, typer.Option(help="Seconds until orders that are not settled are given up.", min=0, max=3600)
    ] = 60.0,
    as_json: AsJson = False,
) -> None:
    """Place orders, follow them until they are confirmed, and print counts, rates and percentiles of times.

    OMS_TOKEN is the access token or the API key of the caller who places them, where callers need one.
    """
    from oms import load as load_test  # slow to import, and needed here alone

    if not url.startswith(("http://", "https://")):
        raise typer.BadParameter(f"--url is an address such as http://127.0.0.1:8000, not {url!r}")
    (settings,) = read_settings(load_test.LoadSettings)
    plan = load_test.Plan(url, orders, connections, rate, settle_within, settings.oms_token)
    run(load_test.run(plan, as_json=as_json))
