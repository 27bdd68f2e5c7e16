"""What a run costs the server, in figures that are the same on every machine: statements, WAL, live bytes."""

import asyncio
from collections.abc import Sequence

from mainspring import Context, Mainspring, Workflow, stage
from mainspring.ports.records import Event
from mainspring.ports.sinks import Sink
from tests.integration.postgres_stores import rows, until
from tests.postgres.server import PostgresServer

RUNS = 400

#: What was measured, and a seventh more. The goals are 0.05 statements and 6,144 bytes of WAL per run.
SETUP = 40  # statements that opening, first claims, heartbeats and closing take, however much there is to do
STATEMENTS = 0.18  # per run; measured 0.155
WAL = 9_660  # bytes per run, start and relay included; measured 8,400 with nine events
ROOM = 2_048  # bytes per run, as small as the tables can be; measured 1,004


@stage
async def one(ctx: Context, number: int) -> int:
    return number


@stage
async def two(ctx: Context, number: int) -> int:
    return number


@stage
async def three(ctx: Context, number: int) -> int:
    return number


chain = Workflow("chain", version="1").pipe(one).pipe(two).pipe(three)


class Taken:
    """A sink that takes every event, and tells when the runs have ended."""

    def __init__(self) -> None:
        self.count = self.ended = 0
        self.over = asyncio.Event()

    async def publish(self, events: Sequence[Event]) -> list[str | None]:
        self.count += len(events)
        self.ended += sum(event.type == "run.completed" for event in events)
        if self.ended == RUNS:
            self.over.set()
        return [None] * len(events)


def commits(server: PostgresServer, name: str) -> int:
    """Transactions of a database in which nobody is connected: all are counted."""
    ((count,),) = server.execute(f"select xact_commit from pg_stat_database where datname = '{name}'")
    return int(count)


def alone(server: PostgresServer, name: str) -> bool:
    return server.execute(f"select 1 from pg_stat_activity where datname = '{name}'") == []


def wal(server: PostgresServer) -> int:
    ((position,),) = server.execute("select pg_current_wal_insert_lsn() - '0/0'")
    return int(position)


def size(url: str) -> int:
    """Bytes of all tables with their indexes, as small as they can be."""
    rows(url, "vacuum full")
    asked = "select sum(pg_total_relation_size(c.oid)) from pg_class c join pg_namespace n on n.oid = relnamespace"
    ((found,),) = rows(url, f"{asked} where nspname = 'mainspring' and relkind = 'r'")
    return int(found)


async def test_a_drain_costs_few_statements_little_wal_and_little_room(database: str, postgres: PostgresServer) -> None:
    name, sink = database.rpartition("/")[2], Taken()
    empty = size(database)
    async with Mainspring(database, workflows=[chain], worker=False) as client:
        await client.parts.store.add_sink(Sink())
        before_starts = wal(postgres)
        started = await client.start_many(chain, range(RUNS))
        created = wal(postgres) - before_starts
    await until(lambda: alone(postgres, name))
    before, wal_before = commits(postgres, name), wal(postgres)
    async with Mainspring(database, workflows=[chain], sink=sink):
        await asyncio.wait_for(sink.over.wait(), 30)
    await until(lambda: alone(postgres, name))
    drained = wal(postgres) - wal_before
    statements = commits(postgres, name) - before
    assert len(started) == RUNS
    assert rows(database, "select count(*) from stages where status = 'completed'") == [(3 * RUNS,)]
    figures = (statements, (created + drained) / RUNS, (size(database) - empty) / RUNS)
    assert sink.count == 9 * RUNS
    assert figures[0] <= SETUP + STATEMENTS * RUNS, figures
    assert figures[1] <= WAL, figures
    assert figures[2] <= ROOM, figures
