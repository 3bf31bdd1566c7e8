"""Whatever commands come, in whatever order: nothing is oversold, nothing is lost, and it is all or nothing."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from inventory_service.application import StockWrite
from inventory_service.domain import (
    AlreadyShipped,
    Decision,
    NothingToShip,
    Product,
    Reservation,
    ReservationStatus,
    StockReserved,
)
from shared_kernel.product import ProductId
from tests.inventory_service.stock import catalogue, product, releasing, reserving, shipping

PRODUCTS = ("p1", "p2", "p3", "dollar")
ORDERS = tuple(uuid7() for _ in range(4))

orders = st.sampled_from(ORDERS)
pieces = st.dictionaries(st.sampled_from((*PRODUCTS, "unknown")), st.integers(1, 6), min_size=1)
commands = st.one_of(st.builds(reserving, orders, pieces), st.builds(releasing, orders), st.builds(shipping, orders))
shelves = st.fixed_dictionaries(dict.fromkeys(PRODUCTS, st.integers(0, 12)))


@dataclass
class House:
    """Products and reservations as commands change them."""

    products: dict[ProductId, Product]
    reservations: dict[UUID, Reservation] = field(default_factory=dict)

    def take(self, write: StockWrite) -> Decision | None:
        """Do what the command says; None when it is refused."""
        with suppress(AlreadyShipped, NothingToShip):
            decision = write.decide(self.reservations.get(write.id), self.products)
            self.reservations[write.id] = decision.reservation
            self.products.update(catalogue(*decision.products))
            return decision
        return None

    def pieces_in(self, status: ReservationStatus) -> dict[str, int]:
        """How many pieces of each product stand in reservations of a status."""
        sums = dict.fromkeys(PRODUCTS, 0)
        for reservation in self.reservations.values():
            for line in reservation.lines if reservation.status is status else ():
                sums[line.product_id.value] += line.quantity
        return sums


def _house(on_hand: Mapping[str, int]) -> House:
    currencies = {"dollar": "USD"}
    return House(catalogue(*(product(name, n, currency=currencies.get(name, "EUR")) for name, n in on_hand.items())))


@given(shelves, st.lists(commands, max_size=25))
def test_after_every_command_the_stock_is_what_there_was_less_what_was_shipped_and_the_sum_of_what_is_held(
    on_hand: Mapping[str, int], writes: list[StockWrite]
) -> None:
    house = _house(on_hand)

    for write in writes:
        house.take(write)

        held, shipped = house.pieces_in(ReservationStatus.RESERVED), house.pieces_in(ReservationStatus.SHIPPED)
        for item in house.products.values():
            name = item.id.value
            assert (item.on_hand, item.reserved) == (on_hand[name] - shipped[name], held[name])
            assert item.on_hand == item.available + item.reserved
            assert min(item.on_hand, item.available, item.reserved) >= 0


@given(shelves, st.lists(commands, max_size=15), orders, pieces)
def test_an_order_gets_every_piece_it_wants_or_none(
    on_hand: Mapping[str, int], before: list[StockWrite], order_id: UUID, asked: dict[str, int]
) -> None:
    house = _house(on_hand)
    for write in before:
        house.take(write)
    house.reservations.pop(order_id, None)
    there = dict(house.products)

    decision = house.take(reserving(order_id, asked))

    assert decision is not None
    gained = {key.value: now.reserved - there[key].reserved for key, now in house.products.items()}
    got_it = isinstance(decision.events[0], StockReserved)
    assert {name: held for name, held in gained.items() if held} == (asked if got_it else {})
    enough = all(name in PRODUCTS and asked[name] <= there[ProductId(name)].available for name in asked)
    assert got_it == (enough and ("dollar" not in asked or len(asked) == 1))


@given(shelves, st.lists(commands, max_size=15), orders, pieces)
def test_a_release_undoes_a_reserve(
    on_hand: Mapping[str, int], before: list[StockWrite], order_id: UUID, asked: dict[str, int]
) -> None:
    house = _house(on_hand)
    for write in before:
        house.take(write)
    house.reservations.pop(order_id, None)
    there = dict(house.products)

    house.take(reserving(order_id, asked))
    house.take(releasing(order_id))

    assert house.products == there


@given(shelves, st.lists(commands, max_size=25))
def test_every_command_repeated_at_once_leads_to_the_same_answer_and_changes_nothing(
    on_hand: Mapping[str, int], writes: list[StockWrite]
) -> None:
    house = _house(on_hand)

    for write in writes:
        first = house.take(write)
        after = (dict(house.products), dict(house.reservations))
        second = house.take(write)

        assert (house.products, house.reservations) == after
        assert (first.events if first else None) == (second.events if second else None)
