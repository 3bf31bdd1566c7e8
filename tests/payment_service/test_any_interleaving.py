"""Commands, calls, answers, crashes and sweeps in any order: the money is right whenever it has come to rest."""

from dataclasses import dataclass, field
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from payment_service.domain.events import PaymentCaptured, PaymentDeclined, PaymentEvent, PaymentRefunded
from payment_service.domain.payment import Call, Payment, PaymentStatus, Step
from tests.payment_service.payments import AMOUNT, LEASE, NOW, moment

STEPS = ["charge", "charge, no room", "refund", "refund, no room", "perform", "answer", "lose", "crash", "sweep"]


CLOCKS = st.integers(-20, 20) | st.integers(-(10**9), 10**9)


@dataclass
class _Call:
    """A call on its way. The gateway may perform it at any time until its maker has given it up, and even after."""

    kind: Call
    performed: bool = False


@dataclass
class _World:
    """One payment, its gateway, and any number of processes that call it."""

    accepts: bool
    payment: Payment | None = None
    events: list[PaymentEvent] = field(default_factory=list)
    on_its_way: list[_Call] = field(default_factory=list)
    given_up: list[_Call] = field(default_factory=list)
    charged_by_gateway: bool | None = None
    refunded_by_gateway: bool = False
    now = NOW
    order_id = uuid7()

    def take(self, step: Step | None) -> None:
        if step is None:
            return
        self.payment = step.payment
        self.events += [step.event] if step.event else []
        if step.call:
            self._begin()

    def do(self, what: str, which: int, clock: int = 0) -> None:
        """`clock` is by how many seconds the clock of whoever does it is wrong."""
        self.now = NOW + timedelta(seconds=clock)
        at = moment(self.now, lease=None if what.endswith("no room") else LEASE)
        match what.removesuffix(", no room"):
            case "charge":
                known = self.payment
                self.take(known.charge(AMOUNT, at) if known else Payment.intent(self.order_id, AMOUNT, at))
            case "refund":
                self.take(self.payment.refund(at) if self.payment else Payment.tombstone(self.order_id, at))
            case "perform" if anywhere := self.on_its_way + self.given_up:
                self.perform(anywhere[which % len(anywhere)])
            case "answer" if self.on_its_way:
                self.answer(self.on_its_way.pop(which % len(self.on_its_way)))
            case "lose" if self.on_its_way:
                call = self.on_its_way.pop(which % len(self.on_its_way))
                self.given_up.append(call)
                self.take(self.payment.unanswered(call.kind, at) if self.payment else None)
            case "crash":
                self.given_up += self.on_its_way
                self.on_its_way.clear()
            case "sweep":
                self.sweep()

    def perform(self, call: _Call) -> None:
        """The gateway does what a key asks for at most once."""
        call.performed = True
        if call.kind is Call.REFUND:
            assert self.charged_by_gateway, "a refund was asked for that nobody had charged"
            self.refunded_by_gateway = True
        elif self.charged_by_gateway is None:
            self.charged_by_gateway = self.accepts

    def answer(self, call: _Call) -> None:
        self.perform(call)
        assert self.payment is not None
        at = moment(self.now)
        if call.kind is Call.REFUND:
            self.take(self.payment.refunded(at))
        elif self.charged_by_gateway:
            self.take(self.payment.charged("ch_1", at))
        else:
            self.take(self.payment.declined("no cover", at))

    def sweep(self) -> None:
        """Long after: whatever was left to somebody is due by now."""
        if self.payment is not None and self.payment.next_call is not None:
            self.payment = self.payment.claimed(self.now, LEASE)
            self._begin()

    def come_to_rest(self) -> None:
        for _ in range(4):
            while self.on_its_way:
                self.answer(self.on_its_way.pop())
            self.sweep()
        for late in self.given_up:  # what had been under way for long gets to the gateway at last
            self.perform(late)

    def _begin(self) -> None:
        assert self.payment is not None
        assert self.payment.next_call is not None
        self.on_its_way.append(_Call(self.payment.next_call))


@settings(max_examples=1500, deadline=None)
@given(st.booleans(), st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 7), CLOCKS), max_size=25))
def test_whatever_comes_in_whatever_order_the_money_is_right(accepts: bool, steps: list[tuple[str, int, int]]) -> None:
    world = _World(accepts)
    for what, which, clock in steps:
        world.do(what, which, clock)

    world.come_to_rest()

    names = [what.removesuffix(", no room") for what, *_ in steps]
    held = world.charged_by_gateway is True and not world.refunded_by_gateway
    if "refund" in names:
        assert not held, "after a refund nothing stays charged"
        assert world.payment is not None
        assert world.payment.status in (PaymentStatus.REFUNDED, PaymentStatus.DECLINED)
        assert any(isinstance(event, PaymentRefunded) for event in world.events), "a refund is answered"
    elif "charge" in names:
        assert world.payment is not None
        assert held == accepts, "a charge that nobody took back is made"
        assert world.payment.status is (PaymentStatus.CAPTURED if accepts else PaymentStatus.DECLINED)
        kind = PaymentCaptured if accepts else PaymentDeclined
        assert any(isinstance(event, kind) for event in world.events), "a charge is answered"
    else:
        assert world.payment is None
        assert world.events == []


@settings(max_examples=500, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 7), CLOCKS), max_size=25))
def test_the_last_word_of_the_events_is_what_is_so(steps: list[tuple[str, int, int]]) -> None:
    world = _World(accepts=True)
    for what, which, clock in steps:
        world.do(what, which, clock)

    world.come_to_rest()

    times = [event.occurred_at for event in world.events]
    assert times == sorted(times), "events happen one after the other, whatever the clocks say"
    refunds = [event for event in world.events if isinstance(event, PaymentRefunded)]
    given_back = {event.amount for event in refunds}
    assert len(given_back) <= 1, "a refund is said with the same amount each time"
    if refunds:
        first = world.events.index(refunds[0])
        captured = [event for event in world.events[first:] if isinstance(event, PaymentCaptured)]
        assert captured == [], "nothing is captured once a refund was confirmed"
        assert given_back == {AMOUNT if world.refunded_by_gateway else None}
