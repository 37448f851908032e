"""Alembic's entry: run the revisions on the connection that ``migrate`` hands over."""

from alembic import context

from ebbtide.store.state.tables import METADATA

# The caller holds the transaction, so all revisions and the version row are one commit.
context.configure(
    connection=context.config.attributes["connection"],
    version_table=context.config.attributes["version_table"],
    target_metadata=METADATA,
)
with context.begin_transaction():
    context.run_migrations()
