"""Where the time of the processes goes at full load, seen by py-spy from outside."""

import asyncio
import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from rich.table import Table

from benchmarks.environment import Environment
from benchmarks.fulfilment import sustained
from benchmarks.installation import APART, Installation, three_services
from benchmarks.processes import Service, order_service, running
from benchmarks.wrk import load

_SECONDS = 5
_SHOWN = 20


async def profile(environment: Environment) -> list[Table | str]:
    """For each process the functions with the most time of their own; or a sentence about why there are none."""
    if not shutil.which("py-spy"):
        return ["--profile needs py-spy: pip install py-spy"]
    return [await _profile_of_api(environment), *await _profiles_of_fulfilment(environment)]


async def _profile_of_api(environment: Environment) -> Table | str:
    dsn = await environment.database.fresh("profile")
    environment.say("profiling the api")
    async with running(order_service("api", environment.settings(dsn))) as service:
        loading = asyncio.create_task(load(service.url, _SECONDS + 3))
        await asyncio.sleep(1)  # let it warm up
        profiled = await _record("POST alone: the api", service)
        await loading
    return profiled


async def _profiles_of_fulfilment(environment: Environment) -> list[Table | str]:
    """The order service's roles apart, so that each can be told from the others; all recorded at once."""
    environment.say("profiling the fulfilment")
    recording: list[asyncio.Task[Table | str]] = []

    def record_all(installation: Installation) -> None:
        processes: Mapping[str, Service] = installation.processes
        for name, service in processes.items():
            recording.append(asyncio.create_task(_record(f"fulfilment: {name}", service)))

    await sustained(environment, three_services(environment, APART), record_all)
    return [await profiled for profiled in recording]


async def _record(title: str, service: Service) -> Table | str:
    with tempfile.TemporaryDirectory() as folder:
        stacks = Path(folder) / "stacks"
        recorder = await asyncio.create_subprocess_exec(
            "py-spy", "record", "--pid", str(service.pid), "--duration", str(_SECONDS), "--rate", "200",
            "--format", "raw", "--output", str(stacks),
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        said = (await recorder.communicate())[1].decode(errors="replace")
        if recorder.returncode:
            return f"py-spy could not record {title}: {said.strip()}"
        return _by_own_time(title, stacks.read_text(encoding="utf-8"))


def _by_own_time(title: str, folded: str) -> Table:
    """`folded` has a line for each stack: frames from the outermost, separated by semicolons, then a count."""
    own: Counter[str] = Counter()
    for line in folded.splitlines():
        stack, _, count = line.rpartition(" ")
        function, _, place = stack.rpartition(";")[2].rpartition(" (")
        own[f"{place.partition(':')[0].rstrip(')')}  {function}"] += int(count)
    table = Table(f"{title} (py-spy, own time)", "share")
    for name, samples in own.most_common(_SHOWN):
        table.add_row(name, f"{samples / own.total():.1%}")
    return table
