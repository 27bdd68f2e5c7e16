"""Moving a schema: which revisions are due, in which phases, under the migrators' lock.

Rule: every phase looks anew, under the lock, where the store is. Revisions run in one transaction as far as they can;
one that says ``online = True`` (PostgreSQL: an index is made beside workers that go on) is a phase of its own outside
any transaction, while an idle transaction on another connection keeps the lock. Such a revision must be fit to be
repeated (:mod:`mainspring.migrations.online`), for nothing undoes its first half.
"""

from collections.abc import Iterator, Sequence
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from typing import Any, cast

import attrs
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from mainspring.adapters.sql.locking import BusyError, Patience, is_locked, lock_on_begin
from mainspring.adapters.sql.schema_names import SERVES, VERSION_TABLE
from mainspring.ports.errors import SchemaError, SettingsError, UnavailableError

_HOLDERS = (
    "select pid, usename, state, xact_start, query from pg_stat_activity where xact_start < now() - interval '5 s'"
)


@attrs.frozen
class _Phase:
    """Revisions that are moved over together."""

    target: str
    down: bool
    online: bool


def migrate_engine(
    engine: Engine,
    revision: str,
    *,
    shown: str,
    schema: str | None,
    script_locations: Sequence[Path] = (),
    patience: Patience | None = None,
) -> None:
    """See :func:`mainspring.adapters.sql.schema.migrate`. Disposes of the engine; ``shown`` names it in messages."""
    patience = patience or Patience()
    lock_on_begin(engine, schema, patience)
    move = _Move(engine, _config(script_locations), revision, schema or "mainspring", patience)
    try:
        move.all_of_it()
    except CommandError as error:
        raise SchemaError(f"cannot migrate {shown} to {revision}: {error}; update Mainspring here") from error
    except BusyError as error:
        raise UnavailableError(
            f"cannot migrate {shown} to {revision}: another migrator has been at work for {patience.migrators:g} s; "
            f"wait for its end and run this again; {move.told}"
        ) from error
    except DBAPIError as error:
        why = str(error.orig).strip().partition("\n")[0]
        if is_locked(error):
            why += (
                f"; tried {patience.tries} times, {patience.tables:g} s each: a transaction goes on for long, look for"
                f" it ({_HOLDERS}), end it or wait for its end, and run this again"
            )
        raise UnavailableError(f"cannot migrate {shown} to {revision}: {why}; {move.told}") from error
    finally:
        engine.dispose()


class _Move:
    """One call's way from where the store is to where it should be."""

    def __init__(self, engine: Engine, config: Config, revision: str, schema: str, patience: Patience) -> None:
        self._engine = engine
        self._config = config
        self._script = ScriptDirectory.from_config(config)
        self._revision = revision
        self._schema = schema
        self._patience = patience
        self.told = "nothing was changed"

    def all_of_it(self) -> None:
        again = True
        while again:
            again = self._patience.again()(self._patience.turns(), self._phase)

    def _phase(self) -> bool:
        """Do the next phase; whether there may be another one."""
        with self._engine.begin() as connection:
            phases = list(self._due(connection))
            if not phases:
                return False
            phase = phases[0]
            if phase.online:
                self.told = (
                    f"revision {phase.target} is not done, workers go on as before; run this again, it begins anew"
                )
                self._online(phase)
            else:
                self._run(connection, phase)
        self.told = f"the schema is at {phase.target}, workers go on; run this again"
        return len(phases) > 1

    def _online(self, phase: _Phase) -> None:
        """On a connection of its own, which commits each statement by itself; the caller's keeps the lock."""
        with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            _refuse_pooler(connection, phase)
            connection.exec_driver_sql(f'set search_path = "{self._schema}"')
            connection.exec_driver_sql("set statement_timeout = 0")
            connection.exec_driver_sql(f"set lock_timeout = '{round(self._patience.online * 1000)}ms'")
            self._run(connection, phase)

    def _run(self, connection: Connection, phase: _Phase) -> None:
        self._config.attributes["connection"] = connection
        (command.downgrade if phase.down else command.upgrade)(self._config, phase.target)
        if phase.target != "base":
            _note(connection, phase.target, self._attribute(self._script.get_revision(phase.target), "serves"))

    def _due(self, connection: Connection) -> Iterator[_Phase]:
        """What is to be done, in order.

        Raises:
            CommandError: one of the two revisions is not known.
        """
        script = self._script
        current = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_revision()
        if current is not None:
            script.get_revision(current)
        target = None if self._revision == "base" else script.get_revision(self._revision).revision
        down = current is not None and (target is None or target < current)
        upper, lower = (current, target) if down else (target, current)
        steps = [one for one in script.iterate_revisions(upper, lower or "base") if one.revision != lower]
        if not down:
            steps.reverse()
        may_be_online = connection.dialect.name == "postgresql"
        for online, group in groupby(steps, lambda step: may_be_online and bool(self._attribute(step, "online"))):
            members = list(group)
            for one in members if online else members[-1:]:
                reached = cast("str | None", one.down_revision) if down else one.revision
                yield _Phase(reached or "base", down, online)

    @staticmethod
    def _attribute(script: Script | None, name: str) -> Any:
        """What a revision's module says of itself."""
        return None if script is None else getattr(script.module, name, None)


def _note(connection: Connection, revision: str, serves: str | None) -> None:
    """Tell older code whether it may go on with this schema."""
    connection.execute(text("delete from settings where name = :name"), {"name": SERVES})
    if serves is not None and serves < revision:
        values = {"name": SERVES, "value": serves}
        connection.execute(text("insert into settings (name, value) values (:name, :value)"), values)


def _refuse_pooler(connection: Connection, phase: _Phase) -> None:
    """A pooler of transactions would lose our settings, and leave them to others; it tells another process id."""
    told = cast("Any", connection.connection.dbapi_connection).info.backend_pid
    if connection.exec_driver_sql("select pg_backend_pid()").scalar() != told:
        raise SettingsError(
            f"revision {phase.target} changes the schema while workers go on, which cannot be done through a pooler:"
            " run mainspring migrate with the URL of the server itself"
        )


def _config(script_locations: Sequence[Path]) -> Config:
    scripts = Path(str(files("mainspring") / "migrations"))
    config = Config()
    config.set_main_option("script_location", _escaped(scripts))
    config.set_main_option("path_separator", "newline")
    versions = [scripts / "versions", *script_locations]
    config.set_main_option("version_locations", "\n".join(map(_escaped, versions)))
    return config


def _escaped(path: Path) -> str:
    return str(path).replace("%", "%%")
