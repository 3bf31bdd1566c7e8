"""`python -m benchmarks.against COMMIT`: this tree against another commit, in turns.

The machine changes its speed from one second to the next, and twofold from hour to hour. So what a change costs or
saves shows only if both trees take turns. The databases have this tree's schema.
"""

import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import psutil
import typer
import uvloop
from rich.console import Console

from benchmarks import table
from benchmarks.cpu import used_by
from benchmarks.database import database_server
from benchmarks.environment import Environment
from benchmarks.fulfilment import sustained
from benchmarks.installation import plan_three_services, running_installation
from benchmarks.plan import FULL, TURN_SECONDS, in_turns
from benchmarks.processes import Service, order_service, running, uvicorn_service
from benchmarks.table import Figure, Samples
from benchmarks.wrk import WrkMissing, load, require_wrk
from contracts.releases import ROOT
from tests.real_parts.kafka import Broker, NoBroker, kafka_broker
from tests.real_parts.releases import NoCommit, check_out, path_of

_WARM_UP_SECONDS = 2
_BARE = "FastAPI, no I/O"


@dataclass(frozen=True, slots=True)
class _Tree:
    """A tree, with the settings of a process that runs it."""

    name: str
    settings: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Measured:
    """Requests, or orders, a second, and the CPU time of one."""

    per_second: float
    cpu: float


def main(
    commit: Annotated[str, typer.Argument(help="What this tree is compared with.")],
    turns: Annotated[int, typer.Option(min=1, help="Of one second, for POST alone.")] = 25,
    rounds: Annotated[int, typer.Option(min=1, help="Of ten seconds, for three services.")] = 6,
) -> None:
    """Compare POST alone, and POST to CONFIRMED."""
    try:
        require_wrk()
        with tempfile.TemporaryDirectory() as folder:
            trees = [_tree("this tree", ROOT), _tree(commit, check_out(commit, Path(folder).resolve()))]
            with kafka_broker() as broker:
                uvloop.run(_compare(trees, turns, rounds, broker))
    except (WrkMissing, NoBroker, NoCommit) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


def _tree(name: str, folder: Path) -> _Tree:
    """A tree that its processes really run: `python -m` would look in the working folder first."""
    return _Tree(name, {"PYTHONPATH": path_of(folder), "PYTHONSAFEPATH": "1"})


async def _compare(trees: Sequence[_Tree], turns: int, rounds: int, broker: Broker) -> None:
    with Console(stderr=True).status("starting PostgreSQL") as status:
        async with database_server() as database, AsyncExitStack() as at_the_end:
            environment = Environment(FULL, database, broker.bootstrap_servers, status.update)
            at_the_end.push_async_callback(environment.delete_topics)
            figures = [*await _posts(environment, trees, turns), *await _orders(environment, trees, rounds)]
    Console(width=None if sys.stdout.isatty() else 150).print(table.terminal_table(figures))


async def _posts(environment: Environment, trees: Sequence[_Tree], turns: int) -> Sequence[Figure]:
    parties = {_BARE: uvicorn_service("benchmarks.bare_service", {})}
    for number, tree in enumerate(trees):
        dsn = await environment.database.fresh(f"against_{number}")
        parties[tree.name] = order_service("api", {**environment.settings(dsn), **tree.settings})
    measured: dict[str, list[_Measured]] = {name: [] for name in parties}
    async with AsyncExitStack() as stack:
        services = [(name, await stack.enter_async_context(running(start))) for name, start in parties.items()]
        for _, service in services:
            await load(service.url, _WARM_UP_SECONDS)
        for number, (name, service) in in_turns(services, turns):
            environment.say(f"POST: turn {number} of {turns}, {name}")
            measured[name].append(await _turn(service))
    bare, ours, theirs = measured.values()
    return [
        *_figures("POST /orders, durable", "CPU a request", " µs", ours, theirs, trees[1].name),
        *_figures("POST /orders, durable", "CPU a request", " µs", ours, bare, _BARE),
    ]


async def _turn(service: Service) -> _Measured:
    process = psutil.Process(service.pid)
    before = used_by(process)
    result = await load(service.url, TURN_SECONDS)
    return _Measured(result.per_second, (used_by(process) - before) * 1e6 / result.requests)


async def _orders(environment: Environment, trees: Sequence[_Tree], rounds: int) -> Sequence[Figure]:
    measured: dict[str, list[_Measured]] = {tree.name: [] for tree in trees}
    for number, tree in in_turns(trees, rounds):
        environment.say(f"POST to CONFIRMED: round {number} of {rounds}, {tree.name}")
        installation = running_installation(await plan_three_services(environment, more=tree.settings))
        result = await sustained(environment, installation, seconds=environment.plan.short_seconds)
        measured[tree.name].append(_Measured(result.per_second, sum(result.cpu_ms.values())))
    ours, theirs = measured.values()
    return _figures("POST to CONFIRMED, three services", "CPU an order, all of it", " ms", ours, theirs, trees[1].name)


def _figures(
    rate: str, cpu: str, unit: str, ours: Sequence[_Measured], theirs: Sequence[_Measured], name: str
) -> Sequence[Figure]:
    def samples(measured: Sequence[_Measured]) -> tuple[Samples, Samples]:
        return (
            Samples(tuple(each.per_second for each in measured), "/s"),
            Samples(tuple(each.cpu for each in measured), unit),
        )

    (our_rate, our_cpu), (their_rate, their_cpu) = samples(ours), samples(theirs)
    return [
        Figure(rate, our_rate, their_rate, f"{name}:"),
        Figure(f"… {cpu}", our_cpu, their_cpu, f"{name}:"),
    ]


if __name__ == "__main__":
    typer.run(main)
