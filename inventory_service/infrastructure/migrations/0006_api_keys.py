"""API keys."""

from alembic import op

from messaging.postgres.tables import API_KEYS

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.execute(API_KEYS)


def downgrade() -> None:
    """Forget them."""
    op.execute("drop table api_keys")
