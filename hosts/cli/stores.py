"""Which store a command works on, opened as the command needs it."""

from typing import TYPE_CHECKING

from mainspring.ports.errors import SchemaError, SettingsError

if TYPE_CHECKING:
    from mainspring.hosts.execution.parts import Parts
    from mainspring.settings import Settings


def settings() -> "Settings":
    """What the environment says."""
    from mainspring.settings import from_environment

    return from_environment()


def open_for_work(url: str | None) -> "Parts":
    """Open a store to execute on; an embedded one is created and brought up to date."""
    from mainspring.engine import open_parts

    said = settings()
    return open_parts(url or said.database, blobs=said.blobs or None)


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
    return open_parts(chosen, blobs=said.blobs or None, migrate=False)


def _refuse_memory(url: str) -> None:
    if url.startswith("memory:"):
        raise SettingsError(
            "memory:// lives in one process only, and no other one can see it; expected sqlite:///file.db"
        )


def migrate_store(url: str | None) -> tuple[str, str]:
    """Create or update a store's schema; where it is, and its version.

    Raises:
        SettingsError: the URL names no store that has a schema.
        SchemaError: its schema is newer than this code.
    """
    chosen = url or settings().database
    _refuse_memory(chosen)
    if not chosen.startswith("sqlite:"):
        open_for_work(chosen)  # says which stores are known
    from mainspring.adapters.sql.schema import NEWEST, migrate
    from mainspring.adapters.sql.sqlite_location import check_place, locate

    path = locate(chosen).path
    check_place(path)
    place = f"sqlite:///{path}"
    migrate(place)
    return place, NEWEST
