"""What a row may hold on PostgreSQL, and that one which the server refuses harms no neighbour in its batch."""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mainspring.adapters.sql.postgres_arrays import ids, numbers, texts
from mainspring.ports.change import Change, RunPatch, Wake
from mainspring.ports.errors import InvalidValueError, MainspringError, PortError, StaleChange
from mainspring.ports.names import Payload, RunId, SignalId, StageId
from mainspring.ports.sinks import Sink
from tests.integration.postgres_stores import openings, rows, world_of
from tests.postgres.databases import Databases

if TYPE_CHECKING:
    from mainspring.ports.contracts.world import World

HOSTILE = st.text(st.sampled_from('\x1e\x1f",{}\\ \n\tNULnul') | st.characters(codec="utf-8", exclude_characters="\0"))
INT64 = st.integers(-(2**63), 2**63 - 1)

ECHOES: list[tuple[str, Callable[[Sequence[Any]], str], "st.SearchStrategy[Any]"]] = [
    ("text", texts, HOSTILE),
    ("bigint", numbers, INT64),
    ("bool", numbers, st.booleans()),
    ("uuid", ids, st.uuids().map(str)),
]


@pytest.mark.parametrize(("kind", "literal", "values"), ECHOES, ids=[kind for kind, _, _ in ECHOES])
def test_every_column_comes_back_from_the_server_as_it_was(
    databases: Databases, kind: str, literal: Callable[[Sequence[Any]], str], values: "st.SearchStrategy[Any]"
) -> None:
    with (
        databases.fresh(migrated=False) as url,
        psycopg.connect(url, autocommit=True, cursor_factory=psycopg.RawCursor) as connection,
    ):
        shown = "::text" if kind == "uuid" else ""
        asked = f"select x{shown} from unnest($1::{kind}[]) with ordinality as u(x, n) order by n".encode()

        @settings(max_examples=150)
        @given(st.lists(values | st.none()))
        def comes_back(column: list[Any]) -> None:
            assert [row[0] for row in connection.execute(asked, [literal(column)]).fetchall()] == column

        comes_back()


def poisons(world: "World") -> dict[str, Change]:
    """Changes that no server takes, each of its own kind."""
    run = world.run()
    job = world.job(run)
    return {
        "NUL": Change(create=world.run(input=Payload("a\0b"))),
        "lone surrogate": Change(create=world.run(input=Payload("a\ud800b"))),
        "65 bits": Change(create=run, jobs=(world.job(run, token=2**64),)),
        "33 bits": Change(create=world.run(priority=2**40)),
        "a key twice": Change(create=run, jobs=(job, job)),
        "no id": Change(create=world.run(id=RunId("nonsense"))),
        "no id of the right length": Change(create=world.run(id=RunId("x" * 36))),
        "two ids in one": Change(run=RunPatch(run_id=RunId(f"{run.id},{run.id}"), revision=0)),
        "a text too long for its index": Change(create=world.run(key="".join(map(chr, range(0x4E00, 0x9000))))),
    }


@pytest.mark.fault(75, 79)
async def test_a_poisoned_row_harms_no_neighbour(database: str) -> None:
    async with world_of(database) as world:
        bad = poisons(world)
        good: list[Change] = []
        for _ in range(5 * len(bad)):
            run = world.run()
            good.append(Change(create=run, jobs=(world.job(run),), events=()))
        batch = list(good)
        for place, change in enumerate(bad.values()):
            batch.insert(6 * place, change)
        answers = await asyncio.gather(*map(world.store.commit, batch), return_exceptions=True)
        told = dict(zip(bad, answers[0::6], strict=False))
        assert [name for name, answer in told.items() if not isinstance(answer, MainspringError)] == []
        assert not any(isinstance(answer, StaleChange) for answer in told.values())
        assert isinstance(told["NUL"], InvalidValueError)
        assert isinstance(told["lone surrogate"], InvalidValueError)
        assert isinstance(told["65 bits"], InvalidValueError)
        assert isinstance(told["a key twice"], PortError)
        refused = [answer for place, answer in enumerate(answers) if place % 6 or place // 6 >= len(bad)]
        assert refused == [None] * len(good)
        stored = {row[0] for row in rows(database, "select id::text from runs")}
        assert stored == {change.create.id for change in good if change.create is not None}
        assert len(rows(database, "select 1 from jobs")) == len(good)


@pytest.mark.parametrize("name", ["\x1e", "\x1f", "a\x1fb", "\x1e\x1e", "", "NULL", '","', "\\", "{}", "%s $1 :x", "'"])
async def test_no_name_or_text_is_taken_for_another(database: str, name: str) -> None:
    async with world_of(database) as world:
        runs = [world.run(key=name, tags=(name, "other"), metadata=Payload(name)), world.run(key=None)]
        jobs = [world.job(run, stage=StageId(name)) for run in runs]
        await asyncio.gather(
            *(world.store.commit(Change(create=run, jobs=(job,))) for run, job in zip(runs, jobs, strict=True))
        )
        signal = world.signal(runs[0], id=SignalId(name), name=name, payload=Payload(name))
        await world.store.commit(Change(signals=(signal,)))
        assert [await world.other.run(run.id) for run in runs] == runs
        assert await world.other.run_by_key(runs[0].workflow, name) == runs[0]
        assert [(await world.other.jobs(run.id))[0].stage for run in runs] == [name, name]
        (stored,) = await world.other.inbox(runs[0].id)
        assert (stored.id, stored.name, stored.payload) == (name, name, name)
        leases = await world.claimed()
        assert {lease.job.key for lease in leases} == {job.key for job in jobs}


@pytest.mark.fault(14, 29)
async def test_one_of_all_processes_wins_each_key_and_their_neighbours_are_written(database: str) -> None:
    async with world_of(database) as world, openings(database, 4) as opened:
        asked: list[tuple[str, Any]] = []
        alone: list[Any] = []
        for number in range(25):
            for store, _ in opened:
                keyed, plain = world.run(key=f"key {number}"), world.run()
                asked.append((f"key {number}", store.commit(Change(create=keyed, jobs=(world.job(keyed),)))))
                alone.append(store.commit(Change(create=plain)))
        answers = await asyncio.gather(*(one for _, one in asked), *alone, return_exceptions=True)
        raced, free = answers[: len(asked)], answers[len(asked) :]
        assert set(free) == {None}
        assert {type(answer) for answer in raced} == {type(None), StaleChange}
        winners = [key for (key, _), answer in zip(asked, raced, strict=True) if answer is None]
        assert sorted(winners) == sorted({key for key, _ in asked})
        assert rows(database, "select count(*), count(key), (select count(*) from jobs) from runs") == [(125, 25, 25)]


@pytest.mark.fault(88)
async def test_signals_and_events_of_many_processes_are_numbered_without_gaps(database: str) -> None:
    async with world_of(database) as world, openings(database, 4) as opened:
        await world.store.add_sink(Sink())
        run = await world.created()
        asked = [
            store.commit(Change(signals=(world.signal(run, id=SignalId(f"{n}")),), events=(world.event(run),)))
            for n in range(10)
            for store, _ in opened
        ]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert {type(answer) for answer in answers} == {type(None), StaleChange}
        assert answers.count(None) == 10
        assert sorted(row[0] for row in rows(database, "select id from signals")) == sorted(map(str, range(10)))
        for table in ("signals", "outbox"):
            assert rows(database, f"select seq from {table} order by seq") == [(n,) for n in range(1, 11)]


async def test_wake_ups_of_many_processes_are_all_counted(database: str) -> None:
    async with world_of(database) as world, openings(database, 4) as opened:
        run, job = await world.with_job()
        wake = Change(wakes=(Wake(run_id=run.id, at=world.clock.now()),))
        await asyncio.gather(*(store.commit(wake) for _ in range(20) for store, _ in opened))
        assert (await world.stored(job)).wakes == 80


STARTER = """
import asyncio, sys
from mainspring import Context, Mainspring, workflow
@workflow(version="1")
async def hello(ctx: Context, number: int) -> int:
    return number
async def main():
    async with Mainspring(sys.argv[1], workflows=[hello], worker=False) as engine:
        print("ready", flush=True)
        sys.stdin.readline()
        runs = await asyncio.gather(*(engine.start(hello, n, key=f"k{n}") for n in range(100)))
        print(*(run.id for run in runs))
asyncio.run(main())
"""


@pytest.mark.fault(14)
@pytest.mark.promise(8)
def test_processes_that_start_under_the_same_keys_get_the_same_runs(database: str) -> None:
    command = [sys.executable, "-c", STARTER, database]
    started = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    one, two = (process.communicate(timeout=30)[0].split() for process in started)
    assert len(set(one)) == 100
    assert one == two
    assert rows(database, "select count(*), (select count(*) from jobs) from runs") == [(100, 100)]
