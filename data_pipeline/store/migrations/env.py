"""Run the migrations on the connection, and in the transaction, of `Store.open`."""

from alembic import context

from data_pipeline.store.tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA, transactional_ddl=True)
context.run_migrations()
