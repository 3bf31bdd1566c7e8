"""What a command leads to, by example."""

from dataclasses import replace
from typing import Any

import pytest
from uuid_utils.compat import uuid7

from inventory_service.domain import (
    MAX_ON_HAND,
    MAX_PRICE_MINOR,
    TAKEN_BACK,
    AlreadyShipped,
    Decision,
    InvalidStock,
    NothingToShip,
    OnHandBelowReserved,
    Reservation,
    ReservationStatus,
    ReservedLine,
    StockRejected,
    StockReleased,
    StockReserved,
    release,
    reserve,
    ship,
)
from shared_kernel.money import Money
from shared_kernel.product import ProductId
from tests.inventory_service.stock import NOW, catalogue, product, wanted

ORDER, EVENT = uuid7(), uuid7()
HELD = Reservation(
    order_id=ORDER,
    status=ReservationStatus.RESERVED,
    lines=(
        ReservedLine(ProductId("p1"), 3, Money.of("12.50", "EUR")),
        ReservedLine(ProductId("p2"), 1, Money.of("3.99", "EUR")),
    ),
)
STOCK = catalogue(product("p1", 10, reserved=3), product("p2", 5, reserved=2, price="3.99"))
TOMBSTONE = Reservation(order_id=ORDER, status=ReservationStatus.RELEASED)
REJECTED = Reservation(order_id=ORDER, status=ReservationStatus.REJECTED, reason="product p9 is not in the catalogue")


def _reserve(reservation: Reservation | None, stock: Any, **pieces: int) -> Decision:
    return reserve(reservation, stock, order_id=ORDER, wanted=wanted(**pieces), event_id=EVENT, now=NOW)


def _release(reservation: Reservation | None, stock: Any = STOCK) -> Decision:
    return release(reservation, stock, order_id=ORDER, event_id=EVENT, now=NOW)


def _ship(reservation: Reservation | None) -> Decision:
    return ship(reservation, STOCK, order_id=ORDER)


def _rejected(reason: str) -> StockRejected:
    return StockRejected(event_id=EVENT, order_id=ORDER, occurred_at=NOW, reason=reason)


RELEASED = StockReleased(event_id=EVENT, order_id=ORDER, occurred_at=NOW)
RESERVED = StockReserved(
    event_id=EVENT, order_id=ORDER, occurred_at=NOW, lines=HELD.lines, total=Money.of("41.49", "EUR")
)


def test_an_order_gets_all_it_wants_at_the_catalogues_prices() -> None:
    stock = catalogue(product("p1", 10), product("p2", 5, reserved=1, price="3.99"), product("p3"))

    assert _reserve(None, stock, p1=3, p2=1) == Decision(
        HELD, (product("p1", 10, reserved=3), product("p2", 5, reserved=2, price="3.99")), (RESERVED,)
    )


def test_the_last_piece_can_be_had() -> None:
    (held,) = _reserve(None, catalogue(product("p1", 10, reserved=7)), p1=3).products

    assert (held.on_hand, held.reserved, held.available) == (10, 10, 0)


@pytest.mark.parametrize(
    ("pieces", "reason"),
    [
        ({"p9": 1}, "product p9 is not in the catalogue"),
        ({"p1": 1, "p9": 1}, "product p9 is not in the catalogue"),
        ({"p1": 3}, "product p1: 3 wanted, 2 available"),
        ({"p2": 1, "p1": 3}, "product p1: 3 wanted, 2 available"),
        ({"sold": 1}, "product sold: 1 wanted, 0 available"),
        ({"p1": 1, "dollar": 1}, "the products are priced in EUR and USD; an order has one currency"),
        ({"yen": 1, "dollar": 1, "p1": 1}, "the products are priced in EUR, JPY and USD; an order has one currency"),
    ],
)
def test_an_order_that_cannot_get_all_of_it_gets_nothing_and_a_reason(pieces: dict[str, int], reason: str) -> None:
    stock = catalogue(
        product("p1", 10, reserved=8),
        product("p2"),
        product("sold", 0),
        product("dollar", currency="USD"),
        product("yen", price="12", currency="JPY"),
    )

    rejected = Reservation(order_id=ORDER, status=ReservationStatus.REJECTED, reason=reason)
    assert _reserve(None, stock, **pieces) == Decision(rejected, (), (_rejected(reason),))


def test_reserving_again_is_answered_again_with_the_first_prices_and_changes_nothing() -> None:
    dearer = catalogue(product("p1", 10, reserved=3, price="99.00"), product("p2", 5, reserved=2, price="99.00"))

    assert _reserve(HELD, dearer, p1=3, p2=1) == Decision(HELD, (), (RESERVED,))


def test_reserving_what_was_shipped_is_answered_as_it_was_reserved() -> None:
    shipped = replace(HELD, status=ReservationStatus.SHIPPED)

    assert _reserve(shipped, STOCK, p1=3, p2=1) == Decision(shipped, (), (RESERVED,))


def test_reserving_again_what_was_rejected_gets_the_first_reason_even_if_there_is_stock_by_now() -> None:
    assert _reserve(REJECTED, STOCK, p1=1) == Decision(REJECTED, (), (_rejected("product p9 is not in the catalogue"),))


@pytest.mark.parametrize("released", [TOMBSTONE, replace(HELD, status=ReservationStatus.RELEASED)])
def test_a_reserve_that_comes_after_the_release_is_refused(released: Reservation) -> None:
    assert _reserve(released, STOCK, p1=1) == Decision(released, (), (_rejected(TAKEN_BACK),))


def test_a_release_gives_back_what_was_held() -> None:
    back = (product("p1", 10), product("p2", 5, reserved=1, price="3.99"))

    assert _release(HELD) == Decision(replace(HELD, status=ReservationStatus.RELEASED), back, (RELEASED,))


def test_a_release_of_what_was_never_reserved_leaves_a_tombstone() -> None:
    assert _release(None, {}) == Decision(TOMBSTONE, (), (RELEASED,))


@pytest.mark.parametrize("standing", [TOMBSTONE, REJECTED, replace(HELD, status=ReservationStatus.RELEASED)])
def test_a_release_where_nothing_is_held_is_answered_and_changes_nothing(standing: Reservation) -> None:
    assert _release(standing) == Decision(standing, (), (RELEASED,))


def test_what_was_shipped_cannot_be_released() -> None:
    with pytest.raises(AlreadyShipped, match=f"the stock of order {ORDER} has been shipped"):
        _release(replace(HELD, status=ReservationStatus.SHIPPED))


def test_shipping_takes_what_was_held_off_the_shelves_and_tells_nobody() -> None:
    gone = (product("p1", 7), product("p2", 4, reserved=1, price="3.99"))

    assert _ship(HELD) == Decision(replace(HELD, status=ReservationStatus.SHIPPED), gone, ())


def test_shipping_again_changes_nothing() -> None:
    shipped = replace(HELD, status=ReservationStatus.SHIPPED)

    assert _ship(shipped) == Decision(shipped)


@pytest.mark.parametrize(
    ("standing", "why"),
    [
        (None, "nothing was ever reserved for it"),
        (TOMBSTONE, "its reservation is RELEASED"),
        (REJECTED, "its reservation is REJECTED"),
    ],
)
def test_what_is_not_held_cannot_be_shipped(standing: Reservation | None, why: str) -> None:
    with pytest.raises(NothingToShip, match=f"order {ORDER} has no stock to ship: {why}"):
        _ship(standing)


@pytest.mark.parametrize(
    "change",
    [
        {"on_hand": -1},
        {"on_hand": MAX_ON_HAND + 1},
        {"reserved": -1},
        {"reserved": 11},
        {"price": Money(0, "EUR")},
        {"price": Money(MAX_PRICE_MINOR + 1, "EUR")},
    ],
)
def test_a_product_that_cannot_be_is_never_made(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidStock):
        replace(product("p1", 10), **change)


@pytest.mark.parametrize(
    "change",
    [
        {"lines": ()},
        {"reason": "why not"},
        {"status": ReservationStatus.REJECTED},
        {"status": ReservationStatus.REJECTED, "reason": "it holds nothing, so it has no lines"},
        {"status": ReservationStatus.SHIPPED, "lines": ()},
        {"lines": (*HELD.lines, HELD.lines[0])},
        {"lines": (ReservedLine(ProductId("p1"), 0, Money(1, "EUR")),)},
        {"lines": (HELD.lines[0], ReservedLine(ProductId("p3"), 1, Money(1, "USD")))},
    ],
)
def test_a_reservation_that_cannot_be_is_never_made(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidStock):
        replace(HELD, **change)


def test_a_product_is_priced_and_counted_anew_around_what_is_reserved() -> None:
    dearer = Money.of("20.00", "USD")

    assert product("p1", 10, reserved=3).with_stock(price=dearer, on_hand=3) == product(
        "p1", 3, reserved=3, price="20.00", currency="USD"
    )


def test_no_fewer_can_be_on_hand_than_are_reserved() -> None:
    with pytest.raises(OnHandBelowReserved, match="onHand cannot be 2: 3 of product p1 are reserved for orders"):
        product("p1", 10, reserved=3).with_stock(price=Money(1, "EUR"), on_hand=2)
