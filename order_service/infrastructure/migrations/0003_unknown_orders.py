"""Orders that partners answer about and that are not here."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

UNKNOWN_ORDERS = """
create table unknown_orders (
    id          uuid primary key,
    last_answer text not null,
    answers     integer not null check (answers > 0),
    first_at    timestamptz not null,
    last_at     timestamptz not null check (last_at >= first_at)
)
"""


def upgrade() -> None:
    """Add the table."""
    op.execute(UNKNOWN_ORDERS)


def downgrade() -> None:
    """Forget them."""
    op.execute("drop table unknown_orders")
