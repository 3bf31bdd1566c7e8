"""`oms orders`: one order's life, orders whose compensation failed, and orders that were lost.

The commands only change the services' databases. The running services do the rest: their relays publish the commands of
a retry.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

import typer

from messaging.brokerless.in_process import InProcessBroker
from messaging.kafka.settings import KafkaSettings
from messaging.runtime.database_unusable import as_database_unusable
from messaging.runtime.settings import Role
from messaging.runtime.telemetry import TelemetrySettings, traced
from oms.databases import address_of_database
from oms.environment import CannotDo, LogLevel, broker_is_set, read_settings, run
from oms.exit_status import ExitStatus
from oms.output import AsJson, cells, print_json, print_list, progress
from oms.services import SERVICES
from order_service.application.find_orders import OrderNotFound
from order_service.bootstrap import SERVICE as ORDER
from order_service.bootstrap import OrderService, order_service
from order_service.domain.order import InvalidOrder, OrderId
from order_service.settings import OrderSettings

LISTED = 100
_MOST_AT_ONCE = 10_000

orders = typer.Typer(
    no_args_is_help=True, help="Orders: one by its id, those that are stuck, and those that were lost."
)


@asynccontextmanager
async def _orders() -> AsyncIterator[OrderService]:
    (settings,) = read_settings(OrderSettings, log_level=LogLevel.CRITICAL)
    # With its address, an embedded database is neither created nor migrated by a command that only reads.
    there = {"order_database_url": await address_of_database(ORDER, settings)}
    with as_database_unusable(ORDER):
        async with order_service(
            settings.model_copy(update=there), InProcessBroker(), frozenset({Role.API})
        ) as running_service:
            yield running_service


def order_id_of(text: str) -> UUID:
    """The id that an argument names. Another text ends the process with a sentence."""
    try:
        return OrderId(UUID(text)).value
    except (ValueError, InvalidOrder):
        typer.echo(f"an order id is a UUID of version 7, as POST /orders answers it, not {text!r}", err=True)
        raise typer.Exit(ExitStatus.USAGE) from None


@orders.command("show")
def orders_show(
    order_id: Annotated[str, typer.Argument(help="The id of the order.")],
    as_json: AsJson = False,
) -> None:
    """Show one order's life: every step with its message, what it waits for, and what of it is parked or dead."""
    from oms.order_life import life_of
    from oms.order_life_table import life_document, print_life

    wanted = order_id_of(order_id)
    kafka, *settings = read_settings(
        KafkaSettings, *(service.settings for service in SERVICES.values()), log_level=LogLevel.CRITICAL
    )
    by_name = dict(zip(SERVICES, settings, strict=True))
    has_broker = broker_is_set(kafka, settings)

    async def main() -> None:
        life = await life_of(wanted, by_name, kafka if has_broker else None)
        away = {what: why for what, why in life.missing.items() if has_broker or what != "topics"}
        if not life.is_known:
            _say_unknown(wanted, away)
        if as_json:
            print_json(life_document(life))
        else:
            print_life(life, datetime.now(UTC))
        if away:
            raise typer.Exit(ExitStatus.INCOMPLETE)

    run(main())


def _say_unknown(order_id: UUID, away: dict[str, str]) -> None:
    """End the command, because nobody knows the order."""
    if not away:
        raise CannotDo(f"there is no order {order_id}")
    if len([what for what in away if what.endswith(" database")]) == len(SERVICES):
        raise CannotDo("\n".join(dict.fromkeys(away.values())))
    typer.echo(
        f"there is no order {order_id} in what could be read; not read: "
        + "; ".join(f"{what}: {why}" for what, why in away.items()),
        err=True,
    )
    raise typer.Exit(ExitStatus.INCOMPLETE)


@orders.command("stuck")
def orders_stuck(as_json: AsJson = False) -> None:
    """List the orders whose compensation was asked for again and again without an answer."""

    from rich.table import Column, Table

    async def main() -> None:
        async with _orders() as service:
            stuck = await service.stuck.newest(LISTED)
        documents = [
            {
                "orderId": order.id,
                "stock": order.stock,
                "payment": order.payment,
                "reason": order.reason,
                "since": order.updated_at,
            }
            for order in stuck
        ]
        table = Table(Column("order", no_wrap=True, min_width=36), "stock", "payment", "reason", "since")
        for order in stuck:
            table.add_row(
                *cells(order.id, order.stock, order.payment or "-", order.reason, f"{order.updated_at:%F %T}")
            )
        print_list(documents, table, as_json=as_json, otherwise="no order is stuck")

    run(main())


@orders.command("unknown")
def orders_unknown(as_json: AsJson = False) -> None:
    """List the orders that partners answered about and that are not in the database. They were compensated."""

    from rich.table import Column, Table

    async def main() -> None:
        async with _orders() as service:
            unknown = await service.unknown.newest(LISTED)
        documents = [
            {
                "orderId": order.id,
                "lastAnswer": order.last_answer,
                "answers": order.answers,
                "firstAt": order.first_at,
                "lastAt": order.last_at,
            }
            for order in unknown
        ]
        table = Table(Column("order", no_wrap=True, min_width=36), "last answer", "answers", "first", "last")
        for order in unknown:
            times = (f"{order.first_at:%F %T}", f"{order.last_at:%F %T}")
            table.add_row(*cells(order.id, order.last_answer, order.answers, *times))
        print_list(documents, table, as_json=as_json, otherwise="no order is unknown")

    run(main())


@orders.command("retry")
def orders_retry(
    order_id: Annotated[str | None, typer.Argument(help="The id of one order.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All stuck orders.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send the missing compensation of stuck orders again."""
    if (order_id is None) != every:
        raise typer.BadParameter("give the id of one order, or --all")
    one_id = OrderId(order_id_of(order_id)) if order_id is not None else None
    settings, telemetry = read_settings(OrderSettings, TelemetrySettings, log_level=LogLevel.CRITICAL)

    async def main() -> None:
        retried = []
        async with _orders() as service:
            try:
                chosen = [one_id] if one_id else [order.id for order in await service.stuck.newest(_MOST_AT_ONCE)]
                for one in progress(chosen, "asking again"):
                    order = await service.stuck.retry(one)
                    retried.append({"orderId": one, "status": order.status})
                    if not as_json:
                        typer.echo(f"{one}: {order.status}")
            except (OrderNotFound, InvalidOrder) as error:
                raise CannotDo(str(error)) from None
        if as_json:
            print_json(retried)
        elif not retried:
            typer.echo("no order is stuck")

    run(traced(telemetry, "oms-order", settings.event_publisher, main))
