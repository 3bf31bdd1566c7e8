"""Write docs/trace.svg: one order's trace, as the three services record it over a real broker.

Run `python -m docs.draw_trace`. The times are those of the run, so the picture is another one each time.
"""

import asyncio
import tempfile
import uuid
from contextlib import AsyncExitStack
from html import escape
from pathlib import Path
from typing import Any

import httpx

from tests.real_parts.kafka import Broker, kafka_broker
from tests.real_parts.postgres import PostgresServer, postgres_server
from tests.real_parts.three_services import three_services
from tests.traces.sink import Seen, Sink, sink

PAGE = Path(__file__).parent / "trace.svg"
_WARM_UP = 20
_LAST_OF_EACH = {
    "POST /orders",
    "process inventory-commands ReserveStock",
    "process payment-commands ChargePayment",
    "create payment-events PaymentCaptured",
    "process payment-events PaymentCaptured",
}
_COLORS = {"oms-order": "#4477aa", "oms-inventory": "#228833", "oms-payment": "#cc6677"}
_LEFT, _WIDTH, _ROW, _TOP = 20, 1000, 20, 34


def main() -> None:
    """Trace one order, and draw it."""
    with kafka_broker() as broker, postgres_server() as postgres, sink() as collector:
        PAGE.write_text(picture(asyncio.run(_one_trace(broker, postgres, collector))), encoding="utf-8")


async def _one_trace(broker: Broker, postgres: PostgresServer, collector: Sink) -> list[Seen]:
    async with AsyncExitStack() as stack:
        recording: dict[str, Any] = {
            "OTEL_TRACES_EXPORTER": "otlp",
            "OTEL_TRACES_SAMPLER_ARG": "1",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        }
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        services = await stack.enter_async_context(three_services(broker, postgres, folder, **recording))
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=services.url("order"), timeout=30))
        for _ in range(_WARM_UP):
            trace = await _place(client, collector)
        return sorted(collector.of(trace), key=lambda span: span.began)


async def _place(client: httpx.AsyncClient, collector: Sink) -> str:
    """Place an order, and wait until it is confirmed and recorded. Returns its trace."""
    trace = uuid.uuid4().hex
    body = {"items": [{"productId": "p1", "quantity": 2}]}
    headers = {"traceparent": f"00-{trace}-{uuid.uuid4().hex[:16]}-00"}
    (await client.post("/orders", json=body, headers=headers)).raise_for_status()
    await collector.until(lambda kept: {span.label for span in kept.of(trace)} >= _LAST_OF_EACH, "the trace")
    return trace


def picture(spans: list[Seen]) -> str:
    """The spans as bars below one another, in the order of their begin."""
    first, last = spans[0].began, max(span.ended for span in spans)
    scale = _WIDTH / (last - first)
    rows = [_row(number, span, (span.began - first) * scale, scale) for number, span in enumerate(spans)]
    height = _TOP + _ROW * len(spans) + 10
    legend = "".join(
        f'<text x="{_LEFT + 140 * number}" y="20" fill="{color}">{service}</text>'
        for number, (service, color) in enumerate(_COLORS.items())
    )
    total = f'<text x="{_LEFT + _WIDTH}" y="20" text-anchor="end">{(last - first) / 1e6:.1f} ms</text>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH + 2 * _LEFT} {height}" '
        'font-family="sans-serif" font-size="12">\n'
        f'<rect width="100%" height="100%" fill="white"/>\n{legend}{total}\n' + "\n".join(rows) + "\n</svg>\n"
    )


def _row(number: int, span: Seen, offset: float, scale: float) -> str:
    x, y = _LEFT + offset, _TOP + number * _ROW
    milliseconds = (span.ended - span.began) / 1e6
    width = max(1.5, (span.ended - span.began) * scale)
    label = escape(f"{span.label}  {milliseconds:.1f} ms")
    to_the_left = offset > _WIDTH / 2
    anchor, at = ("end", x - 5) if to_the_left else ("start", x + width + 5)
    if not to_the_left and width > _WIDTH / 2:
        at = x + 5
    return (
        f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{_ROW - 6}" fill="{_COLORS[span.service]}" '
        f'fill-opacity="0.75"/><text x="{at:.1f}" y="{y + 11}" text-anchor="{anchor}">{label}</text>'
    )


if __name__ == "__main__":
    main()
