"""The fulfilment saga: the statuses of an order's stock and payment, its deadline, and the tables of its consumer.

Orders that are PENDING from before the saga get a deadline that has passed. Their stock was never asked for, so the
saga takes them back. Cancelled and rejected orders never held stock.
"""

from alembic import op

from messaging.postgres.tables import CONSUMING

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

COLUMNS = """
alter table orders
    add column stock_status text not null default 'REQUESTED'
        check (stock_status in ('REQUESTED', 'RESERVED', 'REJECTED', 'RELEASING', 'RELEASED', 'SHIPPED')),
    add column payment_status text
        check (payment_status in ('REQUESTED', 'CAPTURED', 'DECLINED', 'REFUNDING', 'REFUNDED')),
    add column deadline timestamptz,
    add column attempts smallint not null default 0 check (attempts >= 0)
"""
PENDING = "update orders set deadline = now() where status = 'PENDING'"
ENDED = "update orders set stock_status = 'RELEASED' where status = 'CANCELLED'"
REJECTED = "update orders set stock_status = 'REJECTED' where status = 'REJECTED'"
NO_DEFAULT = "alter table orders alter column stock_status drop default"
STATES = """
alter table orders
    drop constraint orders_status_check,
    add constraint orders_status_check check (
        status in ('PENDING', 'CONFIRMED', 'CANCELLING', 'STUCK', 'REJECTED', 'CANCELLED', 'COMPLETED')),
    add constraint a_deadline_while_something_is_waited_for check (
        (deadline is not null) = (status in ('PENDING', 'CANCELLING'))),
    add constraint confirmed_means_reserved_and_captured check (
        status not in ('CONFIRMED', 'COMPLETED')
        or (payment_status is not distinct from 'CAPTURED' and stock_status in ('RESERVED', 'SHIPPED'))),
    add constraint rejected_means_nothing_held_and_nothing_charged check (
        status <> 'REJECTED'
        or (stock_status in ('REJECTED', 'RELEASED') and coalesce(payment_status, 'DECLINED') = 'DECLINED')),
    add constraint cancelled_means_nothing_held_and_nothing_charged check (
        status <> 'CANCELLED' or (stock_status = 'RELEASED' and coalesce(payment_status, 'REFUNDED') = 'REFUNDED')),
    add constraint a_payment_has_a_total check (payment_status is null or total_minor is not null)
"""
BY_DEADLINE = "create index orders_deadline on orders (deadline) where deadline is not null"


def upgrade() -> None:
    """Add the columns, the rules and the tables of a consumer."""
    for statement in (COLUMNS, PENDING, ENDED, REJECTED, NO_DEFAULT, STATES, BY_DEADLINE, *CONSUMING):
        op.execute(statement)


def downgrade() -> None:
    """Not possible: the earlier schema cannot hold an order that is being fulfilled."""
    raise NotImplementedError("an order that is being fulfilled cannot be described by the schema before 0002")
