"""pgbouncer in front of a server, in transaction mode: consecutive transactions of a client may meet any session.

Rule: what it refuses or forgets is not smoothed over by its configuration. Only times are short: a server that is back
is found at once, and who waits for a session for long gets an error, not a hang.
"""

import os
import shutil
import socket
import time
from collections.abc import Generator
from contextlib import contextmanager
from urllib.parse import urlsplit

from tests.components import lacking
from tests.postgres.daemons import free_port, home
from tests.postgres.server import PostgresServer

#: Few enough that clients share them even in small tests.
SESSIONS = 4


class Bouncer:
    """A running pgbouncer, for all databases of one server."""

    def __init__(self, address: str) -> None:
        self.address = address

    def url(self, database_url: str) -> str:
        """The way through pgbouncer to the database of a URL."""
        return urlsplit(self.address)._replace(path=urlsplit(database_url).path).geturl()


@contextmanager
def bouncing(server: PostgresServer) -> Generator[Bouncer]:
    """pgbouncer for a server, gone after the block."""
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        lacking("pgbouncer is not here; run: apt-get install pgbouncer")
    with home("pid", "TERM") as place:
        port = free_port()
        place.write("settings", _settings(server, port))
        place.run(program, "-q", "-d", "settings")
        _wait_for(port)
        yield Bouncer(f"postgresql://postgres@127.0.0.1:{port}/postgres")


def _settings(server: PostgresServer, port: int) -> str:
    from psycopg.conninfo import conninfo_to_dict

    known = conninfo_to_dict(server.url())
    target = " ".join(f"{key}={known[key]}" for key in ("host", "port", "user", "password") if key in known)
    return f"""
        [databases]
        * = {target}
        [pgbouncer]
        listen_addr = 127.0.0.1
        listen_port = {port}
        unix_socket_dir =
        auth_type = any
        logfile = log
        pidfile = pid
        pool_mode = transaction
        default_pool_size = {SESSIONS}
        server_login_retry = 0.2
        query_wait_timeout = 30
    """.replace("\n        ", "\n")


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return
