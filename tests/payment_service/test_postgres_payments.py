"""What PostgreSQL alone can be asked: one transaction for many, races between instances, and a schema that refuses what
cannot be."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio
from uuid_utils.compat import uuid7

from messaging.ports.changes import StoreUnavailable, Written
from payment_service.domain.payment import Payment, PaymentStatus
from payment_service.infrastructure.postgres import PostgresPayments
from shared_kernel.money import Money
from tests.payment_service.conftest import postgres_payments
from tests.payment_service.payments import (
    LEASE,
    SUCCESSOR,
    charging,
    claim,
    intent,
    moment,
    stored,
    taking,
    taking_back,
)
from tests.real_parts.kafka import free_port
from tests.real_parts.waiting import DEADLINE

_WAITING = """
    select count(*) from pg_stat_activity
    where datname = current_database() and application_name = 'oms' and wait_event_type = 'Lock'
"""


@pytest_asyncio.fixture
async def payments(payments_database: str) -> AsyncIterator[PostgresPayments]:
    """A store with one connection for new payments, so that what waits together is committed together."""
    async with postgres_payments(payments_database) as store:
        yield store


@pytest_asyncio.fixture
async def sql(payments_database: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection of the test's own, in autocommit."""
    connection = await asyncpg.connect(payments_database)
    yield connection
    await connection.close()


async def _until_one_waits_for_a_lock(sql: asyncpg.Connection) -> None:
    async with asyncio.timeout(DEADLINE):
        while await sql.fetchval(_WAITING) == 0:
            await sql.execute("select pg_sleep(0.01), pg_stat_clear_snapshot()")


async def test_steps_that_wait_together_are_stored_by_one_transaction(
    payments: PostgresPayments, sql: asyncpg.Connection
) -> None:
    steps = [intent() for _ in range(200)]
    captured = [step.payment.charged("ch_1", moment()) or step for step in steps]

    created = await asyncio.gather(*(payments.write(taking(step, claim())) for step in steps))
    assert await sql.fetchval("select count(distinct xmin::text) from payments") == 1
    assert await sql.fetchval("select count(distinct xmin::text) from inbox") == 1
    changed = await asyncio.gather(*(payments.write(taking(step, claim())) for step in captured))

    assert all(written.decision for written in (*created, *changed))
    assert await sql.fetchval("select count(distinct xmin::text) from payments") == 1
    assert await sql.fetchval("select count(*) from inbox") == 400
    assert await sql.fetchval(
        "select count(*) from outbox e join payments p on p.order_id::text = e.key where e.xmin::text = p.xmin::text"
    ) == 200, "a payment and its event are stored by the same transaction"  # fmt: skip


async def test_a_payment_that_another_instance_makes_at_the_same_moment_is_decided_upon_and_not_overwritten(
    payments: PostgresPayments, sql: asyncpg.Connection
) -> None:
    order_id, taken = uuid7(), claim()
    other = sql.transaction()
    await other.start()
    await sql.execute(_TOMBSTONE, order_id)
    mine = asyncio.create_task(payments.write(charging(order_id, taken)))
    await _until_one_waits_for_a_lock(sql)
    await other.commit()
    await mine

    found = await payments.find(order_id)
    assert found is not None
    assert (found.status, found.version) == (PaymentStatus.REFUNDED, 2)
    assert await sql.fetchval("select headers->>'ce_type' from outbox") == "PaymentDeclined"
    assert await sql.fetchval("select event_id from inbox") == taken.event_id


async def test_the_same_event_at_two_instances_at_the_same_time_has_one_effect(
    payments: PostgresPayments, payments_database: str, sql: asyncpg.Connection
) -> None:
    async with postgres_payments(payments_database) as another:
        claims = [claim() for _ in range(100)]
        steps = [Payment.tombstone(uuid7(), moment()) for _ in claims]
        pairs = list(zip(steps, claims, strict=True))
        async with asyncio.timeout(DEADLINE):
            here, there = await asyncio.gather(
                asyncio.gather(*(payments.write(taking(step, taken)) for step, taken in pairs)),
                asyncio.gather(*(another.write(taking(step, taken)) for step, taken in reversed(pairs))),
            )

    for one, other in zip(here, reversed(there), strict=True):
        assert (one.decision is None) is not (other.decision is None)
    assert await sql.fetchval("select count(*) from outbox") == 100


async def test_a_call_that_an_earlier_release_has_begun_is_not_inherited_from_whoever_began_it_before(
    payments: PostgresPayments, sql: asyncpg.Connection
) -> None:
    """Two releases run side by side during an upgrade, and the earlier one does not write who holds a lease."""
    steps = [intent(), intent()]
    for step in steps:
        await payments.write(taking(step))
    begun = "update payments set next_attempt_at = clock_timestamp() + interval '15 seconds' where order_id = $1"
    await sql.execute(begun, steps[0].payment.order_id)

    inherited = await payments.claim_inherited(10, SUCCESSOR)

    assert [payment.order_id for payment in inherited] == [steps[1].payment.order_id]


async def test_a_settled_payment_has_no_holder(payments: PostgresPayments, sql: asyncpg.Connection) -> None:
    step = intent()
    await payments.write(taking(step))
    assert await sql.fetchval("select held_by from payments") == "place-0/first"

    await payments.write(taking(step.payment.charged("ch_1", moment()) or step))

    assert await sql.fetchrow("select held_by, held_until, next_attempt_at from payments") == (None, None, None)


async def test_batches_of_two_instances_that_want_the_same_payments_do_not_deadlock(
    payments: PostgresPayments, payments_database: str, sql: asyncpg.Connection
) -> None:
    steps = [intent() for _ in range(100)]
    await asyncio.gather(*(payments.write(taking(step)) for step in steps))
    orders = [step.payment.order_id for step in steps]
    async with postgres_payments(payments_database) as another, asyncio.timeout(DEADLINE):
        written = await asyncio.gather(
            *(payments.write(taking_back(order_id, claim())) for order_id in orders),
            *(another.write(taking_back(order_id, claim())) for order_id in reversed(orders)),
        )

    assert Counter(each.decision is not None for each in written) == {True: 100, False: 100}, "each is taken back once"
    assert await sql.fetchval("select count(*) from inbox") == 100


async def test_a_step_that_cannot_be_stored_fails_alone(payments: PostgresPayments, sql: asyncpg.Connection) -> None:
    steps = [intent() for _ in range(20)]
    object.__setattr__(steps[7].payment, "attempts", -1)

    outcomes = await asyncio.gather(*(payments.write(taking(step, claim())) for step in steps), return_exceptions=True)

    assert isinstance(outcomes.pop(7), asyncpg.CheckViolationError)
    assert all(isinstance(outcome, Written) for outcome in outcomes)
    assert await sql.fetchval("select count(*) from inbox") == 19


async def test_without_a_server_every_method_says_that_the_store_is_unavailable() -> None:
    async with postgres_payments(f"postgresql://nobody@127.0.0.1:{free_port()}/nothing") as payments:
        step = intent()
        for call in (
            payments.write(taking(step)),
            payments.find(uuid7()),
            payments.claim_due(1, LEASE),
            payments.in_doubt(),
        ):
            with pytest.raises(StoreUnavailable):
                await call


async def test_payments_in_doubt_are_counted_with_the_age_of_the_oldest(payments: PostgresPayments) -> None:
    assert await payments.in_doubt() == (0, 0.0)
    for step in (intent(), intent(), Payment.tombstone(uuid7(), moment())):
        await payments.write(taking(step))

    count, overdue = await payments.in_doubt()

    assert count == 2
    assert overdue != 0.0


_TOMBSTONE = """
    insert into payments (order_id, status, version, attempts, created_at, updated_at)
    values ($1, 'REFUNDED', 1, 0, now(), now())
"""

ROW: dict[str, str] = {
    "amount_minor": "2990",
    "currency": "'EUR'",
    "status": "'CHARGING'",
    "reason": "null",
    "reference": "null",
    "version": "1",
    "attempts": "1",
    "next_attempt_at": "now()",
    "created_at": "now()",
    "updated_at": "now()",
}
SETTLED = {"next_attempt_at": "null"}
CAPTURED = {"status": "'CAPTURED'", "reference": "'ch_1'", "next_attempt_at": "null"}
DECLINED = {"status": "'DECLINED'", "reason": "'no cover'", "next_attempt_at": "null"}
TOMBSTONE = {"status": "'REFUNDED'", "amount_minor": "null", "currency": "null", "next_attempt_at": "null"}
REFERENCE = "a_payment_has_a_reference_exactly_when_it_was_charged"
REASON = "a_payment_has_a_reason_exactly_when_it_was_declined"
CALL = "a_call_is_due_exactly_while_the_outcome_is_in_doubt"

IMPOSSIBLE = [
    ("payments_status_check", SETTLED | {"status": "'PAID'"}),
    ("payments_version_check", {"version": "0"}),
    ("payments_attempts_check", {"attempts": "-1"}),
    ("payments_amount_minor_check", {"amount_minor": "-1"}),
    ("payments_currency_check", {"currency": "'eur'"}),
    ("payments_reason_check", DECLINED | {"reason": "''"}),
    ("payments_reason_check", DECLINED | {"reason": "repeat('x', 501)"}),
    ("payments_reference_check", CAPTURED | {"reference": "''"}),
    ("payments_reference_check", CAPTURED | {"reference": "repeat('x', 501)"}),
    ("an_amount_has_a_currency", {"currency": "null"}),
    ("only_a_refunded_payment_may_have_no_amount", {"amount_minor": "null", "currency": "null"}),
    (REFERENCE, {"reference": "'ch_1'"}),
    (REFERENCE, CAPTURED | {"reference": "null"}),
    (REFERENCE, CAPTURED | {"status": "'REFUNDED'", "reference": "null"}),
    (REFERENCE, TOMBSTONE | {"reference": "'ch_1'"}),
    (REASON, DECLINED | {"reason": "null"}),
    (REASON, {"reason": "'no cover'"}),
    (CALL, {"next_attempt_at": "null"}),
    (CALL, CAPTURED | {"next_attempt_at": "now()"}),
    (CALL, CAPTURED | {"status": "'REFUNDING'"}),
    ("a_charge_was_tried_before_it_is_voided", {"status": "'VOIDING'", "attempts": "0"}),
    ("updated_after_created", {"updated_at": "now() - interval '1 second'"}),
]


async def _insert(sql: asyncpg.Connection, columns: dict[str, str]) -> None:
    row = ROW | columns
    await sql.execute(
        f"insert into payments (order_id, {', '.join(row)}) values ($1, {', '.join(row.values())})", uuid7()
    )


@pytest.mark.parametrize(
    "columns",
    [
        {},
        CAPTURED,
        DECLINED,
        TOMBSTONE,
        CAPTURED | {"status": "'REFUNDED'"},
        {"attempts": "0"},
        {"status": "'VOIDING'"},
    ],
)
async def test_rows_that_others_are_made_from_are_possible(sql: asyncpg.Connection, columns: dict[str, str]) -> None:
    await _insert(sql, columns)


async def test_a_payment_that_cannot_be_is_refused_by_name(sql: asyncpg.Connection) -> None:
    for constraint, columns in IMPOSSIBLE:
        with pytest.raises(asyncpg.CheckViolationError) as refused:
            await _insert(sql, columns)
        assert refused.value.constraint_name == constraint


async def test_an_order_has_one_payment(sql: asyncpg.Connection) -> None:
    order_id = uuid7()
    await sql.execute(_TOMBSTONE, order_id)

    with pytest.raises(asyncpg.UniqueViolationError, match="payments_pkey"):
        await sql.execute(_TOMBSTONE, order_id)


async def test_the_index_of_due_calls_has_nothing_but_them(sql: asyncpg.Connection) -> None:
    definition = await sql.fetchval("select indexdef from pg_indexes where indexname = 'payments_due'")

    assert definition.endswith("(next_attempt_at) WHERE (next_attempt_at IS NOT NULL)")


async def test_money_of_63_bits_is_kept_exactly(payments: PostgresPayments) -> None:
    step = intent(amount=Money(2**63 - 1, "EUR"))

    await payments.write(taking(step))
    assert await payments.find(step.payment.order_id) == stored(step.payment)
