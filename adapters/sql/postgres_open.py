"""Opening a PostgreSQL store: its schema is moved or checked, and what would break its promises is refused or told.

Rule: blocking, on a connection of its own that is closed again; psycopg's errors are translated here too.
"""

import psycopg
import structlog
from psycopg.sql import SQL, Identifier

from mainspring.adapters.sql import schema
from mainspring.adapters.sql.postgres_errors import translate
from mainspring.adapters.sql.postgres_location import PostgresLocation, locate
from mainspring.ports.errors import SettingsError

logger = structlog.get_logger("mainspring.store")

OLDEST_SERVER = 140000
CONNECT_TIMEOUT = 10  # seconds


def migrate_postgres(url: str, revision: str = "head") -> None:
    """Bring a store's schema to a revision (``head``, ``base`` or a number), and create it if need be.

    Raises:
        SettingsError: the URL names no store.
        SchemaError: the store's revision, or the asked one, is not known to this code.
        UnavailableError: the server failed or its tables stayed locked; nothing was changed.
    """
    move_schema(locate(url), revision)


def move_schema(location: PostgresLocation, revision: str) -> None:
    """The same for a URL that was read."""
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    from mainspring.adapters.sql.migrating import migrate_engine

    engine = create_engine("postgresql+psycopg://", creator=lambda: connect(location), poolclass=NullPool)
    migrate_engine(engine, revision, shown=location.shown, schema=location.schema)


def connect(location: PostgresLocation) -> "psycopg.Connection[tuple[object, ...]]":
    """A blocking connection, for what is done seldom.

    Raises:
        UnavailableError: the server cannot be reached, or refuses the user.
    """
    try:
        return psycopg.connect(
            location.conninfo, connect_timeout=CONNECT_TIMEOUT, application_name="mainspring", prepare_threshold=None
        )
    except psycopg.Error as error:
        told = translate(error, location.shown)
        raise told from error


def check(location: PostgresLocation, *, migrate: bool) -> None:
    """Look at the server and the schema once.

    Raises:
        SettingsError: the server is too old, or would lose commits that it confirmed.
        SchemaError: the schema does not fit this code.
        UnavailableError: the server failed.
    """
    with connect(location) as connection:
        try:
            _check_server(connection, location.shown)
            found, serves = find_version(connection, location.schema)
        except psycopg.Error as error:
            raise translate(error, location.shown) from error
    if migrate and (found is None or found < schema.NEWEST):
        move_schema(location, "head")
        return
    schema.check_schema(found, location.shown, serves)


def _check_server(connection: "psycopg.Connection[tuple[object, ...]]", shown: str) -> None:
    found = connection.info.server_version
    if found < OLDEST_SERVER:
        raise SettingsError(f"{shown} is PostgreSQL {found // 10000}; Mainspring needs 14 or newer")
    row = connection.execute(
        "select current_setting('fsync'), current_setting('synchronous_commit'), pg_is_in_recovery()"
    ).fetchone()
    fsync, synchronous, standby = row or ("on", "on", False)
    if standby:
        raise SettingsError(f"{shown} is a standby, which cannot be written; name the primary")
    if synchronous == "off":
        raise SettingsError(
            f"{shown} has synchronous_commit = off: commits that it confirmed are lost when it crashes. Turn it on for"
            " this user or database (alter role … set synchronous_commit = on)"
        )
    if fsync == "off":
        logger.warning(
            "store_not_durable", store=shown, why="fsync = off: a crash of the machine destroys the database"
        )


def find_version(connection: "psycopg.Connection[tuple[object, ...]]", name: str) -> tuple[str | None, str | None]:
    """The schema's revision, and the oldest one whose code works with it too; None where nothing tells."""
    tables = (f"{name}.{schema.VERSION_TABLE}", f"{name}.settings")
    row = connection.execute("select to_regclass(%s)::text, to_regclass(%s)::text", tables).fetchone()
    if row is None or None in row:
        return None, None
    versions, settings = Identifier(name, schema.VERSION_TABLE), Identifier(name, "settings")
    asked = SQL("select version_num, (select value from {} where name = %s) from {}")
    found = connection.execute(asked.format(settings, versions), (schema.SERVES,)).fetchone()
    if found is None:
        return None, None
    return str(found[0]), None if found[1] is None else str(found[1])
