"""An API key that is revoked stays revoked."""

from alembic import op

from messaging.postgres.tables import API_KEYS_DO_NOT_STAY_REVOKED, API_KEYS_STAY_REVOKED

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Refuse to give a revoked key back, or to change when it was revoked."""
    for statement in API_KEYS_STAY_REVOKED:
        op.execute(statement)


def downgrade() -> None:
    """Allow it again."""
    for statement in API_KEYS_DO_NOT_STAY_REVOKED:
        op.execute(statement)
