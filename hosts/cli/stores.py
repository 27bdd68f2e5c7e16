"""Which store a command works on, opened as the command needs it."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from mainspring.ports.errors import PortError, SchemaError, SettingsError

if TYPE_CHECKING:
    from mainspring.hosts.execution.parts import Parts
    from mainspring.ports.diagnosis import Check
    from mainspring.settings import Settings


def settings() -> "Settings":
    """What the environment says."""
    from mainspring.settings import from_environment

    return from_environment()


def open_for_work(url: str | None) -> "Parts":
    """Open a store to execute on; an embedded one is created and brought up to date."""
    from mainspring.engine import observed, open_parts

    said = settings()
    parts = open_parts(
        url or said.database,
        blobs=said.blobs or None,
        transport=said.transport or None,
        scheduler=said.scheduler or None,
        sinks=said.sinks or None,
    )
    return observed(parts, tracing=said.tracing)


def open_shared(url: str | None) -> "Parts":
    """Open a store that other processes use, to work on it with them.

    Raises:
        SettingsError: no other process can see it.
    """
    _refuse_memory(url or settings().database)
    return open_for_work(url)


def open_existing(url: str | None) -> "Parts":
    """Open a store that is there, to look at it or to tell it something; it is neither created nor migrated.

    Raises:
        SchemaError: there is none.
    """
    from mainspring.engine import open_parts

    said = settings()
    chosen = url or said.database
    _refuse_memory(chosen)
    if chosen.startswith("sqlite:"):
        from mainspring.adapters.sql.sqlite_location import locate

        path = locate(chosen).path
        if not path.exists():
            told = f"sqlite:///{path}"
            raise SchemaError(
                f"there is no store at {told}; start a run or a worker on it, or: mainspring migrate --database {told}"
            )
    return open_parts(chosen, blobs=said.blobs or None, transport=said.transport or None, migrate=False)


def _refuse_memory(url: str) -> None:
    if url.startswith("memory:"):
        raise SettingsError(
            "memory:// lives in one process only, and no other one can see it; expected sqlite:///file.db or"
            " postgresql://user@host/database"
        )


def migrate_store(url: str | None, worker_role: str | None = None) -> tuple[str, str]:
    """Create or update a store's schema; where it is, and its version.

    Args:
        url: of the store.
        worker_role: a role of PostgreSQL that may work on it, and no more.

    Raises:
        SettingsError: the URL names no store that has a schema, or there is no such role.
        SchemaError: its schema is newer than this code.
    """
    chosen = url or settings().database
    _refuse_memory(chosen)
    if chosen.startswith(("postgresql:", "postgres:")):
        return _migrate_postgres(chosen, worker_role)
    if worker_role is not None:
        raise SettingsError("--worker-role is for PostgreSQL: who may use a SQLite file, its file permissions say")
    if not chosen.startswith("sqlite:"):
        open_for_work(chosen)  # says which stores are known
    from mainspring.adapters.sql.schema import NEWEST, migrate
    from mainspring.adapters.sql.sqlite_location import check_place, locate

    path = locate(chosen).path
    check_place(path)
    place = f"sqlite:///{path}"
    migrate(place)
    return place, NEWEST


def _migrate_postgres(url: str, worker_role: str | None) -> tuple[str, str]:
    from mainspring.adapters.sql.postgres_location import locate
    from mainspring.adapters.sql.postgres_open import migrate_postgres
    from mainspring.adapters.sql.schema import NEWEST

    migrate_postgres(url)
    if worker_role is not None:
        from mainspring.adapters.sql.postgres_privileges import grant_worker

        grant_worker(url, worker_role)
    return locate(url).shown, NEWEST


def examine_store(url: str | None) -> "tuple[str, list[Check]]":
    """Where a store is, and what an examination of it found.

    Raises:
        SettingsError: the URL names no store that can be examined.
    """
    said = settings()
    chosen = url or said.database
    _refuse_memory(chosen)
    from mainspring.ports.diagnosis import Verdict

    if chosen.startswith(("postgresql:", "postgres:")):
        place, checks = _examine_postgres(chosen, said.blobs)
    else:
        if not chosen.startswith("sqlite:"):
            open_for_work(chosen)  # says which stores are known
        place, checks = _examine_sqlite(chosen, said.blobs)
    if said.transport:
        checks += _examine_transport(said.transport)
    if all(check.verdict is not Verdict.FAILURE for check in checks):
        checks += asyncio.run(_leftovers(chosen))
    return place, checks


def _examine_postgres(url: str, blobs: str) -> "tuple[str, list[Check]]":
    try:
        from mainspring.adapters.sql.postgres_doctor import examine_postgres
    except ImportError as error:
        raise SettingsError("PostgreSQL needs psycopg; run: pip install 'mainspring[postgres]'") from error
    from mainspring.adapters.filesystem.examining import examine_absence
    from mainspring.adapters.sql.postgres_location import locate
    from mainspring.adapters.system import SystemClock

    checks = examine_postgres(url, SystemClock())
    checks += _examine_blobs(blobs, shared=True) if blobs else [examine_absence()]
    return locate(url).shown, checks


def _examine_blobs(place: str, *, shared: bool) -> "list[Check]":
    from mainspring.adapters.filesystem.examining import examine_directory

    if not place.startswith("s3://"):
        return [examine_directory(Path(place.removeprefix("file://")), shared=shared)]
    try:
        from mainspring.adapters.aws.s3_doctor import examine_bucket
    except ImportError as error:
        raise SettingsError("s3:// needs boto3; run: pip install 'mainspring[aws]'") from error
    return examine_bucket(place)


def _examine_transport(url: str) -> "list[Check]":
    try:
        if url.startswith("sqs://"):
            from mainspring.adapters.aws.sqs_doctor import examine_sqs

            return examine_sqs(url)
        from mainspring.adapters.rabbitmq.doctor import examine_rabbitmq

        return examine_rabbitmq(url)
    except ImportError as error:
        raise SettingsError(
            f"the transport's library is missing ({error.name}); run: pip install 'mainspring[all]'"
        ) from error


def _examine_sqlite(url: str, blobs: str) -> "tuple[str, list[Check]]":
    from mainspring.adapters.sql.sqlite_doctor import examine_sqlite
    from mainspring.adapters.sql.sqlite_location import locate

    path = locate(url).path
    checks = examine_sqlite(url)
    checks += _examine_blobs(blobs or str(path.with_name(path.name + "-blobs")), shared=False)
    return f"sqlite:///{path}", checks


async def _leftovers(url: str) -> "list[Check]":
    from mainspring.hosts.cli.leftovers import leftovers
    from mainspring.ports.diagnosis import failed

    try:
        parts = open_existing(url)
        try:
            return await leftovers(parts.store)
        finally:
            await parts.close()
    except (PortError, SettingsError) as error:
        return [failed("leftovers", str(error), "mend what it says, then run this again")]
