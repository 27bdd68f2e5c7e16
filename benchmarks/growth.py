"""What a full store and a busy one cost: beside a million runs that ended, and after an hour of work. Ours alone."""

import statistics
import time
from contextlib import closing

from benchmarks.cells import Numbers, set_up
from benchmarks.million import DIALECTS, INPUT, RUNS, Filling
from benchmarks.processes import Side, Worker, wait_until
from benchmarks.stores import Place, PostgresPlace, Store
from benchmarks.workloads import NOOP3

LAP = 2_000
"""Runs that are started, and then drained."""
ROUNDS = 3
"""Laps with few and with many runs beside them; the median counts."""
KEPT = ("jobs", "outbox")
"""Tables whose rows go as runs end: they must not grow."""

STAGES = """
insert into stages (run_id, stage, idx, status, attempt, worker, started_at, finished_at, output)
select id, stage, 0, 'completed', 1, 'bench', created_at, created_at, input from runs cross join
  (select 'first' as stage union all select 'second' union all select 'third') s where created_at < 1701000000000000"""


def scale(side: Side, store: Store, count: int) -> Numbers:
    """What a run costs in an empty store, and beside ``count`` runs that have ended, with their stages."""
    side = side.with_(BENCH_EVENTS="1")
    with store.place() as place:
        set_up(side, place)
        found = _laps(side, store, place, "empty")
        words = DIALECTS[store.name] | {"fingerprint": NOOP3.plan.fingerprint, "input": INPUT}
        numbers = DIALECTS[store.name]["numbers"].format(last=count - 1)
        with closing(Filling(place)) as filling:
            filling.do(RUNS.format(**words | {"numbers": numbers}))
            filling.do(STAGES)
            filling.settle()
        return found | _laps(side, store, place, "beside")


def _laps(side: Side, store: Store, place: Place, where: str) -> Numbers:
    rates: list[float] = []
    costs: list[float] = []
    statements: list[float] = []
    for _ in range(ROUNDS):
        side.call(side.fills, place.url, "noop3", LAP)
        before = place.mark()
        with side.workers(place.url) as (worker,):
            cpu = worker.cpu()
            rates.append(LAP / (_emptied(place, store) - worker.ready))
            costs.append((worker.cpu() - cpu) / LAP * 1e6)
            after = place.mark()
        if after.statements is not None and before.statements is not None:
            statements.append((after.statements - before.statements) / LAP)
    found = {f"runs/s, {where}": statistics.median(rates), f"worker CPU µs/run, {where}": statistics.median(costs)}
    return found | ({f"statements/run, {where}": statistics.median(statements)} if statements else {})


def churn(side: Side, store: Store, count: int) -> Numbers:
    """A worker that drains lap after lap for ``count`` seconds: rates, its memory, and what the tables take."""
    side = side.with_(BENCH_EVENTS="1")
    laps: list[float] = []
    found: Numbers = {}
    with store.place() as place:
        set_up(side, place)
        with side.workers(place.url) as (worker,):
            began = time.monotonic()
            while (passed := time.monotonic() - began) < count:
                side.call(side.fills, place.url, "noop3", LAP)
                lap = time.monotonic()
                laps.append(LAP / (_emptied(place, store) - lap))
                if not found and passed >= count / 10:
                    found = _standing(place, worker, "after a tenth")
            tenth = max(1, len(laps) // 10)
            found |= _standing(place, worker, "at the end")
        done = place.ask(side.completed)[0][0]
        assert done == len(laps) * LAP, f"{done} of {len(laps) * LAP} completed"
    rates = {"left runs/s, first tenth": laps[:tenth], "left runs/s, last tenth": laps[-tenth:]}
    return {"runs": float(done), **{name: statistics.median(of) for name, of in rates.items()}, **found}


def _emptied(place: Place, store: Store) -> float:
    return wait_until(lambda: not place.ask("select 1 from jobs limit 1"), store.every)


def _standing(place: Place, worker: Worker, when: str) -> Numbers:
    found = {f"worker MB, {when}": worker.memory()}
    if isinstance(place, PostgresPlace):
        for table in KEPT:
            size = place.ask(f"select pg_total_relation_size('mainspring.{table}')")[0][0]
            found[f"{table} MB, {when}"] = float(size) / 1e6
    return found
