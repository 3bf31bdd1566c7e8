"""Commands from the topic `payment-commands`: what is read of them, and which use case takes them."""

from typing import Annotated

from pydantic import BaseModel, Field

from messaging.engine.decoding import Envelope, decoder
from messaging.ports.record import Record, Rejected
from messaging.ports.subscription import Subscription
from payment_service.application import TakeCommands
from payment_service.domain import AmountChanged
from shared_kernel.money import InvalidMoney, Money

TOPIC = "payment-commands"


class _Amount(BaseModel):
    amount: Annotated[str, Field(pattern=r"^[0-9]{1,19}(\.[0-9]{1,3})?$")]
    currency: str

    def as_money(self) -> Money:
        """Raises Rejected."""
        try:
            return Money.of(self.amount, self.currency)
        except InvalidMoney as error:
            raise Rejected(f"amount: {error}") from None


class _ChargePayment(Envelope):
    amount: _Amount


class _RefundPayment(Envelope):
    pass


def payment_commands(take: TakeCommands) -> Subscription:
    """Everything on the topic is meant for us: what is not known here becomes a dead letter."""
    read_charge, read_refund = decoder(_ChargePayment), decoder(_RefundPayment)

    async def charge(record: Record) -> None:
        command = read_charge(record)
        try:
            await take.charge(command.orderId, command.amount.as_money(), command.claim)
        except AmountChanged as error:
            raise Rejected(str(error)) from None

    async def refund(record: Record) -> None:
        command = read_refund(record)
        await take.refund(command.orderId, command.claim)

    return Subscription(TOPIC, {"ChargePayment": charge, "RefundPayment": refund})
