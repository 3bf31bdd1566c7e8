"""Whose order it is, and API keys.

An order without a caller is an anonymous one. Releases before this one store callers only together with keys, and may
run beside it. The index leaves anonymous orders out, so an installation without authentication does not pay for it.
"""

from alembic import op

from messaging.postgres.tables import API_KEYS

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

A_KEY_HAS_ITS_CALLER = """
alter table orders
    drop constraint a_key_has_its_caller_and_request,
    add constraint a_key_has_its_caller_and_request check (
        num_nulls(idempotency_key, request_hash) in (0, 2) and (idempotency_key is null or caller is not null)
    ) not valid
"""
VALIDATED = "alter table orders validate constraint a_key_has_its_caller_and_request"
BY_CALLER = "create index orders_of_caller on orders (caller, status, id) where caller <> 'anonymous'"


def upgrade() -> None:
    """Allow callers without keys, and make the table of API keys."""
    for statement in (A_KEY_HAS_ITS_CALLER, VALIDATED, BY_CALLER, API_KEYS):
        op.execute(statement)


def downgrade() -> None:
    """Forget whose the orders without keys are, and the API keys."""
    op.execute("drop table api_keys")
    op.execute("drop index orders_of_caller")
    op.execute("update orders set caller = null where idempotency_key is null and caller is not null")
    op.execute("alter table orders drop constraint a_key_has_its_caller_and_request")
    op.execute(
        "alter table orders add constraint a_key_has_its_caller_and_request "
        "check (num_nulls(caller, idempotency_key, request_hash) in (0, 3))"
    )
