"""Where the api process spends its time under load, seen by py-spy from outside."""

import asyncio
import shutil
import tempfile
from collections import Counter
from pathlib import Path

from rich.table import Table

from benchmarks.environment import Environment
from benchmarks.processes import order_service, running
from benchmarks.wrk import load

_SECONDS = 5
_SHOWN = 20


async def profile(environment: Environment) -> Table | str:
    """The functions with the most time of their own; or a sentence about why there are none."""
    if not shutil.which("py-spy"):
        return "--profile needs py-spy: pip install py-spy"
    dsn = await environment.database.fresh("profile")
    environment.say("profiling the api")
    with tempfile.TemporaryDirectory() as folder:
        stacks = Path(folder) / "stacks"
        async with running(order_service("api", environment.settings(dsn))) as service:
            loading = asyncio.create_task(load(service.url, _SECONDS + 3))
            await asyncio.sleep(1)  # let it warm up
            recorder = await asyncio.create_subprocess_exec(
                "py-spy", "record", "--pid", str(service.pid), "--duration", str(_SECONDS), "--rate", "200",
                "--format", "raw", "--output", str(stacks),
                stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
            said = (await recorder.communicate())[1].decode(errors="replace")
            await loading
        if recorder.returncode:
            return f"py-spy could not record: {said.strip()}"
        return _by_own_time(stacks.read_text(encoding="utf-8"))


def _by_own_time(folded: str) -> Table:
    """`folded` has a line for each stack: frames from the outermost, separated by semicolons, then a count."""
    own: Counter[str] = Counter()
    for line in folded.splitlines():
        stack, _, count = line.rpartition(" ")
        function, _, place = stack.rpartition(";")[2].rpartition(" (")
        own[f"{place.partition(':')[0].rstrip(')')}  {function}"] += int(count)
    table = Table("where the api process's time goes (py-spy, own time)", "share")
    for name, samples in own.most_common(_SHOWN):
        table.add_row(name, f"{samples / own.total():.1%}")
    return table
