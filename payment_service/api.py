"""The payment service over HTTP: a client can read the payment of an order."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import FastAPI, Path
from pydantic import BaseModel, Field

from http_api.access.guard import needs
from http_api.errors import Answer, ErrorTable
from http_api.health import HealthChecks
from http_api.http_application import HttpPart
from http_api.schemas import MoneyView, documented, money_view
from messaging.engine.correlation import ORDER_ID
from payment_service.application.find_payment import FindPayment, PaymentNotFound
from payment_service.domain.payment import Payment, PaymentStatus
from shared_kernel.caller import Caller, Scope

TITLE = "Payment service"

_ERRORS: ErrorTable = {PaymentNotFound: Answer(404, "Not found", "orderId")}


class PaymentView(BaseModel):
    """A payment as it was last committed. CHARGING, VOIDING and REFUNDING wait for the payment gateway."""

    orderId: str = Field(examples=["019ab1f0-6c1e-7c8a-9d3e-0b5f6a7c8d9e"])  # noqa: N815  the names on the wire
    status: PaymentStatus
    amount: MoneyView | None = Field(description="Null when a refund was asked for and nothing had been charged")
    reason: str | None = Field(description="Why it was declined")
    reference: str | None = Field(description="The payment gateway's name for the charge")
    attempts: int = Field(description="Calls to the payment gateway for the charge, or then for the refund")
    createdAt: datetime  # noqa: N815
    updatedAt: datetime  # noqa: N815


def payments_http(checks: HealthChecks, find: FindPayment | None) -> HttpPart:
    """The service's part of an application. Without `find` it is only the health, for a process without the API."""
    if find is None:
        return HttpPart(TITLE, checks)

    def add_routes(app: FastAPI) -> None:
        @app.get(
            "/payments/{orderId}",
            tags=["payments"],
            responses=documented(400, 401, 403, 404, 429, 503),
            summary="Read the payment of an order",
        )
        async def read_payment(
            orderId: Annotated[UUID, Path(description="The order's id")],  # noqa: N803
            caller: Annotated[Caller, needs(Scope.PAYMENTS_READ)],
        ) -> PaymentView:
            ORDER_ID.set(str(orderId))
            return _view(await find(orderId, caller))

    return HttpPart(TITLE, checks, add_routes, _ERRORS)


def _view(payment: Payment) -> PaymentView:
    return PaymentView(
        orderId=str(payment.order_id),
        status=payment.status,
        amount=money_view(payment.amount),
        reason=payment.reason,
        reference=payment.reference,
        attempts=payment.attempts,
        createdAt=payment.created_at,
        updatedAt=payment.updated_at,
    )
