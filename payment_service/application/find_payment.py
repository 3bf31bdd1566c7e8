"""Read payments."""

from dataclasses import dataclass
from uuid import UUID

from payment_service.application.ports import PaymentStore
from payment_service.domain.payment import Payment
from shared_kernel.caller import ANONYMOUS_NAME, Caller


class PaymentNotFound(Exception):
    """There is no payment for this order, as far as the caller may know: neither a charge nor a refund was asked for.
    `is_anothers` is for the audit trail only."""

    def __init__(self, order_id: UUID, *, is_anothers: bool = False) -> None:
        super().__init__(f"there is no payment for the order {order_id}")
        self.is_anothers = is_anothers


@dataclass(frozen=True, slots=True)
class FindPayment:
    """Read a payment. A caller finds those of its own orders, and an operator finds all of them."""

    payments: PaymentStore

    async def __call__(self, order_id: UUID, by: Caller) -> Payment:
        """The payment as last committed. Raises PaymentNotFound."""
        payment = await self.payments.find(order_id)
        if payment is None or not by.may_see(payment.caller or ANONYMOUS_NAME):
            raise PaymentNotFound(order_id, is_anothers=payment is not None)
        return payment
