"""Real processes on one PostgreSQL database: killed, stopped, cut off from it, and the server crashed.

CHAOS_ROUNDS strikes and CHAOS_RUNS runs make it longer, CHAOS_SEED makes another plan. The file ``figures`` of the
test's directory tells what happened.
"""

import json
import os
import time
from collections import Counter, defaultdict
from pathlib import Path

import psycopg
import pytest

from mainspring.adapters.msgspec import MsgspecCodec
from mainspring.ports.codec import Limits
from mainspring.ports.names import Payload
from tests.integration.chaos_crew import Crew, planned
from tests.integration.chaos_postgres_process import EFFECTS, EVENTS, FOLDER, LEASE, STAGES, STARTS, expected
from tests.integration.processes import processes
from tests.postgres.server import PostgresServer

MODULE = "tests.integration.chaos_postgres_process"
RUNS = int(os.environ.get("CHAOS_RUNS", "60"))
ROUNDS = int(os.environ.get("CHAOS_ROUNDS", "6"))
SEED = int(os.environ.get("CHAOS_SEED", "20261120"))
PACE = 1.4  #: seconds that a round takes, about
PATIENCE = 90.0  #: seconds for what is left when the strikes are over
EVENTS_ON = "insert into mainspring.sinks (name) values ('default')"
WORKERS = "select count(*) from mainspring.workers"
LEFT = """
select (select count(*) from mainspring.runs where status not in ('completed', 'failed', 'cancelled'))
  + (select count(*) from mainspring.outbox)"""


def lines(folder: Path, name: str) -> list[list[str]]:
    """What the processes wrote down, in the order in which it happened."""
    return [line.split(" ") for line in (folder / name).read_text().splitlines()]


def commands(url: str) -> dict[str, list[str]]:
    """The crew: two workers, handlers without a worker, and a client that starts the runs."""
    worker = ["mainspring", "worker", f"{MODULE}:flow", "--database", url, "--concurrency", "20"]
    worker += ["--lease", str(LEASE.total_seconds()), "--log-level", "warning"]
    return {
        "worker-1": worker,
        "worker-2": worker,
        "serverless": [MODULE, "serverless", url],
        "client": [MODULE, "client", url, str(RUNS), str(time.monotonic()), str(ROUNDS * PACE)],
    }


def strike_and_settle(crew: Crew, server: PostgresServer, url: str, folder: Path) -> None:
    """Once all are at work deal the blows of the plan, then wait until nothing is left to do."""
    crew.revive()
    with psycopg.connect(url, autocommit=True) as connection:
        until = time.monotonic() + PATIENCE
        while not (folder / EVENTS).exists() or rows(connection, WORKERS) != [(2,)]:
            time.sleep(0.05)
            assert time.monotonic() < until, f"not all are at work: {crew.exits}"
    for strike in planned(SEED, ROUNDS):
        crew.revive()
        time.sleep(strike.pause)
        crew.strike(strike, server, url, 1.6 * LEASE.total_seconds())
    until = time.monotonic() + PATIENCE
    with psycopg.connect(url, autocommit=True) as connection:
        while "client" not in crew.done or rows(connection, LEFT) != [(0,)]:
            crew.revive()
            time.sleep(0.1)
            assert time.monotonic() < until, f"not all became terminal in {PATIENCE} s: {rest(connection)}"


def rest(connection: "psycopg.Connection[tuple[object, ...]]") -> object:
    """What is left, for whoever reads of a failure."""
    asked = (
        b"select status, count(*) from mainspring.runs group by status",
        b"select phase, stage, attempt, worker, lease_until, available_at from mainspring.jobs limit 20",
        b"select count(*) from mainspring.outbox",
        b"select name, until, mainspring.mainspring_now() from mainspring.leases",
    )
    return [connection.execute(statement).fetchall() for statement in asked]


# Crashes of every process at any point, zombies, a leader that comes twice, races of claims; a server that crashes, and
# connections that break idle or at work.
@pytest.mark.fault(1, 2, 3, 4, 5, 9, 10, 11, 14, 17, 27, 29, 31, 32, 52, 53, 63, 106)
@pytest.mark.promise(1, 2, 3, 4, 7, 8, 11, 13)
@pytest.mark.timeout(240 + 4 * ROUNDS)
def test_killed_stopped_and_disconnected_processes_lose_nothing_and_record_nothing_twice(
    postgres: PostgresServer, database: str, tmp_path: Path
) -> None:
    environment = {**os.environ, FOLDER: str(tmp_path), "MAINSPRING_SAFETY_POLL": "0.5"}
    began = time.monotonic()
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(EVENTS_ON.encode())
    with processes() as started:
        crew = Crew(started, commands(database), environment, tmp_path / "log")
        strike_and_settle(crew, postgres, database, tmp_path)
    figures: dict[str, object] = {"seconds": round(time.monotonic() - began, 1)}
    figures |= {"blows": dict(crew.blows), "exits": dict(crew.exits)}
    with psycopg.connect(database, autocommit=True) as connection:
        ids = check_runs(connection, lines(tmp_path, STARTS))
        figures |= {"runs": len(ids), "effects": check_effects(connection, lines(tmp_path, EFFECTS), ids)}
        figures |= {"events": check_events(connection, lines(tmp_path, EVENTS), ids)}
    (tmp_path / "figures").write_text(json.dumps(figures))


def rows(connection: "psycopg.Connection[tuple[object, ...]]", statement: str) -> "list[tuple[object, ...]]":
    """What a statement gives."""
    return connection.execute(statement.encode()).fetchall()


def check_runs(connection: "psycopg.Connection[tuple[object, ...]]", starts: list[list[str]]) -> list[str]:
    """One run per key, known by the id that every start told; each completed, with one record per stage. The ids."""
    told = {(number, run_id) for number, run_id in starts}
    found = rows(connection, "select key, id::text, status, output from mainspring.runs order by id")
    assert {(f"run {number}", run_id) for number, run_id in told} == {(key, run_id) for key, run_id, _, _ in found}
    assert len(told) == len(found) == RUNS
    codec = MsgspecCodec(Limits())
    for key, run_id, status, output in found:
        assert status == "completed", run_id
        assert codec.decode(Payload(str(output)), int, "output") == expected(int(str(key).removeprefix("run "))), run_id
    of_run: dict[object, Counter[object]] = defaultdict(Counter)
    for run_id, stage, status in rows(connection, "select run_id::text, stage, status from mainspring.stages"):
        assert status == "completed", (run_id, stage)
        of_run[run_id][stage] += 1
    ids = [str(run_id) for _, run_id, _, _ in found]
    assert of_run == {run_id: Counter(STAGES) for run_id in ids}
    assert rows(connection, "select count(*) from mainspring.jobs") == [(0,)]
    return ids


def check_effects(
    connection: "psycopg.Connection[tuple[object, ...]]", effects: list[list[str]], ids: list[str]
) -> dict[str, int]:
    """At least one effect per stage and none of anything else, one per claim, and the newest claim's is on record."""
    newest: dict[str, int] = {}
    seen: set[tuple[str, str]] = set()
    for key, token, _, _ in effects:
        assert (key, token) not in seen, f"a body was called twice under one claim: {key}"
        seen.add((key, token))
        newest[key] = max(newest.get(key, 0), int(token))
    wanted = {
        f"{run_id}/{stage}/{index}" for run_id in ids for stage, width in STAGES.items() for index in range(width)
    }
    assert set(newest) == wanted
    codec = MsgspecCodec(Limits())
    squares = rows(connection, "select run_id::text, idx, output from mainspring.stages where stage = 'square'")
    for run_id, index, output in squares:
        _, token = codec.decode(Payload(str(output)), list[int], "output")
        assert token == newest[f"{run_id}/square/{index}"], f"a claim that had been lost is on record: {run_id}"
    return {"all": len(effects), "repeated": len(effects) - len(newest)}


def check_events(
    connection: "psycopg.Connection[tuple[object, ...]]", events: list[list[str]], ids: list[str]
) -> dict[str, int]:
    """All events came out: of each run in order at first, without gaps, each id for one event only."""
    first: dict[str, list[tuple[int, str]]] = {run_id: [] for run_id in ids}
    of_id: dict[str, list[str]] = {}
    for event in events:
        run_id, seq, event_id, kind = event
        if event_id not in of_id:
            of_id[event_id] = event
            first[run_id].append((int(seq), kind))
        assert of_id[event_id] == event
    counts = {str(row[0]): row[1] for row in rows(connection, "select id::text, event_count from mainspring.runs")}
    for run_id, published in first.items():
        assert [seq for seq, _ in published] == list(range(1, len(published) + 1)), run_id
        assert len(published) == counts[run_id], run_id
        kinds = Counter(kind for _, kind in published)
        assert kinds["run.created"] == kinds["run.started"] == kinds["run.completed"] == 1
        assert kinds["stage.completed"] == sum(STAGES.values())
        assert published[-1][1] == "run.completed"
    assert rows(connection, "select count(*) from mainspring.dead_letters") == [(0,)]
    return {"all": len(events), "repeated": len(events) - len(of_id)}
