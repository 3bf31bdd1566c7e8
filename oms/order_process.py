"""The order service as a process."""

import typer

from messaging.kafka_settings import KafkaSettings
from oms.process import serve_until_told
from oms.tail import show_events
from order_service.bootstrap import order_service
from order_service.infrastructure import event_encoding
from order_service.settings import OrderSettings, Role


async def run_order_service(
    settings: OrderSettings, kafka: KafkaSettings, roles: frozenset[Role], host: str, port: int, *, show: bool
) -> None:
    """Serve until told to stop. With `show`, events that are delivered in this process are printed."""
    subscribers = {event_encoding.TOPIC: show_events} if show else {}
    async with order_service(settings, kafka, roles, subscribers) as service:
        await serve_until_told(
            service.app,
            host=host,
            port=port,
            on_stop=service.stop_taking_orders,
            on_started=lambda: typer.echo(
                f"order service ({', '.join(sorted(roles))}) on http://{host}:{port}, docs at /docs; "
                f"publishing: {settings.event_publisher}",
                err=True,
            ),
        )
