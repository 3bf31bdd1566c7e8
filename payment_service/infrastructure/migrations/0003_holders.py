"""Who holds the lease of a call, so that whoever follows a dead process at its place makes the call at once."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

HOLDERS = "alter table payments add column held_by text, add column held_until timestamptz"


def upgrade() -> None:
    """Add the columns."""
    op.execute(HOLDERS)


def downgrade() -> None:
    """Forget the holders. All leases last to their end then."""
    op.execute("alter table payments drop column held_by, drop column held_until")
