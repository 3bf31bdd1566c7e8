"""The functions that keep the inbox's partitions, so that the service needs no rights of an owner."""

from alembic import op

from messaging.postgres.inbox_tables import KEEP_INBOX, KEEP_NO_INBOX

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the functions."""
    for statement in KEEP_INBOX:
        op.execute(statement)


def downgrade() -> None:
    """Drop the functions. The service of an earlier release makes the partitions itself."""
    for statement in KEEP_NO_INBOX:
        op.execute(statement)
