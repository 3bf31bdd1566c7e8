"""What an operator is told about payments."""

from datetime import timedelta

import asyncpg
import pytest
from uuid_utils.compat import uuid7

from payment_service.domain.payment import Payment
from payment_service.infrastructure.figures import read_figures
from tests.payment_service.conftest import postgres_payments
from tests.payment_service.payments import AMOUNT, NOW, moment, taking

LONG_AGO, JUST_NOW = NOW, NOW + timedelta(days=36_500)  # whatever a machine's clock says


@pytest.mark.parametrize(
    ("unanswered", "said"),
    [(9, None), (10, "10 calls to the gateway have no answer after 5 s: is it slow or away?")],
)
async def test_calls_that_are_not_answered_are_told_once_they_are_many(
    payments_database: str, unanswered: int, said: str | None
) -> None:
    async with postgres_payments(payments_database) as payments, asyncpg.create_pool(payments_database) as pool:
        for began in [LONG_AGO] * unanswered + [JUST_NOW] * 20:
            await payments.write(taking(Payment.intent(uuid7(), AMOUNT, moment(began))))

        in_doubt, overdue = await read_figures(pool)

    assert (in_doubt.value, in_doubt.alarm) == (unanswered + 20, said)
    assert (overdue.value, overdue.alarm) == (0, None)
