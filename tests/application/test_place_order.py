"""Placing an order, once for each idempotency key."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from messaging.ports.changes import Created, Duplicate, StoreOverloaded
from order_service.application.place_order import IdempotencyKeyReused, OrderRequest, PlaceOrder, decide
from order_service.application.ports import OrderCreation
from order_service.domain.commands import ReserveStock
from order_service.domain.events import OrderCreatedEvent
from order_service.domain.order import CustomerId, OrderId
from order_service.domain.order_status import OrderStatus
from tests.application.use_cases import OrdersInMemory
from tests.domain.orders import line, moment

REQUEST = OrderRequest(lines=(line("p1", 2), line("p2", 1)), customer_id=CustomerId("c1"), idempotency_key="k")


def _place_on(orders: OrdersInMemory) -> PlaceOrder:
    return PlaceOrder(orders, moment, uuid7)


class _Place:
    """The use case over a store in memory."""

    def __init__(self) -> None:
        self.orders = OrdersInMemory()
        self.use_case = _place_on(self.orders)

    async def stored_ids(self) -> list[UUID]:
        return [order.id.value for order in await self.orders.newest(status=None, before=None, limit=100)]


def test_deciding_is_pure_the_same_input_gives_the_same_changes() -> None:
    order_id, now, claim = OrderId(uuid7()), moment(), REQUEST.claim()

    first = decide(REQUEST, order_id, now, claim)
    again = decide(REQUEST, order_id, now, claim)

    assert first == again
    assert (first.aggregate.status, first.aggregate.patience) == (OrderStatus.PENDING, now.step_timeout)
    assert first.claim == claim
    created, reserve = first.outgoing
    assert isinstance(created, OrderCreatedEvent)
    assert isinstance(reserve, ReserveStock)
    assert (created.event_id, created.order_id) == (now.event_id, order_id.value)
    assert (reserve.event_id, reserve.order_id, reserve.lines) == (now.stock_command_id, order_id.value, REQUEST.lines)


async def test_a_placed_order_is_stored_with_its_event_and_the_first_command_of_its_fulfilment() -> None:
    place = _Place()

    order_id = await place.use_case(REQUEST)

    assert await place.stored_ids() == [order_id.value]
    assert place.orders.messages() == ["OrderCreatedEvent", "ReserveStock"]


async def test_asking_again_with_the_same_key_gets_the_first_order_again() -> None:
    place = _Place()

    first = await place.use_case(REQUEST)
    again = await place.use_case(REQUEST)

    assert again == first
    assert await place.stored_ids() == [first.value]
    assert place.orders.messages() == ["OrderCreatedEvent", "ReserveStock"]


@pytest.mark.parametrize(
    "other",
    [
        OrderRequest(REQUEST.lines[:1], REQUEST.customer_id, idempotency_key="k"),
        OrderRequest(REQUEST.lines[::-1], REQUEST.customer_id, idempotency_key="k"),
        OrderRequest((line("p1", 3), line("p2", 1)), REQUEST.customer_id, idempotency_key="k"),
        OrderRequest((line("p3", 2), line("p2", 1)), REQUEST.customer_id, idempotency_key="k"),
        OrderRequest(REQUEST.lines, CustomerId("c2"), idempotency_key="k"),
        OrderRequest(REQUEST.lines, None, idempotency_key="k"),
    ],
    ids=["fewer lines", "other sequence", "other quantity", "other product", "other customer", "no customer"],
)
async def test_the_same_key_for_another_request_is_refused_and_stores_nothing(other: OrderRequest) -> None:
    place = _Place()
    first = await place.use_case(REQUEST)

    with pytest.raises(IdempotencyKeyReused, match="k was already used for a different request"):
        await place.use_case(other)

    assert await place.stored_ids() == [first.value]


async def test_another_key_or_another_caller_or_no_key_makes_another_order() -> None:
    place = _Place()

    ids = {
        await place.use_case(request)
        for request in (
            REQUEST,
            OrderRequest(REQUEST.lines, REQUEST.customer_id, idempotency_key="K"),
            OrderRequest(REQUEST.lines, REQUEST.customer_id, caller="somebody else", idempotency_key="k"),
            OrderRequest(REQUEST.lines, REQUEST.customer_id),
            OrderRequest(REQUEST.lines, REQUEST.customer_id),
        )
    }

    assert len(ids) == 5


names = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=8)
contents = st.tuples(
    st.none() | names, st.lists(st.tuples(names, st.integers(1, 10_000)), min_size=1, max_size=4).map(tuple)
)


@given(contents, contents)
def test_two_requests_have_the_same_hash_if_and_only_if_they_ask_for_the_same(
    left: tuple[str | None, tuple[tuple[str, int], ...]], right: tuple[str | None, tuple[tuple[str, int], ...]]
) -> None:
    def hash_of(customer: str | None, lines: tuple[tuple[str, int], ...]) -> bytes:
        request = OrderRequest(
            tuple(line(*each) for each in lines), CustomerId(customer) if customer else None, idempotency_key="k"
        )
        claim = request.claim()
        assert claim is not None
        return claim.request_hash

    assert (hash_of(*left) == hash_of(*right)) is (left == right)
    assert hash_of(*left) == hash_of(*left)


def test_a_request_without_a_key_claims_nothing() -> None:
    assert OrderRequest(REQUEST.lines).claim() is None


class _Refusing(OrdersInMemory):
    """A store that stores nothing."""

    async def create(self, creation: OrderCreation) -> Created | Duplicate:  # noqa: ARG002
        """Have no room."""
        raise StoreOverloaded


async def test_what_the_store_refuses_is_not_answered_as_an_order() -> None:
    with pytest.raises(StoreOverloaded):
        await _place_on(_Refusing())(REQUEST)
