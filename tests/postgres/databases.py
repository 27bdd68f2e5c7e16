"""A fresh database for each test: a copy of one that was prepared once. Rule: no test sees what another one left."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from uuid import uuid4

from tests.postgres.server import PostgresServer


class Databases:
    """The databases of one server."""

    def __init__(self, server: PostgresServer, prepare: Callable[[str], None]) -> None:
        """Args: prepare: makes the schema in the empty database of a URL; called once."""
        self.server = server
        self._prepare = prepare
        self._template: str | None = None

    @contextmanager
    def fresh(self, *, migrated: bool = True) -> Generator[str]:
        """The URL of a database which only the block uses, empty or with the schema."""
        name = _name()
        source = self.template() if migrated else "template1"
        self._administer(f"create database {name} template {source} strategy wal_log")
        try:
            yield self.server.url(name)
        finally:
            self._administer(f"drop database {name} with (force)")

    def template(self) -> str:
        """The name of the prepared database. Nobody can connect to it: it must not be in use when it is copied."""
        if self._template is None:
            name = _name()
            self._administer(f"create database {name}")
            self._prepare(self.server.url(name))
            self._administer(f"alter database {name} with allow_connections false")
            self._template = name
        return self._template

    def close(self) -> None:
        """Remove the template."""
        if self._template is not None:
            self._administer(f"drop database {self._template}")
            self._template = None

    def _administer(self, statement: str) -> None:
        """Run a statement, on a server that a test may have left stopped."""
        from psycopg import OperationalError

        try:
            self.server.execute(statement)
        except OperationalError as error:
            if error.sqlstate is not None:  # the server answered
                raise
            self.server.start()
            self.server.execute(statement)


def _name() -> str:
    return f"test_{uuid4().hex}"
