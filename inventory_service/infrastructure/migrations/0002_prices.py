"""Prices of up to twelve digits, and CLF and UYW with the four digits after the point that ISO 4217 gives them."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# Amounts were stored in hundredths. From now on they are stored in ten-thousandths.
_LINES = """
    update reservations set lines = (
        select jsonb_agg(line || jsonb_build_object('u', {scaled}) order by place)
        from jsonb_array_elements(lines) with ordinality as l(line, place)
    )
    where currency in ('CLF', 'UYW')
"""


def upgrade() -> None:
    """Remove the old limit first, because the new amounts are larger."""
    op.execute("alter table products drop constraint products_price_minor_check")
    op.execute("update products set price_minor = price_minor * 100 where currency in ('CLF', 'UYW')")
    op.execute(_LINES.format(scaled="(line->>'u')::bigint * 100"))
    op.execute(
        "alter table products add constraint products_price_minor_check check (price_minor between 1 and 999999999999)"
    )


def downgrade() -> None:
    """Fails without a change while a price is above the old limit."""
    op.execute("alter table products drop constraint products_price_minor_check")
    op.execute("update products set price_minor = greatest(price_minor / 100, 1) where currency in ('CLF', 'UYW')")
    op.execute(_LINES.format(scaled="greatest((line->>'u')::bigint / 100, 1)"))
    op.execute(
        "alter table products add constraint products_price_minor_check check (price_minor between 1 and 1000000000)"
    )
