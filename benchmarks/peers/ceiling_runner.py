"""What PostgreSQL allows: a hand-written loop of bare psycopg, with the modes of ``benchmarks.ours``.

Runs advance as coroutines of their own; two writers commit whatever steps are pending, so that every step's output is
durable before the run's next step. No leases, history, idempotency, events, types or recovery.
"""

import asyncio
import itertools
import json
import os
import signal
from typing import Any, LiteralString

import psycopg
import uvloop
from parts import CALLERS, answer, by_callers, called, chunks, document, ready, timed_async, wait_go

TABLES = """
create table wf (id bigint generated always as identity primary key, name text not null,
  status smallint not null default 0, input jsonb not null, output jsonb, owner text,
  created_at timestamptz not null default now(), updated_at timestamptz);
create index wf_ready on wf (id) where status = 0;
create table st (wf bigint not null, n int not null, output jsonb not null, at timestamptz not null default now(),
  primary key (wf, n));
"""
CLAIM: LiteralString = """
with c as (select id from wf where status = 0 order by id limit %s for update skip locked)
update wf set status = 1, owner = %s, updated_at = now() from c where wf.id = c.id returning wf.id, wf.name, wf.input"""
WRITE: LiteralString = """
with s as (insert into st (wf, n, output) select * from unnest(%s::bigint[], %s::int[], %s::jsonb[]))
update wf set status = 2, output = u.o, updated_at = now()
from (select * from unnest(%s::bigint[], %s::jsonb[])) u (i, o) where wf.id = u.i"""
START: LiteralString = "insert into wf (name, input) values (%s, %s)"
STEPS = {"noop3": 3, "noop1": 1}
CLAIMED, LIVE = 200, 800


async def connect(url: str) -> Any:
    connection = await psycopg.AsyncConnection.connect(url, autocommit=True)
    connection.prepare_threshold = 1
    return connection


async def step(value: Any) -> Any:
    """What a user would have written."""
    return value


def setup(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(TABLES)
    answer()


async def start(url: str, flow: str, count: int) -> None:
    await _start(url, flow, count, 1)


async def start_50(url: str, flow: str, count: int) -> None:
    await _start(url, flow, count, CALLERS)


async def _start(url: str, flow: str, count: int, connections: int) -> None:
    opened = [await connect(url) for _ in range(connections)]
    callers = [lambda number, one=one: one.execute(START, (flow, json.dumps(document(number)))) for one in opened]
    answer(seconds=await by_callers(count, callers))


async def start_many(url: str, flow: str, count: int) -> None:
    """A hundred in one statement."""
    connection, batches = await connect(url), iter(chunks(count))

    async def once(_: int) -> None:
        inputs = [json.dumps(one) for one in next(batches)]
        await connection.execute("insert into wf (name, input) select %s, u from unnest(%s::jsonb[]) u", (flow, inputs))

    answer(seconds=await by_callers(-(-count // 100), [once]))


class Draining:
    """Claims until nothing is there."""

    def __init__(self, connections: list[Any]) -> None:
        self._claiming, *self._writing = connections
        self._pending: asyncio.Queue[Any] = asyncio.Queue()
        self._live = 0

    async def run(self) -> None:
        writers = [asyncio.create_task(self._write(one)) for one in self._writing]
        runs: set[asyncio.Task[None]] = set()
        empty = False
        while not empty or self._live:
            if not empty and self._live < LIVE:
                rows = await (await self._claiming.execute(CLAIM, (CLAIMED, str(os.getpid())))).fetchall()
                empty = not rows
                self._live += len(rows)
                for row in rows:
                    task = asyncio.create_task(self._one(*row))
                    runs.add(task)
                    task.add_done_callback(runs.discard)
            else:
                await asyncio.wait(list(runs), return_when=asyncio.FIRST_COMPLETED)
        for writer in writers:
            writer.cancel()

    async def _one(self, number: int, flow: str, value: Any) -> None:
        steps = STEPS[flow]
        for n in range(1, steps + 1):
            value = await step(value)
            durable = asyncio.get_running_loop().create_future()
            self._pending.put_nowait((number, n, json.dumps(value), n == steps, durable))
            await durable
        self._live -= 1

    async def _write(self, connection: Any) -> None:
        while True:
            items = [await self._pending.get()]
            await asyncio.sleep(0)
            while not self._pending.empty() and len(items) < 2_000:
                items.append(self._pending.get_nowait())
            ended = [item for item in items if item[3]]
            columns = ([item[k] for item in items] for k in (0, 1, 2))
            await connection.execute(WRITE, (*columns, [item[0] for item in ended], [item[2] for item in ended]))
            for item in items:
                item[4].set_result(None)


def worker(url: str, *_: str) -> None:
    async def main() -> None:
        connections = [await connect(url) for _ in range(3)]
        ready()
        await Draining(connections).run()

    wait_go()
    uvloop.run(main())
    signal.pause()


async def _steps(connection: Any, number: int, flow: str, value: Any, *, told: bool = False) -> None:
    """One run, each step committed before the next."""
    steps = STEPS[flow]
    for n in range(1, steps + 1):
        text, last = json.dumps(await step(value)), n == steps
        row = ([number], [n], [text], [number] if last else [], [text] if last else [])
        if last and told:
            async with connection.pipeline(), connection.transaction():
                await connection.execute(WRITE, row)
                await connection.execute("select pg_notify('fin', %s)", (str(number),))
        else:
            await connection.execute(WRITE, row)


async def local(url: str, flow: str, count: int) -> None:
    """Started and claimed in one insert; a commit for every step."""
    starting, working = await connect(url), await connect(url)

    async def once(number: int) -> None:
        insert: LiteralString = "insert into wf (name, input, status) values (%s, %s, 1) returning id"
        row = await (await starting.execute(insert, (flow, json.dumps(document(number))))).fetchone()
        await _steps(working, row[0], flow, document(number))

    await timed_async(count, once)


async def remote(url: str, flow: str, count: int) -> None:
    """NOTIFY to a worker and back. The worker is a task here, on connections of its own: the server is between."""
    starting, working, hearing, heard = [await connect(url) for _ in range(4)]
    await hearing.execute("listen fin")
    await heard.execute("listen new")

    async def work() -> None:
        async for _ in heard.notifies():
            rows = await (await working.execute(CLAIM, (10, "me"))).fetchall()
            for number, name, value in rows:
                await _steps(working, number, name, value, told=True)

    task = asyncio.create_task(work())
    await asyncio.sleep(0.1)
    ended, numbers = hearing.notifies(), itertools.count(1)
    insert = (
        "with x as (insert into wf (name, input) values (%s, %s) returning id) select pg_notify('new', id::text) from x"
    )

    async def once(number: int) -> None:
        await starting.execute(insert, (flow, json.dumps(document(number))))
        await anext(ended)
        await starting.execute("select output from wf where id = %s", (next(numbers),))

    await timed_async(count, once)
    task.cancel()
    os._exit(0)


MODES: dict[str, Any] = {
    "start": start,
    "start_50": start_50,
    "start_many": start_many,
    "local": local,
    "remote": remote,
}

if __name__ == "__main__":
    mode, url, rest = called()
    if mode in {"setup", "worker"}:
        {"setup": setup, "worker": worker}[mode](url, *rest)
    else:
        uvloop.run(MODES[mode](url, *rest))
