"""Payments in PostgreSQL: one row for each payment. Steps of payments are writes of a row store."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from messaging.ports.changes import Written
from messaging.postgres.aggregate_table import Column, Table, due
from messaging.postgres.counting import counted
from messaging.postgres.doorbell import Wake
from messaging.postgres.pool import Pools
from messaging.postgres.row_store import RowStore
from payment_service.application.ports import PaymentWrite
from payment_service.domain.lease import Holder, Lease
from payment_service.domain.payment import Payment, PaymentStatus, Step
from payment_service.infrastructure.event_encoding import effect_of
from shared_kernel.money import Money


def _payment_of(row: Any) -> Payment:
    minor = row["amount_minor"]
    return Payment(
        order_id=row["order_id"],
        amount=None if minor is None else Money(minor, row["currency"]),
        status=PaymentStatus(row["status"]),
        reason=row["reason"],
        reference=row["reference"],
        caller=row["caller"],
        version=row["version"],
        attempts=row["attempts"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def _name(holder: Holder) -> str:
    return f"{holder.place}/{holder.process}"


def _pause(payment: Payment) -> timedelta | None:
    after = payment.call_after
    return after.length if isinstance(after, Lease) else after


def _lease(payment: Payment) -> Lease | None:
    return payment.call_after if isinstance(payment.call_after, Lease) else None


_UNSETTLED = ("CHARGING", "VOIDING", "REFUNDING")

_COLUMNS: Sequence[Column[Payment]] = (
    Column("order_id", "uuid", lambda payment: payment.order_id),
    Column("amount_minor", "bigint", lambda payment: payment.amount.minor if payment.amount else None),
    Column("currency", "text", lambda payment: payment.amount.currency if payment.amount else None),
    Column("status", "text", lambda payment: payment.status.value),
    Column("reason", "text", lambda payment: payment.reason),
    Column("reference", "text", lambda payment: payment.reference),
    Column("version", "integer", lambda payment: payment.version),
    Column("attempts", "integer", lambda payment: payment.attempts),
    due("next_attempt_at", _pause, while_status_in=_UNSETTLED),
    due("held_until", lambda payment: lease.length if (lease := _lease(payment)) else None, while_status_in=_UNSETTLED),
    Column(
        "held_by",
        "text",
        lambda payment: _name(lease.holder) if (lease := _lease(payment)) else None,
        changed=f"""case when w.status in {_UNSETTLED} then
                         case when w.next_attempt_at is null then r.held_by else w.held_by end end""",
    ),
    Column("created_at", "timestamptz", lambda payment: payment.created_at),
    Column("updated_at", "timestamptz", lambda payment: payment.updated_at),
    Column("caller", "text", lambda payment: payment.caller),
)

_PAYMENTS = Table("payments", _COLUMNS, _payment_of, has_origin=True)

_FIND = f"select {_PAYMENTS.names} from payments where order_id = $1"


def _claim(which: str) -> str:
    return f"""
    with due as (
        select order_id as id from payments where {which}
        order by next_attempt_at limit $1 for update skip locked
    )
    update payments
    set version = version + 1, attempts = attempts + 1, updated_at = greatest(updated_at, clock_timestamp()),
        next_attempt_at = statement_timestamp() + $2::interval, held_until = statement_timestamp() + $2::interval,
        held_by = $3
    from due where order_id = due.id
    returning {_PAYMENTS.names}
"""


_CLAIM_DUE = _claim("next_attempt_at <= clock_timestamp()")
# A release without these columns leaves `held_until` as it is when it begins a call. So a lease has the holder that is
# stored with it exactly while both times are the same.
_CLAIM_INHERITED = _claim("next_attempt_at = held_until and starts_with(held_by, $4) and held_by <> $3")
_IN_DOUBT = f"""
    select {counted("from payments where next_attempt_at is not null")},
           (select coalesce(extract(epoch from clock_timestamp() - min(next_attempt_at)), 0)
            from payments where next_attempt_at is not null)::float8
"""


class PostgresPayments:
    """The PaymentStore of production. `connections` store steps."""

    def __init__(
        self, dsn: str, pools: Pools, wake: Wake, *, connections: int, max_batch: int, max_waiting: int
    ) -> None:
        self._pools = pools
        self._rows = RowStore[Payment, Step](
            dsn, _PAYMENTS, effect_of, wake, connections=connections, max_batch=max_batch, max_waiting=max_waiting
        )

    @property
    def is_full(self) -> bool:
        """True when the next write would be refused."""
        return self._rows.is_full

    async def write(self, write: PaymentWrite) -> Written[Payment, Step]:
        """See PaymentStore."""
        return await self._rows.write(write)

    async def find(self, order_id: UUID) -> Payment | None:
        """See PaymentStore."""
        row = await self._pools.clients.fetchrow(_FIND, order_id)
        return _payment_of(row) if row else None

    async def claim_due(self, limit: int, lease: Lease) -> Sequence[Payment]:
        """See PaymentStore. Payments that are locked by another transaction are left out: they will be due again."""
        rows = await self._pools.engine.fetch(_CLAIM_DUE, limit, lease.length, _name(lease.holder))
        return [_payment_of(row) for row in rows]

    async def claim_inherited(self, limit: int, lease: Lease) -> Sequence[Payment]:
        """See PaymentStore. Payments that are locked by another transaction are left out."""
        arguments = (limit, lease.length, _name(lease.holder), f"{lease.holder.place}/")
        rows = await self._pools.engine.fetch(_CLAIM_INHERITED, *arguments)
        return [_payment_of(row) for row in rows]

    async def in_doubt(self) -> tuple[int, float]:
        """How many payments wait for the gateway's answer, counted up to 10,000, and for how many seconds the most
        overdue call has been due. The seconds are negative when no call is due."""
        row = await self._pools.engine.fetchrow(_IN_DOUBT)
        return int(row[0]), float(row[1])

    async def close(self) -> None:
        """Answer every accepted write, then close the connections."""
        await self._rows.close()
