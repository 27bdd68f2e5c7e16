"""Who is measured: ourselves, and peers in virtual environments of their own, made here when they are missing.

Each peer runs with what served it best on this workload; ``*-default`` are the same with untouched polling, which is
what serves an idle worker best.
"""

import atexit
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import attrs

from benchmarks.processes import Side, interpreter
from tests.rabbitmq.server import RabbitServer, private_rabbit

HERE = Path(__file__).parent
OURS = Side("mainspring", interpreter(("-m", "benchmarks.ours")))
POSTGRES = frozenset({"postgres"})


def dbos(store: str, *, default: bool = False) -> Side:
    """DBOS: synchronous with 20 at once served it best on PostgreSQL, asynchronous with 50 on SQLite."""
    knobs = {"DBOS_STYLE": "sync", "DBOS_WC": "20"} if store == "postgres" else {"DBOS_STYLE": "async", "DBOS_WC": "50"}
    if default:
        knobs |= {"DBOS_WC": "0", "DBOS_POLL": "1.0", "DBOS_GET_POLL": "1.0"}
    return Side(
        "dbos-default" if default else "dbos",
        _runner("dbos", "dbos_runner.py"),
        environment=knobs,
        open_runs="select 1 from workflow_status where status in ('ENQUEUED', 'PENDING') limit 1",
        completed="select count(*) from workflow_status where status = 'SUCCESS'",
        slow=default,
    )


def absurd(_: str, *, default: bool = False) -> Side:
    """Absurd: eight connections in the worker and polls of 10 ms; a client that polls every 2 ms."""
    knobs = {"ABSURD_CLIENTS": "1", "ABSURD_POLL": "0.25", "ABSURD_OWN_POLL": "0"} if default else {}
    return Side(
        "absurd-default" if default else "absurd",
        _runner("absurd", "absurd_runner.py"),
        environment=knobs,
        open_runs="select 1 from t_default where state not in ('completed', 'failed', 'cancelled') limit 1",
        completed="select count(*) from t_default where state = 'completed'",
        fills="start",
        stores=POSTGRES,
        cannot=frozenset({"starts_many", "latency"}),
        slow=default,
    )


def ceiling(store: str) -> Side:
    """A hand-written loop without leases, history, idempotency or events: what the database allows."""
    return Side(
        "ceiling",
        _runner("ceiling", "ceiling_runner.py" if store == "postgres" else "ceiling_sqlite_runner.py"),
        open_runs="select 1 from wf where status <> 2 limit 1",
        completed="select count(*) from wf where status = 2",
        cannot=frozenset({"join", "idle"} if store == "postgres" else {"join", "idle", "latency_remote", "drain_two"}),
    )


def pgqueuer(_: str) -> Side:
    """PgQueuer: a queue without workflows; three chained jobs, and nobody keeps their results."""
    return Side(
        "pgqueuer",
        _runner("pgqueuer", "pgqueuer_runner.py"),
        open_runs="select 1 from pgqueuer limit 1",
        completed="select count(*) from pgqueuer_log where status = 'successful' and entrypoint = 'last'",
        stores=POSTGRES,
        cannot=frozenset({"latency"}),
    )


def procrastinate(_: str, *, default: bool = False) -> Side:
    """Procrastinate: a queue without workflows; three chained jobs, and nobody keeps their results."""
    return Side(
        "procrastinate-default" if default else "procrastinate",
        _runner("procrastinate", "procrastinate_runner.py"),
        environment={"PROC_POLL": "5"} if default else {},
        open_runs="select 1 from procrastinate_jobs where status in ('todo', 'doing') limit 1",
        completed="select count(*) from procrastinate_jobs where status = 'succeeded' and args->>'left' = '1'",
        stores=POSTGRES,
        cannot=frozenset({"latency"}),
        slow=default,
    )


def over_rabbitmq(_: str) -> Side:
    """Ourselves, with RabbitMQ carrying the pointers: a private broker, or the one of MAINSPRING_TEST_AMQP_URL."""
    return attrs.evolve(
        OURS,
        name="mainspring-rabbitmq",
        environment={"MAINSPRING_TRANSPORT": _broker().url(queue=f"bench-{time.time_ns()}")},
        stores=POSTGRES,
    )


@cache
def _broker() -> RabbitServer:
    """Stopped when the bench ends."""
    address = os.environ.get("MAINSPRING_TEST_AMQP_URL")
    return RabbitServer(address) if address else _until_the_end.enter_context(private_rabbit())


_until_the_end = ExitStack()
atexit.register(_until_the_end.close)


PEERS: dict[str, Callable[[str], Side]] = {
    "dbos": dbos,
    "absurd": absurd,
    "ceiling": ceiling,
    "pgqueuer": pgqueuer,
    "procrastinate": procrastinate,
    "rabbitmq": over_rabbitmq,
    "dbos-default": lambda store: dbos(store, default=True),
    "absurd-default": lambda store: absurd(store, default=True),
    "procrastinate-default": lambda store: procrastinate(store, default=True),
}
USUAL = "dbos,absurd,ceiling,pgqueuer,procrastinate"


def versions(names: list[str]) -> list[str]:
    """What the peers are, from their requirements files."""
    found: list[str] = []
    for name in sorted({name.removesuffix("-default") for name in names} - {"rabbitmq"}):
        pins = (HERE / "peers" / f"{name}.requirements.txt").read_text().splitlines()
        package = {"absurd": "absurd-sdk", "ceiling": "psycopg"}.get(name, name)
        found += [f"{name}: {pin.replace('==', ' ')}" for pin in pins if pin.startswith(package + "==")]
    return found


def _runner(name: str, script: str) -> tuple[str, ...]:
    return (str(_environment(name)), str(HERE / "peers" / script))


def _environment(name: str) -> Path:
    """The Python of a peer's venv, made from its requirements file if it is not there or the file changed."""
    folder, wanted = HERE / ".venvs" / name, HERE / "peers" / f"{name}.requirements.txt"
    python, made = folder / "bin" / "python", folder / "made"
    if made.exists() and made.read_text() == wanted.read_text():
        return python
    print(f"making {folder} from {wanted.name} …", flush=True)
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    subprocess.run([python, "-m", "pip", "install", "-qq", "-r", wanted], check=True)
    made.write_text(wanted.read_text())
    return python
