"""The order service as a process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import typer

from messaging.kafka_settings import KafkaSettings
from oms.process import listen, serve_until_told
from oms.tail import show_events, tail
from order_service.bootstrap import order_service
from order_service.infrastructure import event_encoding
from order_service.settings import OrderSettings, PublisherKind, Role


async def run_order_service(
    settings: OrderSettings, kafka: KafkaSettings, roles: frozenset[Role], host: str, port: int, *, show: bool
) -> None:
    """Serve until told to stop. With `show`, each event is printed as it is delivered."""
    listening = listen(host, port)
    subscribers = {event_encoding.TOPIC: show_events} if show else {}
    async with AsyncExitStack() as stack:
        if show and settings.event_publisher is PublisherKind.KAFKA:
            await stack.enter_async_context(_tailing(kafka))
        service = await stack.enter_async_context(order_service(settings, kafka, roles, subscribers))
        await serve_until_told(
            service.app,
            listening,
            on_stop=service.stop_taking_orders,
            on_started=lambda: typer.echo(
                f"order service ({', '.join(sorted(roles))}) on http://{host}:{port}, docs at /docs; "
                f"publishing: {settings.event_publisher}",
                err=True,
            ),
        )


@asynccontextmanager
async def _tailing(kafka: KafkaSettings) -> AsyncIterator[None]:
    task = asyncio.create_task(tail(kafka, event_encoding.TOPIC, from_beginning=False, count=None))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
