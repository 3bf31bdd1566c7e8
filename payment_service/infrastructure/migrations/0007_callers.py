"""Whose payment it is, and API keys."""

from alembic import op

from messaging.postgres.tables import API_KEYS

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table and the column."""
    op.execute(API_KEYS)
    op.execute("alter table payments add column caller text")


def downgrade() -> None:
    """Forget them."""
    op.execute("alter table payments drop column caller")
    op.execute("drop table api_keys")
