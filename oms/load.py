"""`oms load`: place orders over HTTP and count the answers. It is a Python client, so measure throughput with wrk."""

import asyncio
import time
from collections import Counter
from contextlib import suppress

import httpx
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from oms.environment import CannotDo

_ANSWERS_WITHIN = 10.0
_GIVES_UP_AFTER = 10.0
_BODY = {"items": [{"productId": "p1", "quantity": 2}]}


_TAKEN = "201"


class _Rate(ProgressColumn):
    """Orders per second so far."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed or 0:.0f}/s")


async def run(url: str, *, orders: int, connections: int) -> None:
    """Place `orders` orders over `connections` connections, show the progress, and print a summary. This stops when no
    order was accepted for ten seconds. Raises CannotDo when none was accepted at all."""
    answers: Counter[str] = Counter()
    seconds: list[float] = []
    left = iter(range(orders))
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
    progress = Progress(
        TextColumn("placing orders"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
    with progress:
        bar = progress.add_task("orders", total=orders)
        async with httpx.AsyncClient(limits=limits, timeout=_ANSWERS_WITHIN) as client:
            clock = asyncio.get_running_loop().time

            async def place() -> None:
                for _ in left:
                    started = time.perf_counter()
                    answer = await _place_one(client, f"{url.rstrip('/')}/orders")
                    answers[answer] += 1
                    seconds.append(time.perf_counter() - started)
                    progress.advance(bar)
                    if answer == _TAKEN:
                        patience.reschedule(clock() + _GIVES_UP_AFTER)
                    else:
                        await asyncio.sleep(0)  # a call that fails before it waits must not keep the time from passing

            began = time.perf_counter()
            with suppress(TimeoutError):
                async with asyncio.timeout(_GIVES_UP_AFTER) as patience:
                    await asyncio.gather(*(place() for _ in range(min(connections, orders))))
            took = time.perf_counter() - began
    _print_summary(answers, sorted(seconds), took)
    if _TAKEN not in answers:
        answer = f"answered {answers.most_common(1)[0][0]}" if answers else "did not answer in time"
        raise CannotDo(f"{url} took none of the orders, but {answer}: is it the address of the order service?")


async def _place_one(client: httpx.AsyncClient, url: str) -> str:
    try:
        response = await client.post(url, json=_BODY)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return type(error).__name__
    return str(response.status_code)


def _print_summary(answers: Counter[str], seconds: list[float], took: float) -> None:
    accepted = answers[_TAKEN]
    refused = {answer: count for answer, count in answers.items() if answer != _TAKEN}
    table = Table(show_header=False)
    table.add_row("accepted", str(accepted))
    table.add_row("refused", str(sum(refused.values())))
    for answer, count in sorted(refused.items()):
        table.add_row(f"  {answer}", str(count))
    table.add_row("accepted/s", f"{accepted / took:.0f}")
    if seconds:
        table.add_row("p50", f"{seconds[len(seconds) // 2] * 1000:.1f} ms")
        table.add_row("p99", f"{seconds[int(len(seconds) * 0.99)] * 1000:.1f} ms")
    Console().print(table)
