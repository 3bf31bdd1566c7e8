"""Whatever happens to an order, in whatever sequence, its invariants hold."""

from collections.abc import Sequence

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from docs.generate_fulfilment import HAPPENINGS
from order_service.domain.fulfilment import Cancel, Complete, Happening, StockReserved, react
from order_service.domain.order import Order
from order_service.domain.order_line import OrderLine
from order_service.domain.order_status import ON_THE_WAY, TRANSITIONS, IllegalTransition, OrderStatus
from tests.domain.orders import RESERVED, line, moment, placed_order, when

EVERYTHING = [RESERVED if isinstance(happening, StockReserved) else happening for happening in HAPPENINGS]


class OrderLife(RuleBasedStateMachine):
    """An order to which things happen, whether they make sense or not."""

    order: Order
    reached: Sequence[OrderStatus]

    @initialize(
        lines=st.lists(st.builds(line, st.sampled_from(["p1", "p2"]), st.integers(1, 10_000)), min_size=1, max_size=9)
    )
    def place(self, lines: list[OrderLine]) -> None:
        """Every life begins with placing."""
        self.order = placed_order(*lines)
        self.reached = [OrderStatus.PENDING]

    @rule(happening=st.sampled_from(EVERYTHING))
    def happen(self, happening: Happening) -> None:
        """It moves the order along the table, or leaves it as it is; only a client's wish is ever refused."""
        before = self.order
        try:
            reaction = react(before, happening, moment(when(before, happening, before.updated_at)))
        except IllegalTransition:
            assert isinstance(happening, Cancel | Complete)
            return
        if reaction is None:
            return
        self.order = reaction.order
        self.reached = [*self.reached, self.order.status]
        assert self.order.version == before.version + 1
        assert self.order.status in TRANSITIONS[before.status], f"{before.status} became {self.order.status}"
        assert reaction.outgoing == (*self.order.events, *reaction.commands)
        assert len({command.event_id for command in reaction.commands}) == len(reaction.commands)

    @invariant()
    def events_are_in_version_order(self) -> None:
        """Strictly increasing: at most one event for each version, and each says when it was."""
        versions = [event.order_version for event in self.order.events]
        assert versions == sorted(set(versions))
        assert versions[-1] <= self.order.version
        assert len({event.event_id for event in self.order.events}) == len(versions)

    @invariant()
    def every_place_that_others_hear_of_has_one_event(self) -> None:
        """An order is created, confirmed, rejected, cancelled and completed at most once, and says so."""
        told = [type(event).__name__.removeprefix("Order").removesuffix("Event").upper() for event in self.order.events]
        silent = {OrderStatus.PENDING, OrderStatus.CANCELLING, OrderStatus.STUCK}
        assert told == ["CREATED", *(status for status in self.reached if status not in silent)]

    @invariant()
    def the_timeline_is_what_happened(self) -> None:
        """An entry for each version, and the last one is where the order stands."""
        assert [entry.status for entry in self.order.timeline] == list(self.reached)
        assert len(self.reached) == self.order.version
        assert self.order.status is self.reached[-1]

    @invariant()
    def prices_are_known_once_it_was_reserved(self) -> None:
        """All of them or none."""
        priced = self.order.payment is not None
        assert (self.order.total is not None) is priced
        assert all((line.unit_price is not None) is priced for line in self.order.lines)

    @invariant()
    def it_has_a_deadline_while_it_waits(self) -> None:
        """And no longer."""
        assert (self.order.deadline is not None) is (self.order.status in ON_THE_WAY)


TestOrderLife = OrderLife.TestCase
TestOrderLife.settings = settings(max_examples=60, stateful_step_count=12, deadline=None)
