"""Products, reservations, and a pure decision for each command.

A reservation is all or nothing: an order gets every piece of every product, or none. So a decision covers one
reservation and its products, which change together in one commit. The ADR about reservations explains it. Nothing here
reads a clock, makes an id or does I/O.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Self, TypeAlias
from uuid import UUID

from shared_kernel.money import Money
from shared_kernel.product import ProductId
from shared_kernel.reason import reason_of

MAX_ON_HAND = 1_000_000_000
MAX_PRICE_MINOR = 999_999_999_999  # a hundred lines of ten thousand pieces still cost less than 18 digits

TAKEN_BACK = "the order was taken back before its stock was reserved"


class InvalidStock(ValueError):
    """The product or the reservation would break a rule. The text says which rule."""


class OnHandBelowReserved(Exception):
    """The stock on hand cannot be set below the stock that is held for orders."""

    def __init__(self, product_id: ProductId, on_hand: int, reserved: int) -> None:
        super().__init__(f"onHand cannot be {on_hand}: {reserved} of product {product_id} are reserved for orders")
        self.product_id = product_id
        self.on_hand = on_hand
        self.reserved = reserved


class AlreadyShipped(Exception):
    """The goods of the order have left, so nothing can be released."""

    def __init__(self, order_id: UUID) -> None:
        super().__init__(f"the stock of order {order_id} has been shipped, so it cannot be released")
        self.order_id = order_id


class NothingToShip(Exception):
    """Nothing is held for the order, so nothing can be shipped."""

    def __init__(self, order_id: UUID, standing: str) -> None:
        super().__init__(f"order {order_id} has no stock to ship: {standing}")
        self.order_id = order_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """A product of the catalogue with its price and its stock in pieces. on hand = available + reserved.

    Raises InvalidStock for a price or a stock that breaks a rule.
    """

    id: ProductId
    price: Money
    on_hand: int
    reserved: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.price.minor <= MAX_PRICE_MINOR:
            raise InvalidStock(f"a price is 1 to {MAX_PRICE_MINOR} minor units, not {self.price.minor}")
        if not 0 <= self.reserved <= self.on_hand <= MAX_ON_HAND:
            raise InvalidStock(
                f"of product {self.id} {self.on_hand} would be on hand and {self.reserved} reserved: "
                f"it must be 0 <= reserved <= on hand <= {MAX_ON_HAND}"
            )

    @property
    def available(self) -> int:
        """How many pieces an order can still get."""
        return self.on_hand - self.reserved

    def with_stock(self, *, price: Money, on_hand: int) -> Self:
        """The product with a new stock and price. Orders keep their reserved prices. Raises OnHandBelowReserved."""
        if on_hand < self.reserved:
            raise OnHandBelowReserved(self.id, on_hand, self.reserved)
        return replace(self, price=price, on_hand=on_hand)

    def with_price(self, price: Money) -> Self:
        """The product with a new price and the same stock. Orders keep their reserved prices."""
        return replace(self, price=price)

    def hold(self, quantity: int) -> Self:
        """The product with more pieces reserved."""
        return replace(self, reserved=self.reserved + quantity)

    def give_back(self, quantity: int) -> Self:
        """The product with reserved pieces made available again."""
        return replace(self, reserved=self.reserved - quantity)

    def hand_out(self, quantity: int) -> Self:
        """The product without reserved pieces that were shipped."""
        return replace(self, on_hand=self.on_hand - quantity, reserved=self.reserved - quantity)


class ReservationStatus(StrEnum):
    """The status of an order's stock. REJECTED, RELEASED and SHIPPED are final."""

    RESERVED = "RESERVED"
    REJECTED = "REJECTED"
    RELEASED = "RELEASED"
    SHIPPED = "SHIPPED"


@dataclass(frozen=True, slots=True)
class ReservedLine:
    """A product, a quantity, and the price of one piece at the time of the reservation."""

    product_id: ProductId
    quantity: int
    unit_price: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """The stock that is, was, or could not be held for an order. Each product is in it once.

    A RELEASED reservation without lines is a tombstone: the order was taken back before its stock was reserved, so a
    late reserve command is refused. Raises InvalidStock.
    """

    order_id: UUID
    status: ReservationStatus
    lines: tuple[ReservedLine, ...] = ()
    reason: str | None = None

    def __post_init__(self) -> None:
        if (self.status is ReservationStatus.REJECTED) != (self.reason is not None):
            raise InvalidStock("a rejected reservation has a reason, and no other has")
        if self.status in (ReservationStatus.RESERVED, ReservationStatus.SHIPPED) and not self.lines:
            raise InvalidStock(f"a reservation that is {self.status} has lines")
        if self.status is ReservationStatus.REJECTED and self.lines:
            raise InvalidStock("a rejected reservation holds nothing")
        if any(line.quantity < 1 for line in self.lines):
            raise InvalidStock("a line of a reservation has at least one piece")
        if len({line.product_id for line in self.lines}) < len(self.lines):
            raise InvalidStock("a product stands in a reservation once")
        if len({line.unit_price.currency for line in self.lines}) > 1:
            raise InvalidStock("a reservation has one currency")

    @property
    def total(self) -> Money:
        """The price of all lines. There must be at least one, because the currency is that of the lines."""
        first, *others = (line.unit_price * line.quantity for line in self.lines)
        return sum(others, start=first)


@dataclass(frozen=True, slots=True, kw_only=True)
class StockReserved:
    """Every piece that the order wants is held for it, at these prices."""

    event_id: UUID
    order_id: UUID
    occurred_at: datetime
    lines: tuple[ReservedLine, ...]
    total: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class StockRejected:
    """Nothing is held for the order, for a reason that a person understands."""

    event_id: UUID
    order_id: UUID
    occurred_at: datetime
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StockReleased:
    """Nothing is held for the order any more, and nothing will be."""

    event_id: UUID
    order_id: UUID
    occurred_at: datetime


StockEvent: TypeAlias = StockReserved | StockRejected | StockReleased


@dataclass(frozen=True, slots=True)
class Decision:
    """The result of a command: the reservation, the changed products, and the events."""

    reservation: Reservation
    products: tuple[Product, ...] = ()
    events: tuple[StockEvent, ...] = ()


def reserve(
    reservation: Reservation | None,
    products: Mapping[ProductId, Product],
    *,
    order_id: UUID,
    wanted: Mapping[ProductId, int],
    event_id: UUID,
    now: datetime,
) -> Decision:
    """Hold all wanted pieces, or none. An order that was decided before gets the same answer again."""
    if reservation is None:
        reason = _why_not(wanted, products)
        if reason is not None:
            reason = reason_of(reason)
            rejected = Reservation(order_id=order_id, status=ReservationStatus.REJECTED, reason=reason)
            return Decision(rejected, events=(_rejected(order_id, reason, event_id, now),))
        lines = tuple(ReservedLine(product, pieces, products[product].price) for product, pieces in wanted.items())
        reserved = Reservation(order_id=order_id, status=ReservationStatus.RESERVED, lines=lines)
        held = tuple(products[line.product_id].hold(line.quantity) for line in lines)
        return Decision(reserved, held, (_reserved(reserved, event_id, now),))
    match reservation.status:
        case ReservationStatus.RESERVED | ReservationStatus.SHIPPED:
            return Decision(reservation, events=(_reserved(reservation, event_id, now),))
        case ReservationStatus.REJECTED | ReservationStatus.RELEASED:
            reason = reservation.reason or TAKEN_BACK
            return Decision(reservation, events=(_rejected(order_id, reason, event_id, now),))


def release(
    reservation: Reservation | None,
    products: Mapping[ProductId, Product],
    *,
    order_id: UUID,
    event_id: UUID,
    now: datetime,
) -> Decision:
    """Release the held stock. Without a reservation, leave a tombstone. Raises AlreadyShipped."""
    events = (StockReleased(event_id=event_id, order_id=order_id, occurred_at=now),)
    if reservation is None:
        return Decision(Reservation(order_id=order_id, status=ReservationStatus.RELEASED), events=events)
    match reservation.status:
        case ReservationStatus.RESERVED:
            back = tuple(products[line.product_id].give_back(line.quantity) for line in reservation.lines)
            return Decision(replace(reservation, status=ReservationStatus.RELEASED), back, events)
        case ReservationStatus.REJECTED | ReservationStatus.RELEASED:
            return Decision(reservation, events=events)
        case ReservationStatus.SHIPPED:
            raise AlreadyShipped(order_id)


def ship(reservation: Reservation | None, products: Mapping[ProductId, Product], *, order_id: UUID) -> Decision:
    """Ship the held stock. A repeated command changes nothing. Raises NothingToShip."""
    if reservation is None:
        raise NothingToShip(order_id, "nothing was ever reserved for it")
    match reservation.status:
        case ReservationStatus.RESERVED:
            out = tuple(products[line.product_id].hand_out(line.quantity) for line in reservation.lines)
            return Decision(replace(reservation, status=ReservationStatus.SHIPPED), out)
        case ReservationStatus.SHIPPED:
            return Decision(reservation)
        case ReservationStatus.REJECTED | ReservationStatus.RELEASED:
            raise NothingToShip(order_id, f"its reservation is {reservation.status}")


def _why_not(wanted: Mapping[ProductId, int], products: Mapping[ProductId, Product]) -> str | None:
    for product_id, pieces in wanted.items():
        product = products.get(product_id)
        if product is None:
            return f"product {product_id} is not in the catalogue"
        if pieces > product.available:
            return f"product {product_id}: {pieces} wanted, {product.available} available"
    currencies = sorted({products[product_id].price.currency for product_id in wanted})
    if len(currencies) > 1:
        listed = f"{', '.join(currencies[:-1])} and {currencies[-1]}"
        return f"the products are priced in {listed}; an order has one currency"
    return None


def _reserved(reservation: Reservation, event_id: UUID, now: datetime) -> StockReserved:
    return StockReserved(
        event_id=event_id,
        order_id=reservation.order_id,
        occurred_at=now,
        lines=reservation.lines,
        total=reservation.total,
    )


def _rejected(order_id: UUID, reason: str, event_id: UUID, now: datetime) -> StockRejected:
    return StockRejected(event_id=event_id, order_id=order_id, occurred_at=now, reason=reason)
