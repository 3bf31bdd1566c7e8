"""Placing an order, once for each idempotency key."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from messaging.changes import Conflict, Outcome, StoreOverloaded
from messaging.memory_outbox import MemoryOutbox
from order_service.application.place_order import IdempotencyKeyReused, OrderRequest, PlaceOrder, decide
from order_service.application.ports import OrderChanges
from order_service.domain.events import OrderCreatedEvent
from order_service.domain.order import CustomerId, OrderStatus
from order_service.infrastructure.memory_orders import MemoryOrders
from tests.domain.orders import AT, line

REQUEST = OrderRequest(lines=(line("p1", 2), line("p2", 1)), customer_id=CustomerId("c1"), idempotency_key="k")


class _Place:
    """The use case over a store in memory."""

    def __init__(self) -> None:
        self.outbox = MemoryOutbox()
        self.orders = MemoryOrders(self.outbox)
        self.use_case = PlaceOrder(self.orders, lambda: datetime.now(UTC), uuid7)

    async def stored_ids(self) -> list[UUID]:
        return [order.id.value for order in await self.orders.newest(status=None, before=None, limit=100)]


def test_deciding_is_pure_the_same_input_gives_the_same_changes() -> None:
    order_id, event_id = uuid7(), uuid7()

    first = decide(REQUEST, order_id=order_id, event_id=event_id, now=AT)
    again = decide(REQUEST, order_id=order_id, event_id=event_id, now=AT)

    assert first == again
    assert first.aggregate.status is OrderStatus.PENDING
    assert (first.expected_version, first.claim) == (0, REQUEST.claim())
    (event,) = first.events
    assert isinstance(event, OrderCreatedEvent)
    assert (event.event_id, event.order_id) == (event_id, order_id)


async def test_a_placed_order_is_stored_with_its_event() -> None:
    place = _Place()

    order_id = await place.use_case(REQUEST)

    assert await place.stored_ids() == [order_id.value]
    assert place.outbox.depth_and_age()[0] == 1


async def test_asking_again_with_the_same_key_gets_the_first_order_again() -> None:
    place = _Place()

    first = await place.use_case(REQUEST)
    again = await place.use_case(REQUEST)

    assert again == first
    assert await place.stored_ids() == [first.value]
    assert place.outbox.depth_and_age()[0] == 1


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


class _Refusing(MemoryOrders):
    """A store that stores nothing."""

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__(MemoryOutbox())
        self._error = error

    async def commit(self, changes: OrderChanges) -> Outcome:  # noqa: ARG002
        """Raise, or say that another version won."""
        if self._error is not None:
            raise self._error
        return Conflict()


async def test_what_the_store_refuses_is_not_answered_as_an_order() -> None:
    with pytest.raises(StoreOverloaded):
        await PlaceOrder(_Refusing(StoreOverloaded()), lambda: AT, uuid7)(REQUEST)


async def test_a_fresh_id_that_is_taken_already_is_an_error_and_not_an_answer() -> None:
    with pytest.raises(AssertionError, match="taken already"):
        await PlaceOrder(_Refusing(), lambda: AT, uuid7)(REQUEST)
