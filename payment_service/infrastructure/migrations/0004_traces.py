"""The trace in which each payment was asked for, for links from what is done later."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.execute("alter table payments add column traceparent text")


def downgrade() -> None:
    """Forget the traces."""
    op.execute("alter table payments drop column traceparent")
