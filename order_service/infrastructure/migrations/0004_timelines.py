"""The servers and timelines that the service ran on."""

from alembic import op

from messaging.postgres.tables import TIMELINES

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table."""
    op.execute(TIMELINES)


def downgrade() -> None:
    """Forget them."""
    op.execute("drop table timelines")
