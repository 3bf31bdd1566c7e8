"""Payments, and the tables of every service's database.

The CHECK constraints hold for every row, independently of the code that writes it.
"""

from alembic import op

from messaging.postgres.tables import CONSUMING, OUTBOX

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

PAYMENTS = """
create table payments (
    order_id        uuid primary key,
    amount_minor    bigint check (amount_minor >= 0),
    currency        text check (currency ~ '^[A-Z]{3}$'),
    status          text not null
                    check (status in ('CHARGING', 'VOIDING', 'CAPTURED', 'DECLINED', 'REFUNDING', 'REFUNDED')),
    reason          text check (length(reason) between 1 and 500),
    reference       text check (length(reference) between 1 and 500),
    version         integer not null check (version >= 1),
    attempts        integer not null check (attempts >= 0),
    next_attempt_at timestamptz,
    created_at      timestamptz not null,
    updated_at      timestamptz not null,
    constraint an_amount_has_a_currency check ((amount_minor is null) = (currency is null)),
    constraint only_a_refunded_payment_may_have_no_amount check (amount_minor is not null or status = 'REFUNDED'),
    constraint a_payment_has_a_reference_exactly_when_it_was_charged
        check ((reference is not null) = (status in ('CAPTURED', 'REFUNDING')
                                          or (status = 'REFUNDED' and amount_minor is not null))),
    constraint a_payment_has_a_reason_exactly_when_it_was_declined
        check ((reason is not null) = (status = 'DECLINED')),
    constraint a_call_is_due_exactly_while_the_outcome_is_in_doubt
        check ((next_attempt_at is not null) = (status in ('CHARGING', 'VOIDING', 'REFUNDING'))),
    constraint a_charge_was_tried_before_it_is_voided check (status <> 'VOIDING' or attempts >= 1),
    constraint updated_after_created check (updated_at >= created_at)
)
"""
CALLS_DUE = "create index payments_due on payments (next_attempt_at) where next_attempt_at is not null"


def upgrade() -> None:
    """Create the tables."""
    for statement in (PAYMENTS, CALLS_DUE, OUTBOX, *CONSUMING):
        op.execute(statement)


def downgrade() -> None:
    """Drop the tables with their data."""
    for table in ("dead_letters", "parked", "inbox", "outbox", "payments"):
        op.execute(f"drop table {table}")
