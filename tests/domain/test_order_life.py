"""Whatever happens to an order, in whatever sequence, by whatever clocks: its invariants hold."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from docs.generate_fulfilment import HAPPENINGS, of_its_version
from order_service.domain.events import OrderEvent
from order_service.domain.fulfilment import Cancel, Complete, Happening, StockReserved, react
from order_service.domain.order import Order
from order_service.domain.order_line import OrderLine
from order_service.domain.order_status import ON_THE_WAY, TRANSITIONS, IllegalTransition, OrderStatus
from tests.domain.orders import AT, RESERVED, line, moment, placed_order

EVERYTHING = [RESERVED if isinstance(happening, StockReserved) else happening for happening in HAPPENINGS]

# Clocks of instances are seconds apart; one that lost its battery, or was set wrong, is years away.
SECONDS = st.integers(-20, 20).map(lambda seconds: AT + timedelta(seconds=seconds))
CLOCKS = st.one_of(SECONDS, st.datetimes(timezones=st.just(UTC)), st.just(datetime(1970, 1, 1, tzinfo=UTC)))


class OrderLife(RuleBasedStateMachine):
    """An order to which things happen, whether they make sense or not."""

    order: Order
    events: Sequence[OrderEvent]
    reached: Sequence[OrderStatus]

    @initialize(
        lines=st.lists(st.builds(line, st.sampled_from(["p1", "p2"]), st.integers(1, 10_000)), min_size=1, max_size=9),
        clock=CLOCKS,
    )
    def place(self, lines: list[OrderLine], clock: datetime) -> None:
        """Every life begins with placing."""
        self.order = placed_order(*lines, at=clock)
        self.events = self.order.events
        self.reached = [OrderStatus.PENDING]

    @rule(happening=st.sampled_from(EVERYTHING), clock=CLOCKS)
    def happen(self, happening: Happening, clock: datetime) -> None:
        """It moves the order along the table, or leaves it as it is; only a client's wish is ever refused."""
        before = self.order
        try:
            reaction = react(before, of_its_version(happening, before), moment(clock))
        except IllegalTransition:
            assert isinstance(happening, Cancel | Complete)
            return
        if reaction is None:
            return
        self.order = reaction.order
        self.events = [*self.events, *reaction.order.events]
        self.reached = [*self.reached, self.order.status]
        assert self.order.version == before.version + 1
        assert self.order.status in TRANSITIONS[before.status], f"{before.status} became {self.order.status}"
        assert reaction.outgoing == (*self.order.events, *reaction.commands)
        assert len({command.event_id for command in reaction.commands}) == len(reaction.commands)
        assert {command.occurred_at for command in reaction.commands} <= {self.order.updated_at}
        assert self.order.updated_at in (clock, before.updated_at)

    @invariant()
    def events_are_in_version_order(self) -> None:
        """Strictly increasing: at most one event for each version, and none is sent again with a later step."""
        versions = [event.order_version for event in self.events]
        assert versions == sorted(set(versions))
        assert versions[-1] <= self.order.version
        assert len({event.event_id for event in self.events}) == len(versions)

    @invariant()
    def every_place_that_others_hear_of_has_one_event(self) -> None:
        """An order is created, confirmed, rejected, cancelled and completed at most once, and says so."""
        told = [type(event).__name__.removeprefix("Order").removesuffix("Event").upper() for event in self.events]
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
    def times_never_step_back(self) -> None:
        """Whoever reads them in the order of the versions reads them in the order of the times."""
        for times in (
            [self.order.created_at, *(entry.at for entry in self.order.timeline), self.order.updated_at],
            [event.occurred_at for event in self.events],
        ):
            assert all(earlier <= later for earlier, later in pairwise(times)), times

    @invariant()
    def it_is_patient_while_it_waits(self) -> None:
        """And no longer. Nothing of it was committed yet, so the store is still to make its deadline."""
        assert (self.order.patience is not None) is (self.order.status in ON_THE_WAY)


TestOrderLife = OrderLife.TestCase
TestOrderLife.settings = settings(max_examples=60, stateful_step_count=12, deadline=None)
