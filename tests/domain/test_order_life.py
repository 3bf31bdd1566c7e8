"""Whatever is tried on an order, in whatever sequence, its invariants hold."""

from collections.abc import Sequence

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from order_service.domain.order import TRANSITIONS, IllegalTransition, Order, OrderStatus
from order_service.domain.order_line import OrderLine
from tests.domain.orders import STEPS, line, placed_order, stepped


class OrderLife(RuleBasedStateMachine):
    """An order on which transitions are tried, legal ones and illegal ones."""

    order: Order
    reached: Sequence[OrderStatus]

    @initialize(
        lines=st.lists(st.builds(line, st.sampled_from(["p1", "p2"]), st.integers(1, 10_000)), min_size=1, max_size=9)
    )
    def place(self, lines: list[OrderLine]) -> None:
        """Every life begins with placing."""
        self.order = placed_order(*lines)
        self.reached = [OrderStatus.PENDING]

    @rule(status=st.sampled_from(sorted(STEPS)))
    def attempt(self, status: OrderStatus) -> None:
        """A transition happens if, and only if, the table has it."""
        before = self.order
        try:
            self.order = stepped(before, status)
        except IllegalTransition:
            assert status not in TRANSITIONS[before.status], f"{before.status} may become {status}"
        else:
            assert status in TRANSITIONS[before.status], f"{before.status} became {status}"
            self.reached = [*self.reached, status]

    @invariant()
    def there_is_one_event_for_each_version(self) -> None:
        """No version without its event, no event without its version."""
        assert [event.order_version for event in self.order.events] == list(range(1, self.order.version + 1))
        assert len({event.event_id for event in self.order.events}) == len(self.order.events)

    @invariant()
    def the_version_counts_the_transitions(self) -> None:
        """Version 1 is the placing."""
        assert self.order.version == 1 + (len(self.reached) - 1)

    @invariant()
    def the_timeline_is_what_happened(self) -> None:
        """And ends where the order stands."""
        assert [entry.status for entry in self.order.timeline] == list(self.reached)
        assert self.order.status is self.reached[-1]

    @invariant()
    def prices_are_known_once_it_is_confirmed(self) -> None:
        """All of them or none."""
        priced = OrderStatus.CONFIRMED in self.reached
        assert (self.order.total is not None) is priced
        assert all((line.unit_price is not None) is priced for line in self.order.lines)


TestOrderLife = OrderLife.TestCase
TestOrderLife.settings = settings(max_examples=60, stateful_step_count=8, deadline=None)
