"""One of every event, with fixed ids and times, brought about by the domain as in life. The golden files are theirs."""

from datetime import UTC, datetime
from uuid import UUID

from inventory_service.domain import StockEvent, release, reserve
from tests.inventory_service.stock import catalogue, product, wanted

_ORDER = UUID("019ab1f0-6c1e-7c8a-9d3e-0b5f6a7c8d9e")
_AT = datetime(2026, 11, 23, 18, 43, 16, 456, tzinfo=UTC)
_STOCK = catalogue(product("p1"), product("Käse", price="4.90"))


def _event_id(number: int) -> UUID:
    return UUID(f"019ab1f0-6c1e-7000-8000-{number:012x}")


def _reserve(number: int, **pieces: int) -> StockEvent:
    event_id, pieces_wanted = _event_id(number), wanted(**pieces)
    return reserve(None, _STOCK, order_id=_ORDER, wanted=pieces_wanted, event_id=event_id, now=_AT).events[0]


EXAMPLES: dict[str, StockEvent] = {
    "StockReserved.v1": _reserve(0x21, p1=2, Käse=1),
    "StockRejected.v1": _reserve(0x22, p1=11),
    "StockReleased.v1": release(None, {}, order_id=_ORDER, event_id=_event_id(0x23), now=_AT).events[0],
}
"""By the name of their golden file: type and version."""
