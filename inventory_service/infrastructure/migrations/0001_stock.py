"""Products, reservations, and the tables of every service's database.

The CHECK constraints hold for every row, independently of the code that writes it.
"""

from alembic import op

from messaging.postgres.tables import CONSUMING, OUTBOX

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Ids sort by code point, as in Python. So every instance locks products in the same order, with any locale of the
# database.
PRODUCTS = """
create table products (
    id          text collate "C" primary key check (length(id) between 1 and 64),
    price_minor bigint not null check (price_minor between 1 and 1000000000),
    currency    char(3) not null check (currency ~ '^[A-Z]{3}$'),
    on_hand     integer not null check (on_hand between 0 and 1000000000),
    reserved    integer not null check (reserved >= 0),
    constraint no_more_is_reserved_than_is_on_hand check (reserved <= on_hand)
) with (fillfactor = 50)
"""

RESERVATIONS = """
create table reservations (
    order_id   uuid primary key,
    status     text not null check (status in ('RESERVED', 'REJECTED', 'RELEASED', 'SHIPPED')),
    lines      jsonb not null check (jsonb_typeof(lines) = 'array'),
    currency   char(3) check (currency ~ '^[A-Z]{3}$'),
    reason     text,
    created_at timestamptz not null default now(),
    changed_at timestamptz not null default now(),
    constraint what_was_reserved_has_lines check (status not in ('RESERVED', 'SHIPPED') or lines <> '[]'),
    constraint what_was_rejected_holds_nothing check (status <> 'REJECTED' or lines = '[]'),
    constraint only_a_rejection_has_a_reason check ((status = 'REJECTED') = (reason is not null)),
    constraint prices_have_a_currency check ((lines = '[]') = (currency is null))
)
"""


def upgrade() -> None:
    """Create the tables."""
    for statement in (PRODUCTS, RESERVATIONS, OUTBOX, *CONSUMING):
        op.execute(statement)


def downgrade() -> None:
    """Drop the tables with their data."""
    for table in ("products", "reservations", "outbox", "inbox", "parked", "dead_letters"):
        op.execute(f"drop table {table}")
