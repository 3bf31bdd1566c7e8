"""The audit trail: who did what, and the seals that show whether it was changed."""

from alembic import op

from messaging.postgres.audit_tables import AUDIT_TRAIL, NO_AUDIT_TRAIL

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables, and the functions that keep them."""
    for statement in AUDIT_TRAIL:
        op.execute(statement)


def downgrade() -> None:
    """Forget the trail."""
    for statement in NO_AUDIT_TRAIL:
        op.execute(statement)
