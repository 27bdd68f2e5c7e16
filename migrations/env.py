"""What alembic runs: the revisions on the connection it was handed (see ``mainspring.adapters.sql.schema.migrate``)."""

from alembic import context

from mainspring.adapters.sql.schema import VERSION_TABLE
from mainspring.adapters.sql.tables import metadata

connection = context.config.attributes.get("connection")
if connection is None:
    raise SystemExit("run `mainspring migrate --database URL`: it locks the store, then runs alembic")
context.configure(connection=connection, target_metadata=metadata, version_table=VERSION_TABLE, transactional_ddl=True)
context.run_migrations()
