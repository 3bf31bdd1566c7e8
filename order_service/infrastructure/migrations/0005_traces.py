"""The trace in which each order was placed, for links from what is done later."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.execute("alter table orders add column traceparent text")


def downgrade() -> None:
    """Forget the traces."""
    op.execute("alter table orders drop column traceparent")
