"""The commands of the topic `payment-commands`, and the use cases that handle them."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from messaging.engine.decoding import Envelope, MoneyBody, decoder
from messaging.ports.record import Record, Rejected
from messaging.ports.subscription import Subscription
from payment_service.application.take_commands import TakeCommands
from payment_service.domain.payment import AmountChanged
from shared_kernel.caller import MAX_CALLER

TOPIC = "payment-commands"


class _ChargePayment(Envelope):
    amount: MoneyBody
    caller: Annotated[str, Field(min_length=1, max_length=MAX_CALLER)] | None = None  # release 0.2.0 did not say it


class _RefundPayment(Envelope):
    pass


READS: Mapping[str, type[Envelope]] = {"ChargePayment": _ChargePayment, "RefundPayment": _RefundPayment}
"""What is read of each type."""


def payment_commands(take: TakeCommands) -> Subscription:
    """The subscription to the topic. Every command on it is for this service, so an unknown one becomes a dead
    letter."""
    read_charge, read_refund = decoder(_ChargePayment), decoder(_RefundPayment)

    async def charge(record: Record) -> None:
        command = read_charge(record)
        try:
            await take.charge(command.orderId, command.amount.as_money(), command.caller, command.claim)
        except AmountChanged as error:
            raise Rejected(str(error)) from None

    async def refund(record: Record) -> None:
        command = read_refund(record)
        await take.refund(command.orderId, command.claim)

    return Subscription(TOPIC, {"ChargePayment": charge, "RefundPayment": refund})
