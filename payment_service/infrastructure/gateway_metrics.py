"""The metrics of the payment service."""

from uuid import UUID

import structlog
from prometheus_client import Counter, Gauge

from messaging.engine.gauges import set_gauges
from payment_service.application.ports import Captured, Declined, GatewayUnavailable, PaymentGateway
from payment_service.domain.payment import Call
from payment_service.infrastructure.memory import MemoryPayments
from payment_service.infrastructure.postgres import PostgresPayments
from shared_kernel.money import Money

CALLS = Counter(
    "oms_payment_calls_total",
    "Calls to the payment gateway, by what became of them: captured, declined, refunded, unknown",
    ["kind", "outcome"],
)
IN_DOUBT = Gauge("oms_payments_in_doubt", "Payments that wait for their gateway's answer")
MOST_OVERDUE = Gauge("oms_payments_most_overdue_seconds", "For how long the call that is due longest has been due")

log = structlog.get_logger("gateway")


class WatchedGateway:
    """A gateway that counts the calls to another gateway and logs their failures."""

    def __init__(self, gateway: PaymentGateway) -> None:
        self._gateway = gateway

    async def charge(self, key: str, order_id: UUID, amount: Money) -> Captured | Declined:
        """See PaymentGateway."""
        try:
            answer = await self._gateway.charge(key, order_id, amount)
        except GatewayUnavailable as error:
            _say(Call.CHARGE, key, error)
            raise
        CALLS.labels(Call.CHARGE, "captured" if isinstance(answer, Captured) else "declined").inc()
        return answer

    async def refund(self, key: str, order_id: UUID, amount: Money) -> None:
        """See PaymentGateway."""
        try:
            await self._gateway.refund(key, order_id, amount)
        except GatewayUnavailable as error:
            _say(Call.REFUND, key, error)
            raise
        CALLS.labels(Call.REFUND, "refunded").inc()


def _say(call: Call, key: str, error: GatewayUnavailable) -> None:
    CALLS.labels(call, "unknown").inc()
    log.warning("a call to the gateway will be made again", key=key, error=str(error))


async def refresh_metrics(payments: PostgresPayments | MemoryPayments) -> None:
    """Set the gauges."""

    async def counts() -> tuple[float, float]:
        in_doubt, overdue = await payments.in_doubt()
        return in_doubt, max(overdue, 0.0)

    await set_gauges((IN_DOUBT, MOST_OVERDUE), counts)
