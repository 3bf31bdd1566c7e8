"""`oms orders`, `oms dead-letters`, `oms parked`: commands for failed orders and messages.

The commands only change the services' databases. The running services do the rest: their relays publish the commands of
a retry, and their sweeps handle replayed messages.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, TypeVar
from uuid import UUID

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Column, Table

from messaging.brokerless.in_process import InProcessBroker
from messaging.postgres.failures import Kept, PostgresFailures
from messaging.postgres.pool import open_pool
from messaging.runtime import database as service_database
from messaging.runtime.database_unusable import as_database_unusable
from messaging.runtime.service import Service
from messaging.runtime.settings import Role, ServiceSettings
from oms.environment import CannotDo, LogLevel, read_settings, run
from oms.services import SERVICES, service_named
from order_service.application.find_orders import OrderNotFound
from order_service.bootstrap import SERVICE as ORDER
from order_service.bootstrap import OrderService, order_service
from order_service.domain.order import InvalidOrder, OrderId
from order_service.settings import OrderSettings

AT_ONCE = 100
LISTED = 100
_T = TypeVar("_T")

orders = typer.Typer(no_args_is_help=True, help="Orders whose compensation failed, and orders that were lost.")
dead_letters = typer.Typer(no_args_is_help=True, help="Messages that a service will never handle as they are.")
parked = typer.Typer(no_args_is_help=True, help="Messages that wait behind one that could not be handled.")

_ONE_OF = f"The service: {', '.join(SERVICES)}"
OneService = Annotated[
    Service, typer.Option("--service", "-s", help=f"{_ONE_OF}.", metavar="SERVICE", parser=service_named)
]
AnyService = Annotated[
    Service | None,
    typer.Option(
        "--service", "-s", help=f"{_ONE_OF}; all of them if it is not given.", metavar="SERVICE", parser=service_named
    ),
]
Key = Annotated[str | None, typer.Option("--key", "-k", help="Only those of this order.")]


@asynccontextmanager
async def _orders() -> AsyncIterator[OrderService]:
    (settings,) = read_settings(OrderSettings, log_level=LogLevel.CRITICAL)
    # With its address, an embedded database is neither created nor migrated by a command that only reads.
    there = {"order_database_url": await _database(ORDER, settings)}
    with as_database_unusable(ORDER):
        async with order_service(
            settings.model_copy(update=there), InProcessBroker(), frozenset({Role.API})
        ) as running_service:
            yield running_service


@asynccontextmanager
async def _failures(service: Service) -> AsyncIterator[PostgresFailures]:
    (settings,) = read_settings(service.settings, log_level=LogLevel.CRITICAL)
    dsn = await _database(service, settings)
    with as_database_unusable(service):
        async with open_pool(dsn) as pool:
            yield PostgresFailures(pool)


async def _database(service: Service, settings: ServiceSettings) -> str:
    url = service.database_url(settings)
    if url == "memory":
        raise CannotDo(
            f"{service.name.upper()}_DATABASE_URL=memory is the memory of another process, which a command cannot read"
        )
    if url != "embedded":
        return url
    return await service_database.resolve(url, settings.data_dir, service.database_name, create=False)


@orders.command("stuck")
def orders_stuck() -> None:
    """List the orders whose compensation was asked for again and again without an answer."""

    async def main() -> None:
        async with _orders() as service:
            stuck = await service.stuck.newest(LISTED)
        table = Table(Column("order", no_wrap=True, min_width=36), "stock", "payment", "reason", "since")
        for order in stuck:
            table.add_row(str(order.id), order.stock, order.payment or "-", order.reason, f"{order.updated_at:%F %T}")
        Console().print(table if stuck else "no order is stuck")

    run(main())


@orders.command("unknown")
def orders_unknown() -> None:
    """List the orders that partners answered about and that are not in the database. They were compensated."""

    async def main() -> None:
        async with _orders() as service:
            unknown = await service.unknown.newest(LISTED)
        table = Table(Column("order", no_wrap=True, min_width=36), "last answer", "answers", "first", "last")
        for order in unknown:
            table.add_row(
                str(order.id),
                order.last_answer,
                str(order.answers),
                f"{order.first_at:%F %T}",
                f"{order.last_at:%F %T}",
            )
        Console().print(table if unknown else "no order is unknown")

    run(main())


@orders.command("retry")
def orders_retry(
    order_id: Annotated[UUID | None, typer.Argument(help="The id of one order.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All stuck orders.")] = False,
) -> None:
    """Send the missing compensation of stuck orders again."""
    if (order_id is None) != every:
        raise typer.BadParameter("give the id of one order, or --all")

    async def main() -> None:
        async with _orders() as service:
            try:
                chosen = [OrderId(order_id)] if order_id else [order.id for order in await service.stuck.newest(10_000)]
                for one in _progress(chosen, "asking again"):
                    order = await service.stuck.retry(one)
                    typer.echo(f"{one}: {order.status}")
            except (OrderNotFound, InvalidOrder) as error:
                raise CannotDo(str(error)) from None

    run(main())


@dead_letters.command("list")
def dead_letters_list(service: AnyService = None, key: Key = None) -> None:
    """List dead letters, oldest first."""

    async def main() -> None:
        for one in [service] if service else SERVICES.values():
            async with _failures(one) as failures:
                _print(one, await failures.dead_letters(key, LISTED))

    run(main())


@dead_letters.command("show")
def dead_letters_show(
    letter_id: Annotated[int, typer.Argument(help="The number of the dead letter.")], service: OneService
) -> None:
    """Show one dead letter completely."""

    async def main() -> None:
        async with _failures(service) as failures:
            letter = await failures.dead_letter(letter_id)
        if letter is None:
            raise CannotDo(f"{service.name} has no dead letter {letter_id}")
        record = letter.record
        typer.echo(f"at:       {record.topic}[{record.partition}]@{record.offset}, {letter.since:%F %T}")
        typer.echo(f"error:    {letter.error} (after {letter.attempts} attempts)")
        typer.echo(f"key:      {record.key}")
        for header, value in record.headers.items():
            typer.echo(f"header:   {header}: {value}")
        typer.echo(f"value:    {record.value.decode(errors='backslashreplace')}")

    run(main())


@dead_letters.command("replay")
def dead_letters_replay(
    service: OneService,
    letter_id: Annotated[int | None, typer.Argument(help="The number of one dead letter.")] = None,
    key: Key = None,
    every: Annotated[bool, typer.Option("--all", help="All dead letters.")] = False,
) -> None:
    """Handle dead letters again. They keep their event ids."""
    if [letter_id is not None, key is not None, every].count(True) != 1:
        raise typer.BadParameter("give the number of one dead letter, or --key, or --all")

    async def main() -> None:
        async with _failures(service) as failures:
            if letter_id is not None:
                found = await failures.dead_letter(letter_id)
                ids = [found.id] if found else []
            else:
                ids = [letter.id for letter in await failures.dead_letters(key, 1_000_000)]
            if not ids:
                raise CannotDo(f"{service.name} has no such dead letter")
            starts = range(0, len(ids), AT_ONCE)
            for start in _progress(starts, "replaying"):
                await failures.replay(ids[start : start + AT_ONCE])
        typer.echo(f"{service.name}: {len(ids)} will be handled again by the next sweep of its consumer")

    run(main())


@parked.command("list")
def parked_list(service: AnyService = None) -> None:
    """List parked messages, oldest first. The first of each key is the one that fails."""

    async def main() -> None:
        for one in [service] if service else SERVICES.values():
            async with _failures(one) as failures:
                _print(one, await failures.parked(LISTED))

    run(main())


@parked.command("retry")
def parked_retry(service: OneService, key: Key = None) -> None:
    """Try parked messages now, and not only after their pause."""

    async def main() -> None:
        async with _failures(service) as failures:
            await failures.retry(key)
        typer.echo(f"{service.name}: parked messages will be tried by the next sweep of its consumer")

    run(main())


def _progress(these: Sequence[_T], doing: str) -> Iterable[_T]:
    """A progress bar on a terminal, and nothing elsewhere."""
    console = Console(stderr=True)
    return track(these, doing, console=console, transient=True, disable=not console.is_terminal)


def _print(service: Service, kept: Sequence[Kept]) -> None:
    table = Table("no.", "type", "at", "key", "tried", "error", title=f"{service.name} service", title_justify="left")
    for one in kept:
        record = one.record
        table.add_row(
            str(one.id),
            record.headers.get("ce_type", "?"),
            f"{record.topic}[{record.partition}]@{record.offset}",
            record.key,
            str(one.attempts),
            one.error,
        )
    Console().print(table if kept else f"{service.name}: none")
