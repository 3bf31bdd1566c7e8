"""`python -m benchmarks.peers`: ours and two engines of durable execution, in turns, and a table for docs/peers.md."""

import asyncio
import os
import signal
import statistics
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Final

import typer
import uvloop
from rich.console import Console

from benchmarks import machine
from benchmarks.calm import decided
from benchmarks.cpu import CpuMeter
from benchmarks.database import connected, database_server
from benchmarks.environment import Environment
from benchmarks.installation import Installation, started
from benchmarks.order_client import OrderClient
from benchmarks.peers.parties import PLANNED_BY, Party, System, missing, versions
from benchmarks.plan import FULL, QUICK
from benchmarks.table import Samples, markdown_table, write_block
from benchmarks.waiting import until
from tests.real_parts.kafka import Broker, NoBroker, kafka_broker

_UNDER_WAY: Final = 500
_CALM_RATE: Final = 20
_KILLED_WITH: Final = 100
_SETTLES_WITHIN: Final = 120.0
_PAGE: Final = Path("docs/peers.md")

_CONFIRMED: Final = "select count(*) from orders where status = 'CONFIRMED'"
_CONFIRMED_OF: Final = f"{_CONFIRMED} and id = any($1::uuid[])"


@dataclass(slots=True)
class Measured:
    """What a party did, a value for each round."""

    per_second: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)
    recovered_in: list[float] = field(default_factory=list)
    not_confirmed: int = 0

    def cells(self) -> tuple[str, ...]:
        """The row, in the order of _COLUMNS, without the name."""
        return (
            str(Samples(tuple(self.per_second), "/s")),
            str(Samples(tuple(self.cpu_ms), " ms")),
            str(Samples(tuple(self.p50), " ms")),
            str(Samples(tuple(self.p99), " ms")),
            str(Samples(tuple(self.recovered_in), " s")),
            str(self.not_confirmed),
        )


_COLUMNS: Final = (
    "system",
    f"POST to CONFIRMED, {_UNDER_WAY} under way",
    "CPU an order, all processes",
    f"{_CALM_RATE} orders/s, p50",
    "p99",
    f"kill -9 with {_KILLED_WITH} under way: all confirmed after",
    f"accepted and not confirmed after {_SETTLES_WITHIN:.0f} s",
)


def main(
    quick: Annotated[bool, typer.Option("--quick", help="Fewer and shorter rounds.")] = False,
    only: Annotated[list[System] | None, typer.Option(help="Measure this alone; may be repeated.")] = None,
    write: Annotated[bool, typer.Option("--write", help="Put the table into docs/peers.md.")] = False,
) -> None:
    """Measure ours beside engines of durable execution, with the same flow."""
    if write and only:
        raise typer.BadParameter("--write wants all systems of one run: leave out --only")
    for system, why in (gone := missing()).items():
        typer.echo(f"{system} is left out: {why}", err=True)
    systems = [system for system in only or System if system not in gone]
    if not systems or (write and gone):
        raise typer.Exit(1)
    try:
        with kafka_broker() as broker:
            uvloop.run(_run(broker, systems, quick=quick, write=write))
    except NoBroker as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


async def _run(broker: Broker, systems: list[System], *, quick: bool, write: bool) -> None:
    plan = QUICK if quick else FULL
    measured: dict[System, Measured] = defaultdict(Measured)
    with Console(stderr=True).status("starting PostgreSQL") as status:
        async with database_server() as database, AsyncExitStack() as at_the_end:
            facts = f"{machine.describe(plan, database, broker)}\n{versions()}"
            environment = Environment(plan, database, broker.bootstrap_servers, status.update)
            at_the_end.push_async_callback(environment.delete_topics)
            for number in range(plan.rounds):
                for system in Random(number).sample(systems, len(systems)):  # or the same one always follows another
                    environment.say(f"round {number + 1} of {plan.rounds}: {system}")
                    with TemporaryDirectory(dir="/var/tmp") as folder:
                        await _measure(
                            environment, await PLANNED_BY[system](environment, Path(folder)), measured[system]
                        )
                    await database.start_afresh()
    text = markdown_table(_COLUMNS, [(system, *measured[system].cells()) for system in systems])
    print(facts, text, sep="\n\n")
    if write:
        write_block(_PAGE, f"{facts}\n\n{text}")


async def _measure(environment: Environment, party: Party, measured: Measured) -> None:
    async with connected(party.planned.order_dsn) as connection:
        async with started(party.planned) as installation:
            await party.prepare(installation)
            await _measure_rate(environment, party, installation, connection, measured)
            await _measure_time(environment, party, installation, measured)
        await _measure_recovery(party, connection, measured)


async def _measure_rate(
    environment: Environment, party: Party, installation: Installation, connection: Any, measured: Measured
) -> None:
    """Keep so many orders under way, and count between two moments how many are confirmed. Twice as many as are under
    way are confirmed before the first moment, and between the two: all begin at once, and arrive in waves."""
    meter, stop = await CpuMeter.of(installation, environment.bootstrap_servers), asyncio.Event()
    async with _client_of(party, installation) as client, connected(party.planned.order_dsn) as counting:
        loading = asyncio.create_task(client.keep_on_their_way(_UNDER_WAY, await _unsettled(client, counting), stop))
        try:
            await _until_more(connection, 2 * _UNDER_WAY, loading)
            cpu, before, began = sum(meter.read().values()), await connection.fetchval(_CONFIRMED), time.perf_counter()
            await asyncio.wait({loading}, timeout=environment.plan.short_seconds)
            await _until_more(connection, 2 * _UNDER_WAY - (await connection.fetchval(_CONFIRMED) - before), loading)
            used, after, ended = sum(meter.read().values()), await connection.fetchval(_CONFIRMED), time.perf_counter()
        finally:
            stop.set()
            await asyncio.wait({loading}, timeout=_SETTLES_WITHIN)
        loading.result()
        await _until_confirmed(client, connection)
    measured.per_second.append((after - before) / (ended - began))
    measured.cpu_ms.append((used - cpu) * 1000 / (after - before))


async def _measure_time(environment: Environment, party: Party, installation: Installation, measured: Measured) -> None:
    """From when an order was due to be sent until the decision that it is confirmed, where there is time."""
    times = await decided(installation, _CALM_RATE, environment.plan.short_seconds, party.dialect())
    percentiles = statistics.quantiles(times, n=100)
    measured.p50.append(percentiles[49])
    measured.p99.append(percentiles[98])


async def _measure_recovery(party: Party, connection: Any, measured: Measured) -> None:
    """kill -9 of every process in the middle, and a start: how soon is every order confirmed that was accepted?"""
    async with (
        started(party.planned) as installation,
        _client_of(party, installation) as client,
        connected(party.planned.order_dsn) as counting,
    ):
        under_way = client.keep_on_their_way(_KILLED_WITH, await _unsettled(client, counting), asyncio.Event())
        loading = asyncio.create_task(under_way)
        await _until_more(connection, 2 * _KILLED_WITH, loading)
        loading.cancel()
        for process in installation.processes.values():
            os.kill(process.pid, signal.SIGKILL)
        await asyncio.wait({loading}, timeout=_SETTLES_WITHIN)
        if not loading.cancelled():
            loading.result()
    began = time.perf_counter()
    async with started(party.planned):
        try:
            await _until_confirmed(client, connection)
        except TimeoutError:
            measured.not_confirmed += len(client.accepted) - await _confirmed_of(client, connection)
        measured.recovered_in.append(time.perf_counter() - began)


@asynccontextmanager
async def _client_of(party: Party, installation: Installation) -> AsyncIterator[OrderClient]:
    client = await OrderClient.connected_to(installation.api.port, party.dialect())
    try:
        yield client
    finally:
        client.close()


async def _unsettled(client: OrderClient, connection: Any) -> Callable[[], Awaitable[int]]:
    """How many of the orders that it accepts from now on are not confirmed yet. An engine has an order before the table
    of orders does, so the client counts them."""
    before = await connection.fetchval(_CONFIRMED)

    async def unsettled() -> int:
        return len(client.accepted) + int(before - await connection.fetchval(_CONFIRMED))

    return unsettled


async def _until_more(connection: Any, count: int, loading: asyncio.Task[int]) -> None:
    """Return when so many more orders are confirmed. Raises what ends the load before."""
    before = await connection.fetchval(_CONFIRMED)

    async def confirmed() -> bool:
        if loading.done():
            loading.result()
        return bool(await connection.fetchval(_CONFIRMED) - before >= count)

    await until(confirmed, f"{count} more orders are confirmed", within=_SETTLES_WITHIN, every=0.1)


async def _until_confirmed(client: OrderClient, connection: Any) -> None:
    async def all_confirmed() -> bool:
        return await _confirmed_of(client, connection) == len(client.accepted)

    await until(all_confirmed, "every accepted order is confirmed", within=_SETTLES_WITHIN, every=0.1)


async def _confirmed_of(client: OrderClient, connection: Any) -> int:
    return int(await connection.fetchval(_CONFIRMED_OF, list(client.accepted)))


if __name__ == "__main__":
    typer.run(main)
