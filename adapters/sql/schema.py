"""The schema's version: checked with one SELECT, moved by alembic.

Rule: alembic and SQLAlchemy are imported only to migrate (:mod:`migrating`). A revision's id is its number, four
digits, so that older and newer can be told without asking alembic.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mainspring.adapters.sql.schema_names import SERVES, VERSION_TABLE
from mainspring.ports.errors import SchemaError

if TYPE_CHECKING:
    from sqlalchemy import URL

    from mainspring.adapters.sql.locking import Patience

#: The oldest and the newest schema that this code works with.
OLDEST = "0001"
NEWEST = "0001"

VERSION_QUERY = "select version_num from mainspring_schema"


def check_schema(found: str | None, database: str, serves: str | None = None) -> None:
    """Compare the version that ``VERSION_QUERY`` found (None: no table, or no row) with what this code works with.

    Args:
        found: the version in the store.
        database: the store's URL as the user writes it, without a password.
        serves: what the setting ``SERVES`` of the store tells.

    Raises:
        SchemaError: missing, older or newer; the message says what to run.
    """
    command = f"mainspring migrate --database {database}"
    if found is None:
        raise SchemaError(f"there is no Mainspring schema in {database}; run: {command}")
    if found < OLDEST:
        raise SchemaError(
            f"the schema of {database} is {found}, older than {OLDEST} which this code needs; run: {command}"
        )
    if found > NEWEST and (serves is None or serves > NEWEST):
        raise SchemaError(
            f"the schema of {database} is {found}, newer than {NEWEST} which this code knows; update Mainspring here"
            " (nothing was changed)"
        )


def migrate(
    url: "str | URL",
    revision: str = "head",
    *,
    schema: str | None = None,
    script_locations: Sequence[Path] = (),
    patience: "Patience | None" = None,
) -> None:
    """Bring a database to a revision, in one transaction: all of it or nothing. Who comes second finds it done.

    Only revisions that say ``online = True`` run outside a transaction on PostgreSQL, each in a phase of its own.

    Args:
        url: an SQLAlchemy URL.
        revision: ``head``, ``base`` or a number; an older one than the store's goes down.
        schema: where the tables are (PostgreSQL); created if need be.
        script_locations: directories with further revisions (tests).
        patience: how long to wait for others.

    Raises:
        SchemaError: the store's revision is not one that this code knows, or the asked one does not exist.
        SettingsError: an online revision was to run through a pooler.
        UnavailableError: the database failed or stayed locked; the message says what was changed.
    """
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    from mainspring.adapters.sql.migrating import migrate_engine

    engine = create_engine(url, poolclass=NullPool)
    shown = engine.url.render_as_string()
    migrate_engine(engine, revision, shown=shown, schema=schema, script_locations=script_locations, patience=patience)


__all__ = ["NEWEST", "OLDEST", "SERVES", "VERSION_QUERY", "VERSION_TABLE", "check_schema", "migrate"]
