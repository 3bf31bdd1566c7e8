"""Runs the migrations inside the transaction that `messaging.runtime.migrations.migrate` opened."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
with context.begin_transaction():
    context.run_migrations()
