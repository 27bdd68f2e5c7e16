"""The schema's version: checked with one SELECT, moved by alembic.

Rule: alembic and SQLAlchemy are imported only to migrate. A revision's id is its number, four digits, so that older and
newer can be told without asking alembic.
"""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from mainspring.ports.errors import SchemaError, UnavailableError

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import URL, Connection, Engine

#: The oldest and the newest schema that this code works with.
OLDEST = "0001"
NEWEST = "0001"

VERSION_TABLE = "mainspring_schema"
VERSION_QUERY = "select version_num from mainspring_schema"


def check_schema(found: str | None, database: str) -> None:
    """Compare the version that ``VERSION_QUERY`` found (None: no table, or no row) with what this code works with.

    Args:
        found: the version in the store.
        database: the store's URL as the user writes it, without a password.

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
    if found > NEWEST:
        raise SchemaError(
            f"the schema of {database} is {found}, newer than {NEWEST} which this code knows; update Mainspring here"
            " (nothing was changed)"
        )


def migrate(url: "str | URL", revision: str = "head", *, script_locations: Sequence[Path] = ()) -> None:
    """Bring a database to a revision, in one transaction: all of it or nothing. Who comes second finds it done.

    Args:
        url: an SQLAlchemy URL.
        revision: ``head``, ``base`` or a number; an older one than the store's goes down.
        script_locations: directories with further revisions (tests).

    Raises:
        SchemaError: the store's revision is not one that this code knows, or the asked one does not exist.
        UnavailableError: the database failed or stayed locked; nothing was changed.
    """
    from alembic.util import CommandError as AlembicError
    from sqlalchemy import create_engine
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.pool import NullPool

    from mainspring.adapters.sql.locking import lock_on_begin

    engine = create_engine(url, poolclass=NullPool)
    lock_on_begin(engine)
    try:
        with engine.begin() as connection:
            _move(connection, _config(script_locations), revision)
    except AlembicError as error:
        raise SchemaError(f"cannot migrate {_shown(engine)} to {revision}: {error}; update Mainspring here") from error
    except DBAPIError as error:
        told = f"cannot migrate {_shown(engine)} to {revision}: {error.orig}; nothing was changed"
        raise UnavailableError(told) from error
    finally:
        engine.dispose()


def _shown(engine: "Engine") -> str:
    return engine.url.render_as_string(hide_password=True)


def _config(script_locations: Sequence[Path]) -> "Config":
    from alembic.config import Config

    scripts = Path(str(files("mainspring") / "migrations"))
    config = Config()
    config.set_main_option("script_location", _escaped(scripts))
    config.set_main_option("path_separator", "newline")
    versions = [scripts / "versions", *script_locations]
    config.set_main_option("version_locations", "\n".join(map(_escaped, versions)))
    return config


def _escaped(path: Path) -> str:
    return str(path).replace("%", "%%")


def _move(connection: "Connection", config: "Config", revision: str) -> None:
    from alembic import command
    from alembic.runtime.migration import MigrationContext

    config.attributes["connection"] = connection
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    current = context.get_current_revision()
    down = revision == "base" or (revision.isdigit() and current is not None and revision < current)
    (command.downgrade if down else command.upgrade)(config, revision)
