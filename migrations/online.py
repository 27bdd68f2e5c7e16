"""For revisions that run while workers go on: an index is made or dropped without stopping anybody.

Rule: what is here may be repeated after it broke off anywhere. A revision that uses it says ``online = True`` at its
top, holds nothing else, and ``serves`` the code before it. On SQLite it is an ordinary revision.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

_LEFT_OVER = """
select 1 from pg_index i join pg_class c on c.oid = i.indexrelid
where not i.indisvalid and c.relname = :name and c.relnamespace = current_schema()::regnamespace"""


def build_index(
    name: str, table: str, columns: Sequence[str], *, unique: bool = False, where: str | None = None
) -> None:
    """Make an index. One that an earlier try left unfinished is dropped first; one that is there already stays."""
    predicate: dict[str, Any] = {}
    if where is not None:
        predicate = {"sqlite_where": sa.text(where), "postgresql_where": sa.text(where)}
    if op.get_context().dialect.name != "postgresql":
        op.create_index(name, table, list(columns), unique=unique, **predicate)
        return
    if op.get_bind().execute(sa.text(_LEFT_OVER), {"name": name}).first():
        drop_index(name, table)
    op.create_index(
        name, table, list(columns), unique=unique, postgresql_concurrently=True, if_not_exists=True, **predicate
    )


def drop_index(name: str, table: str) -> None:
    """Drop an index; none is needed."""
    concurrently = op.get_context().dialect.name == "postgresql"
    op.drop_index(name, table, if_exists=True, postgresql_concurrently=concurrently)
