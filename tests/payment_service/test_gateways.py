"""What every payment gateway promises, the simulated one and a real one over HTTP; and what HTTP alone can do wrong."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal

import pytest
import pytest_asyncio
from uuid_utils.compat import uuid7

from payment_service.application.ports import Captured, Declined, GatewayUnavailable, PaymentGateway
from payment_service.infrastructure.http_gateway import TRIES, HttpGateway, open_http_gateway
from payment_service.infrastructure.simulated_gateway import SimulatedGateway
from shared_kernel.money import Money
from tests.payment_service.payments import AMOUNT
from tests.real_parts.payment_gateway import RealGateway
from tests.real_parts.waiting import DEADLINE

KEY = "key-1"


@asynccontextmanager
async def http(gateway: RealGateway, seconds: float = 10.0) -> AsyncIterator[HttpGateway]:
    """The adapter for a real gateway."""
    async with open_http_gateway(gateway.url, seconds=seconds) as adapter:
        yield adapter


@pytest_asyncio.fixture(params=["simulated", "http"])
async def adapter(request: pytest.FixtureRequest, gateway: RealGateway) -> AsyncIterator[PaymentGateway]:
    """Every kind of gateway. Both decline more than 1000.00."""
    if request.param == "simulated":
        yield SimulatedGateway(limit=Decimal("1000.00"))
    else:
        async with http(gateway) as over_http:
            yield over_http


async def test_a_charge_is_captured_and_has_a_reference(adapter: PaymentGateway) -> None:
    answer = await adapter.charge(KEY, uuid7(), AMOUNT)

    assert isinstance(answer, Captured)
    assert answer.reference


@pytest.mark.parametrize(("amount", "currency"), [("1000.01", "EUR"), ("2499.00", "USD"), ("1001", "JPY")])
async def test_an_amount_over_the_limit_is_declined_with_a_sentence_that_names_it(
    adapter: PaymentGateway, amount: str, currency: str
) -> None:
    answer = await adapter.charge(KEY, uuid7(), Money.of(amount, currency))

    assert isinstance(answer, Declined)
    assert amount in answer.reason


async def test_an_amount_at_the_limit_is_captured(adapter: PaymentGateway) -> None:
    assert isinstance(await adapter.charge(KEY, uuid7(), Money.of("1000.00", "EUR")), Captured)


async def test_a_key_gets_its_first_answer_again(adapter: PaymentGateway) -> None:
    accepted, refused = uuid7(), uuid7()
    dear = Money.of("1000.01", "EUR")

    charges = await asyncio.gather(*(adapter.charge("a", accepted, AMOUNT) for _ in range(10)))
    declines = [await adapter.charge("b", refused, dear) for _ in range(2)]

    assert len(set(charges)) == 1
    assert len(set(declines)) == 1


async def test_a_refund_can_be_asked_for_again(adapter: PaymentGateway) -> None:
    order = uuid7()
    await adapter.charge("a", order, AMOUNT)

    for _ in range(2):
        await adapter.refund("b", order, AMOUNT)


async def test_the_simulated_gateway_says_which_limit_it_is() -> None:
    simulated = SimulatedGateway(limit=Decimal("1000.00"))

    answer = await simulated.charge(KEY, uuid7(), Money.of("2499.00", "EUR"))

    assert answer == Declined("the amount 2499.00 EUR is over the limit of 1000.00")


async def test_the_simulated_gateway_fails_as_often_as_it_is_told_to() -> None:
    never, always = (SimulatedGateway(limit=Decimal(1000), failure_rate=rate) for rate in (0.0, 1.0))

    assert await never.charge(KEY, uuid7(), AMOUNT)
    with pytest.raises(GatewayUnavailable):
        await always.charge(KEY, uuid7(), AMOUNT)
    with pytest.raises(GatewayUnavailable):
        await always.refund(KEY, uuid7(), AMOUNT)


async def test_a_key_moves_money_once_however_often_it_comes(gateway: RealGateway) -> None:
    order = uuid7()
    async with http(gateway) as adapter:
        await asyncio.gather(*(adapter.charge("a", order, AMOUNT) for _ in range(10)))
        assert gateway.ledger.balance() == {order: Decimal("29.90")}
        await asyncio.gather(*(adapter.refund("b", order, AMOUNT) for _ in range(10)))

    assert gateway.ledger.balance() == {}
    assert (len(gateway.ledger.charges), len(gateway.ledger.refunds)) == (1, 1)


async def test_calls_that_are_cut_off_at_any_moment_leave_room_for_the_next(gateway: RealGateway) -> None:
    async with open_http_gateway(gateway.url, seconds=10) as adapter:
        with gateway.slow():
            for turns in range(60):
                call = asyncio.create_task(adapter.charge(f"cut-{turns}", uuid7(), AMOUNT))
                for _ in range(turns):
                    await asyncio.sleep(0)
                call.cancel()
                await asyncio.sleep(0)
                call.cancel()  # two limits of time may be over at once
                await asyncio.wait({call})
        answer = await adapter.charge(KEY, uuid7(), AMOUNT)

    assert isinstance(answer, Captured)


async def test_a_call_whose_answer_was_lost_is_tried_again_and_learns_what_it_did(gateway: RealGateway) -> None:
    gateway.drop_answers(TRIES - 1)
    async with http(gateway) as adapter:
        answer = await adapter.charge(KEY, uuid7(), AMOUNT)

    assert answer == Captured("ch_1")
    assert gateway.ledger.calls == [KEY] * TRIES
    assert len(gateway.ledger.charges) == 1


@pytest.mark.parametrize("status", [429, 500, 502, 503])
async def test_a_gateway_that_has_a_problem_is_tried_again(gateway: RealGateway, status: int) -> None:
    gateway.answer_with((status, b"{}"))
    async with http(gateway) as adapter:
        assert await adapter.charge(KEY, uuid7(), AMOUNT) == Captured("ch_1")


async def test_a_gateway_that_is_away_is_said_to_be_so_after_some_tries(gateway: RealGateway) -> None:
    gateway.stop()
    async with http(gateway) as adapter, asyncio.timeout(DEADLINE):
        with pytest.raises(GatewayUnavailable, match="ConnectError"):
            await adapter.charge(KEY, uuid7(), AMOUNT)
        with pytest.raises(GatewayUnavailable, match="ConnectError"):
            await adapter.refund(KEY, uuid7(), AMOUNT)


async def test_a_gateway_that_is_too_slow_is_not_waited_for(gateway: RealGateway) -> None:
    async with http(gateway, seconds=0.2) as adapter, asyncio.timeout(DEADLINE):
        with gateway.slow(), pytest.raises(GatewayUnavailable):
            await adapter.charge(KEY, uuid7(), AMOUNT)


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (402, b'{"reason": "no cover"}', "no cover"),
        (402, b"{}", "the payment was declined"),
        (402, b"not JSON", "the payment was declined"),
        (402, b'["no", "cover"]', "the payment was declined"),
        (402, b'{"reason": 7}', "the payment was declined"),
        (402, b'{"reason": "   "}', "the payment was declined"),
        (402, b'{"reason": "\\u0000\\u200b\\ud800\\u202e"}', "the payment was declined"),
        (402, b'{"reason": "a\\u0000b"}', "a b"),
        (402, b'{"reason": " no\\n\\n cover\\u00a0here "}', "no cover here"),
        (402, b'{"reason": "' + b"x" * 600 + b'"}', "x" * 500),
        (400, b"{}", "the payment gateway does not accept the charge (it answered 400)"),
        (422, b"{}", "the payment gateway does not accept the charge (it answered 422)"),
    ],
)
async def test_what_will_never_be_charged_is_declined_in_words_that_can_be_kept(
    gateway: RealGateway, status: int, body: bytes, reason: str
) -> None:
    gateway.answer_with((status, body))
    async with http(gateway) as adapter:
        assert await adapter.charge(KEY, uuid7(), AMOUNT) == Declined(reason)


@pytest.mark.parametrize(
    ("status", "body"),
    [(status, b"{}") for status in (401, 403, 404, 405, 407, 408, 409, 411, 421, 423, 424, 425, 426, 431, 499, 302)]
    + [(200, b"{}"), (201, b"not JSON"), (200, b'{"reference": ""}'), (200, b'{"reference": null}')],
)
async def test_an_answer_that_is_not_about_the_charge_leaves_it_in_doubt(
    gateway: RealGateway, status: int, body: bytes
) -> None:
    gateway.answer_with((status, body))
    async with http(gateway) as adapter:
        with pytest.raises(GatewayUnavailable, match=str(status)):
            await adapter.charge(KEY, uuid7(), AMOUNT)


@pytest.mark.parametrize(
    ("status", "body"),
    [(status, b"{}") for status in (302, 400, 402, 404, 409, 422)]
    + [(200, b"{}"), (200, b"<html>sign in</html>"), (201, b"\xff\xfe"), (204, b""), (200, b'{"reference": ""}')],
)
async def test_a_refund_is_in_doubt_until_the_gateway_has_said_that_it_gave_the_money_back(
    gateway: RealGateway, status: int, body: bytes
) -> None:
    gateway.answer_with((status, body))
    async with http(gateway) as adapter:
        with pytest.raises(GatewayUnavailable, match=str(status)):
            await adapter.refund(KEY, uuid7(), AMOUNT)
