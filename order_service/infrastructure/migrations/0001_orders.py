"""Orders, and the outbox of their events.

The CHECK constraints hold for every row, independently of the code that writes it.
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ORDERS = """
create table orders (
    id              uuid primary key,
    customer_id     text check (length(customer_id) between 1 and 64),
    status          text not null
                    check (status in ('PENDING', 'CONFIRMED', 'CANCELLING', 'REJECTED', 'CANCELLED', 'COMPLETED')),
    version         integer not null check (version >= 1),
    lines           jsonb not null
                    check (jsonb_typeof(lines) = 'array' and jsonb_array_length(lines) between 1 and 100),
    total_minor     bigint check (total_minor >= 0),
    currency        text check (currency ~ '^[A-Z]{3}$'),
    reason          text,
    history         jsonb not null default '[]' check (jsonb_typeof(history) = 'array'),
    created_at      timestamptz not null,
    updated_at      timestamptz not null,
    caller          text,
    idempotency_key text,
    request_hash    bytea check (length(request_hash) = 32),
    constraint a_total_has_a_currency check ((total_minor is null) = (currency is null)),
    constraint a_confirmed_order_has_a_total
        check (status not in ('CONFIRMED', 'COMPLETED') or total_minor is not null),
    constraint an_order_that_ended_early_has_a_reason
        check (status not in ('REJECTED', 'CANCELLED') or reason is not null),
    constraint a_key_has_its_caller_and_request
        check (num_nulls(caller, idempotency_key, request_hash) in (0, 3)),
    constraint updated_after_created check (updated_at >= created_at)
)
"""
ONE_ORDER_A_KEY = """
create unique index orders_caller_idempotency_key on orders (caller, idempotency_key) where idempotency_key is not null
"""
BY_STATUS = "create index orders_status on orders (status, id)"

OUTBOX = """
create table outbox (
    shard      smallint not null check (shard >= 0),
    id         bigint generated always as identity,
    event_id   uuid not null,
    topic      text not null,
    key        text not null,
    headers    json not null,
    value      bytea not null,
    created_at timestamptz not null default now(),
    primary key (shard, id)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0)
"""


def upgrade() -> None:
    """Make the tables."""
    for statement in (ORDERS, ONE_ORDER_A_KEY, BY_STATUS, OUTBOX):
        op.execute(statement)


def downgrade() -> None:
    """Drop the tables with their data."""
    op.execute("drop table outbox")
    op.execute("drop table orders")
