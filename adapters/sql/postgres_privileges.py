"""What a worker's role may do in a PostgreSQL store: granting it, and looking whether it is so.

Rule: a worker reads and writes rows, takes numbers and asks the time; it can neither change nor drop anything.
"""

from typing import TypeAlias

import psycopg
from psycopg.sql import SQL, Composed, Identifier

from mainspring.adapters.sql.postgres_errors import translate
from mainspring.adapters.sql.postgres_location import locate
from mainspring.adapters.sql.postgres_open import connect
from mainspring.adapters.sql.schema_names import VERSION_TABLE
from mainspring.ports.diagnosis import Check, failed, passed, warned
from mainspring.ports.errors import ReadOnlyError, SchemaError, SettingsError

Connection: TypeAlias = "psycopg.Connection[tuple[object, ...]]"

_GRANTS = (
    "grant usage on schema {schema} to {role}",
    "revoke create on schema {schema} from {role}",
    "grant select, insert, update, delete on all tables in schema {schema} to {role}",
    "revoke insert, update, delete on {version} from {role}",
    "grant usage on all sequences in schema {schema} to {role}",
    "grant execute on all functions in schema {schema} to {role}",
    # what later revisions make
    "alter default privileges in schema {schema} grant select, insert, update, delete on tables to {role}",
    "alter default privileges in schema {schema} grant usage on sequences to {role}",
    "alter default privileges in schema {schema} grant execute on functions to {role}",
)

#: What a role lacks.
_LACKING = """
with here as (select oid, nspname from pg_namespace where nspname = %(schema)s)
select 'USAGE on schema ' || nspname from here where not has_schema_privilege(%(role)s, oid, 'USAGE')
union all
select privilege || ' on ' || c.relname from here
  join pg_class c on c.relnamespace = here.oid and c.relkind in ('r', 'p')
  cross join unnest(array['SELECT', 'INSERT', 'UPDATE', 'DELETE']) privilege
  where not has_table_privilege(%(role)s, c.oid, privilege) and (c.relname <> %(version)s or privilege = 'SELECT')
union all
select 'USAGE on sequence ' || c.relname from here join pg_class c on c.relnamespace = here.oid
  where case c.relkind when 'S' then not has_sequence_privilege(%(role)s, c.oid, 'USAGE') end
union all
select 'EXECUTE on function ' || p.proname from here join pg_proc p on p.pronamespace = here.oid
  where not has_function_privilege(%(role)s, p.oid, 'EXECUTE')"""

_MAY_CHANGE = """
select bool_or(has_schema_privilege(n.oid, 'CREATE')) or coalesce(bool_or(pg_has_role(c.relowner, 'USAGE')), false)
from pg_namespace n left join pg_class c on c.relnamespace = n.oid and c.relkind in ('r', 'p')
where n.nspname = %(schema)s"""

_SHOWN = 5  # of a list that may be long


def grant_worker(url: str, role: str) -> None:
    """Let a role work on the store, and no more; the objects of later revisions too, if the same user migrates.

    Raises:
        SettingsError: the URL names no store, or there is no such role.
        SchemaError: there is nothing yet that could be granted.
        ReadOnlyError: the user of the URL may not grant.
        UnavailableError: the server failed.
    """
    location = locate(url)
    names = {
        "schema": Identifier(location.schema),
        "role": Identifier(role),
        "version": Identifier(location.schema, VERSION_TABLE),
    }
    with connect(location) as connection:
        try:
            if connection.execute("select 1 from pg_roles where rolname = %s", (role,)).fetchone() is None:
                made: Composed = SQL("create role {role} login").format(**names)
                raise SettingsError(
                    f"there is no role {role!r} in {location.shown}; make it first: {made.as_string(connection)}"
                )
            there = connection.execute("select to_regnamespace(%s) is not null", (location.schema,)).fetchone()
            if there != (True,):
                raise SchemaError(f"there is no schema {location.schema!r} in {location.shown}; migrate first")
            for grant in _GRANTS:
                connection.execute(SQL(grant).format(**names))  # pyright: ignore[reportArgumentType]
            lacking = _lacking(connection, location.schema, role)
            if lacking:  # who may not grant is only warned
                raise ReadOnlyError(
                    f"{_user(connection)} may not grant {', '.join(lacking[:_SHOWN])} to {role}; migrate as the owner"
                    " of the tables (nothing was granted)"
                )
        except psycopg.Error as error:
            raise translate(error, location.shown) from error


def _user(connection: Connection) -> str:
    (name,) = connection.execute("select current_user::text").fetchone() or ("",)
    return str(name)


def _lacking(connection: Connection, schema: str, role: str) -> list[str]:
    given = {"schema": schema, "version": VERSION_TABLE, "role": role}
    return [str(row[0]) for row in connection.execute(_LACKING, given).fetchall()]


def check_rights(connection: Connection, schema: str) -> Check:
    """Whether the role of this session may do what a worker does."""
    user = _user(connection)
    lacking = _lacking(connection, schema, user)
    if not lacking:
        return passed("rights", f"{user} may do what a worker does")
    more = f" and {len(lacking) - _SHOWN} more" if len(lacking) > _SHOWN else ""
    return failed(
        "rights",
        f"{user} lacks {', '.join(lacking[:_SHOWN])}{more}",
        f"as the user who migrates, run: mainspring migrate --worker-role {user} --database URL",
    )


def check_restraint(connection: Connection, schema: str) -> Check:
    """Whether the role of this session may do no more than that."""
    row = connection.execute(_MAY_CHANGE, {"schema": schema}).fetchone()
    user = _user(connection)
    if row is None or not row[0]:
        return passed("restraint", f"{user} cannot change the schema")
    return warned(
        "restraint",
        f"{user} may change and drop tables",
        "let workers use a role that cannot: create role NAME login, mainspring migrate --worker-role NAME",
    )
