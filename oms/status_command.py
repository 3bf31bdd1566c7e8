"""`oms status`: the whole system on one screen."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Annotated

import typer

from messaging.kafka.settings import KafkaSettings
from messaging.runtime.settings import ServiceSettings
from oms.environment import LogLevel, broker_is_set, read_settings, run
from oms.exit_status import ExitStatus
from oms.output import AsJson, console, print_json, print_json_line
from oms.services import SERVICES
from oms.status import SystemStatus, status_of


def status(
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Refresh until Ctrl-C.")] = False,
    every: Annotated[float, typer.Option(help="Seconds between two looks of --watch.", min=0.5, max=3600)] = 2.0,
    url: Annotated[
        list[str] | None, typer.Option(help="The address of a process whose readiness is asked, too. Can be repeated.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the whole system: databases, outboxes, relays, consumers, and what is parked, dead, stuck or late.

    The exit status is 0 when everything is well, 3 when a part does not answer, and 4 when something needs a person.
    """
    urls = url or []
    for one in urls:
        if not one.startswith(("http://", "https://")):
            raise typer.BadParameter(f"--url is an address such as http://127.0.0.1:8000, not {one!r}")
    kafka, *settings = read_settings(
        KafkaSettings, *(service.settings for service in SERVICES.values()), log_level=LogLevel.CRITICAL
    )
    broker = kafka if broker_is_set(kafka, settings) else None
    by_name = dict(zip(SERVICES, settings, strict=True))
    if watch:
        run(_watch(_looks(by_name, broker, urls, every), as_json))
    else:
        run(_once(by_name, broker, urls, as_json))


async def _once(
    settings: Mapping[str, ServiceSettings], kafka: KafkaSettings | None, urls: Sequence[str], as_json: bool
) -> None:
    from oms.status_screen import screen_of, status_document

    found = await status_of(settings, kafka, urls)
    if as_json:
        print_json(status_document(found))
    else:
        console().print(screen_of(found))
    if found.exit_status is not ExitStatus.DONE:
        raise typer.Exit(found.exit_status)


async def _looks(
    settings: Mapping[str, ServiceSettings], kafka: KafkaSettings | None, urls: Sequence[str], every: float
) -> AsyncIterator[SystemStatus]:
    """The state of the system again and again."""
    while True:
        yield await status_of(settings, kafka, urls)
        await asyncio.sleep(every)


async def _watch(looks: AsyncIterator[SystemStatus], as_json: bool) -> None:
    """Show each look in place of the one before on a terminal, and below it elsewhere."""
    from rich.live import Live

    from oms.status_screen import screen_of, status_document

    screen = console()
    if as_json:
        async for found in looks:
            print_json_line(status_document(found))
    elif screen.is_terminal:
        with Live(console=screen, screen=True, auto_refresh=False) as live:
            async for found in looks:
                live.update(screen_of(found), refresh=True)
    else:
        async for found in looks:
            screen.print(screen_of(found))
