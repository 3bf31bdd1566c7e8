"""One order, its two partners, and the four topics between them, as a value: what may happen next is tried on it.

The partners are models of what a partner promises: reservations and charges that can be undone before they were done,
a gateway that answers when it likes. Nobody here remembers which messages it has handled, which is what an inbox is
for: whatever comes again is handled again, and the states alone must cope.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum, auto
from typing import Any, Self

from order_service.domain.commands import ChargePayment, PaymentCommand, RefundPayment, ReleaseStock, ReserveStock
from order_service.domain.fulfilment import (
    Cancel,
    Complete,
    DeadlinePassed,
    Happening,
    PaymentCaptured,
    PaymentDeclined,
    PaymentRefunded,
    Retry,
    StockRejected,
    StockReleased,
    StockReserved,
    begin,
    react,
)
from order_service.domain.order import Order
from order_service.domain.order_status import IllegalTransition
from tests.domain.orders import AT, RESERVED, moment, placed_order, stored


class Stock(StrEnum):
    """What the inventory holds for the order."""

    NOTHING = auto()
    RESERVED = auto()
    REJECTED = auto()
    RELEASED = auto()
    SHIPPED = auto()


class Payment(StrEnum):
    """What the payment service has of the order; in the -ING states the gateway is being asked."""

    NOTHING = auto()
    CHARGING = auto()
    VOIDING = auto()
    CAPTURED = auto()
    DECLINED = auto()
    REFUNDING = auto()
    REFUNDED = auto()


class Topic(StrEnum):
    """Who speaks to whom. Messages of one topic stay in their order; topics know nothing of each other."""

    STOCK_COMMANDS = auto()
    STOCK_EVENTS = auto()
    PAYMENT_COMMANDS = auto()
    PAYMENT_EVENTS = auto()


class Act(StrEnum):
    """What may happen at any moment, beside the delivery of messages."""

    GATEWAY_ANSWERS = auto()
    DEADLINE_PASSES = auto()
    CANCEL = auto()
    COMPLETE = auto()
    RETRY = auto()


@dataclass(frozen=True, slots=True)
class Delivery:
    """The next message of a topic is handled; or it is lost to the dead letters; or all of them come once more."""

    topic: Topic
    how: str = "delivered"


DELIVERIES = tuple(Delivery(topic) for topic in Topic)
LOSSES = tuple(Delivery(topic, "lost") for topic in Topic)
REPETITIONS = tuple(Delivery(topic, "again from the beginning") for topic in Topic)

Step = Act | Delivery


@dataclass(frozen=True, slots=True)
class World:
    """Everything there is at one moment. `sold_out` and `declines` say what the partners will answer."""

    order: Order
    now: datetime
    topics: dict[Topic, tuple[Any, ...]]
    read: dict[Topic, int]
    sold_out: bool = False
    declines: bool = False
    stock: Stock = Stock.NOTHING
    payment: Payment = Payment.NOTHING
    charged: int = 0
    refunded: int = 0

    @classmethod
    def with_an_order(cls, *, sold_out: bool, declines: bool) -> Self:
        """An order was placed a moment ago."""
        order = placed_order()
        reaction = begin(order, moment(AT))
        nothing = cls(stored(order), AT, dict.fromkeys(Topic, ()), dict.fromkeys(Topic, 0), sold_out, declines)
        return nothing._sent(*reaction.commands)

    def after(self, step: Step) -> Self | None:
        """The world after this; None when it cannot happen now."""
        match step:
            case Delivery(topic, "delivered"):
                return self._delivered(topic)
            case Delivery(topic, "lost"):
                return self._read_to(topic, self.read[topic] + 1) if self.waiting(topic) else None
            case Delivery(topic):
                return self._read_to(topic, 0) if self.read[topic] else None
            case Act.GATEWAY_ANSWERS:
                return self._gateway_answers()
            case Act.DEADLINE_PASSES:
                return self._happens(DeadlinePassed(self.order.version))
            case Act.CANCEL:
                return self._happens(Cancel())
            case Act.COMPLETE:
                return self._happens(Complete())
            case Act.RETRY:
                return self._happens(Retry())

    def waiting(self, topic: Topic) -> tuple[Any, ...]:
        """The messages that are not read yet."""
        return self.topics[topic][self.read[topic] :]

    @property
    def stock_is_held(self) -> bool:
        """Held, or gone with the goods."""
        return self.stock in (Stock.RESERVED, Stock.SHIPPED)

    @property
    def is_paid(self) -> bool:
        """The customer's money is here, and nobody is giving it back."""
        return self.payment is Payment.CAPTURED

    def _delivered(self, topic: Topic) -> Self | None:
        if not self.waiting(topic):
            return None
        message = self.waiting(topic)[0]
        after = self._read_to(topic, self.read[topic] + 1)
        match topic:
            case Topic.STOCK_COMMANDS:
                return after._inventory_handles(message)
            case Topic.PAYMENT_COMMANDS:
                return after._payment_handles(message)
            case _:
                return after._happens(message) or after

    def _happens(self, happening: Happening) -> Self | None:
        try:
            reaction = react(self.order, happening, moment(self.now))
        except IllegalTransition:
            return None
        return replace(self, order=stored(reaction.order))._sent(*reaction.commands) if reaction else None

    def _inventory_handles(self, command: Any) -> Self:
        match command, self.stock:
            case ReserveStock(), Stock.NOTHING if not self.sold_out:
                return replace(self, stock=Stock.RESERVED)._sent(RESERVED)
            case ReserveStock(), Stock.NOTHING:
                return replace(self, stock=Stock.REJECTED)._sent(StockRejected("sold out"))
            case ReserveStock(), Stock.RESERVED | Stock.SHIPPED:
                return self._sent(RESERVED)
            case ReserveStock(), _:
                return self._sent(StockRejected("taken back"))
            case ReleaseStock(), Stock.SHIPPED:
                raise AssertionError("what was shipped cannot be released")
            case ReleaseStock(), Stock.REJECTED:
                return self._sent(StockReleased())
            case ReleaseStock(), _:
                return replace(self, stock=Stock.RELEASED)._sent(StockReleased())
            case _:
                if not self.stock_is_held:
                    raise AssertionError(f"stock that is {self.stock} cannot be shipped")
                return replace(self, stock=Stock.SHIPPED)

    def _payment_handles(self, command: PaymentCommand) -> Self:
        match command, self.payment:
            case ChargePayment(), Payment.NOTHING:
                return replace(self, payment=Payment.CHARGING)
            case ChargePayment(), Payment.CHARGING:
                return self
            case ChargePayment(), Payment.CAPTURED:
                return self._sent(PaymentCaptured())
            case ChargePayment(), _:
                return self._sent(PaymentDeclined("taken back"))
            case RefundPayment(), Payment.CHARGING:
                return replace(self, payment=Payment.VOIDING)
            case RefundPayment(), Payment.CAPTURED:
                return replace(self, payment=Payment.REFUNDING)
            case RefundPayment(), Payment.VOIDING | Payment.REFUNDING:
                return self
            case _:
                return replace(self, payment=Payment.REFUNDED)._sent(PaymentRefunded())

    def _gateway_answers(self) -> Self | None:
        match self.payment:
            case Payment.CHARGING if self.declines:
                return replace(self, payment=Payment.DECLINED)._sent(PaymentDeclined("no cover"))
            case Payment.CHARGING:
                return replace(self, payment=Payment.CAPTURED, charged=self.charged + 1)._sent(PaymentCaptured())
            case Payment.VOIDING if self.declines:
                return replace(self, payment=Payment.REFUNDED)._sent(PaymentRefunded())
            case Payment.VOIDING:
                return replace(self, payment=Payment.REFUNDING, charged=self.charged + 1)
            case Payment.REFUNDING:
                refunded = replace(self, payment=Payment.REFUNDED, refunded=self.refunded + 1)
                return refunded._sent(PaymentRefunded())
            case _:
                return None

    def _sent(self, *messages: Any) -> Self:
        topics = self.topics
        for message in messages:
            topic = _topic_of(message)
            topics = topics | {topic: (*topics[topic], message)}
        return replace(self, topics=topics)

    def _read_to(self, topic: Topic, offset: int) -> Self:
        return replace(self, read=self.read | {topic: offset})


def _topic_of(message: Any) -> Topic:
    match message:
        case ChargePayment() | RefundPayment():
            return Topic.PAYMENT_COMMANDS
        case PaymentCaptured() | PaymentDeclined() | PaymentRefunded():
            return Topic.PAYMENT_EVENTS
        case StockReserved() | StockRejected() | StockReleased():
            return Topic.STOCK_EVENTS
        case _:
            return Topic.STOCK_COMMANDS
