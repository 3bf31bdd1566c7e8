"""`python -m tests.campaigns.rollout`: the manifest, run: an installation of the last release, the first order, and
under load the upgrade to this tree, a drained node, the way back, and the end. Nothing may fail or get lost.

The pods are processes of this machine (tests/real_parts/kubernetes), with the commands, variables, probes, preStop and
periods of grace of the manifest.
"""

import asyncio
import json
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from contracts.releases import ROOT
from tests.real_parts.kafka import kafka_broker
from tests.real_parts.kubernetes.installation import Installation, installation
from tests.real_parts.kubernetes.manifest import Manifest, read_manifest
from tests.real_parts.kubernetes.pod import Pod
from tests.real_parts.postgres import postgres_server
from tests.real_parts.releases import as_in_the_image, last_release, path_of
from tests.real_parts.steady_customers import Customers

MANIFEST = ROOT / "deploy" / "kubernetes" / "small.yaml"
OLD, NEW = "the last release", "this tree"

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
console = Console(highlight=False)


@dataclass(slots=True)
class Report:
    """What the customers saw in each phase."""

    phases: dict[str, "Phase"] = field(default_factory=dict)
    first_order: str = ""
    orders: int = 0
    pods: int = 0
    wrong: Sequence[str] = ()
    memory_mib: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Phase:
    """`failed` is whatever was not answered as on a good day."""

    seconds: float
    requests: int
    failed: Sequence[str]


@app.command()
def main(
    steady: Annotated[float, typer.Option(help="Seconds of load between two changes.", min=0, max=3600)] = 10.0,
    write: Annotated[Path, typer.Option(help="Where the record is written.")] = Path("rollout.json"),
) -> None:
    """Print a table of the phases, and end with 1 when a request failed or something is wrong."""
    with kafka_broker() as broker, postgres_server() as postgres, tempfile.TemporaryDirectory() as folder:
        report = Report()

        async def run() -> None:
            releases = {OLD: path_of(last_release(Path(folder))), NEW: path_of(as_in_the_image(Path(folder)))}
            async with installation(broker, postgres, Path(folder) / "pods", releases) as installed:
                await rollout(installed, report, steady)

        asyncio.run(run())
    write.write_text(json.dumps(asdict(report), indent=2))
    _print(report)
    failed = sum(len(phase.failed) for phase in report.phases.values())
    raise typer.Exit(1 if failed or report.wrong else 0)


async def rollout(installed: Installation, report: Report, steady: float) -> None:
    """Every phase. Raises AssertionError when something got lost."""
    manifest = read_manifest(MANIFEST.read_text())
    old, new = manifest.of_image(OLD), manifest.of_image(NEW)
    cluster = installed.cluster
    await cluster.upgrade(old)
    report.first_order = await installed.first_order()
    async with installed.under_load() as customers:
        for name, change in (
            ("the last release, steady", asyncio.sleep(steady)),
            ("upgrade to this tree", _upgrade(installed, new)),
            ("this tree, steady", asyncio.sleep(steady)),
            ("a node is drained", cluster.drain("a")),
            ("rollback to the last release", cluster.apply(old)),
            ("the last release again, steady", asyncio.sleep(steady)),
        ):
            async with _phase(report, name, customers):
                await change
    report.orders = 1 + len(customers.orders)
    await installed.audit(report.orders)
    await cluster.uninstall()
    report.pods, report.wrong = len(cluster.gone), cluster.wrong
    report.memory_mib = _memory(cluster.gone)


async def _upgrade(installed: Installation, new: Manifest) -> None:
    """The last release knows no callers. They get a key when there is a table for it, and before it is asked for."""
    await installed.cluster.prepare(new)
    await installed.make_api_key()
    await installed.cluster.apply(new)


@asynccontextmanager
async def _phase(report: Report, name: str, customers: Customers) -> AsyncIterator[None]:
    began, requests, failed = time.monotonic(), customers.requests, len(customers.failed)
    yield
    report.phases[name] = Phase(
        round(time.monotonic() - began, 1), customers.requests - requests, customers.failed[failed:]
    )


def _memory(pods: Sequence[Pod]) -> Mapping[str, int]:
    """The most that a pod of each Deployment had, in MiB."""
    most: dict[str, int] = {}
    for pod in pods:
        name = pod.name.rpartition("-")[0]
        most[name] = max(most.get(name, 0), pod.memory_bytes // 2**20)
    return most


def _print(report: Report) -> None:
    table = Table("phase", "seconds", "requests", "failed", title=f"the first order: {report.first_order}")
    for name, phase in report.phases.items():
        table.add_row(name, f"{phase.seconds}", f"{phase.requests}", f"{len(phase.failed)}")
    console.print(table)
    console.print(f"{report.orders} orders CONFIRMED; stock and money agree; {report.pods} pods ended")
    for sentence in (*report.wrong, *(one for phase in report.phases.values() for one in phase.failed[:3])):
        console.print(f"WRONG: {sentence}", markup=False)
    for name, memory in report.memory_mib.items():
        console.print(f"{name}: {memory} MiB")


if __name__ == "__main__":
    app()
