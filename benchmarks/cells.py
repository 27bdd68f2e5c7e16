"""What is measured against peers: each cell measures one side once, on one store, and answers named numbers."""

import time
from collections.abc import Callable

import attrs

from benchmarks.processes import Side, Worker, wait_until
from benchmarks.stores import Mark, Place, PostgresPlace, Store

Numbers = dict[str, float]


@attrs.frozen(kw_only=True)
class Cell:
    """One question. ``measure(side, store, n)`` answers it for one side, once."""

    title: str
    measure: Callable[[Side, Store, int], Numbers]
    count: int = 2_000  #: of runs, or whatever the cell counts
    repeats: int = 3
    peers: bool = True  #: whether peers know how to do this
    on_request: bool = False  #: takes long, and is measured only where it is named
    patient: bool = False  #: peers poll as rarely as they do untouched
    peer_count: int | None = None  #: where a peer would take minutes
    targets: dict[str, str] = attrs.Factory(dict)


def set_up(side: Side, place: Place) -> None:
    """Make a side's tables."""
    if side.needs_setup:
        side.call("setup", place.url)
    if isinstance(place, PostgresPlace):
        place.set_up()


def drained(side: Side, store: Store, place: Place, count: int) -> float:
    """Wait until every run has ended; when that was. All of them completed."""
    end = wait_until(lambda: not place.ask(side.open_runs), store.every)
    found = place.ask(side.completed)[0][0]
    assert found == count, f"{side.name}: {found} of {count} completed"
    return end


def drain(side: Side, store: Store, count: int) -> Numbers:
    """W1 and W7: runs of three steps, enqueued first, drained by one worker; everything on that an engine has."""
    return _drain(side.with_(BENCH_EVENTS="1"), store, count, 1)


def drain_quiet(side: Side, store: Store, count: int) -> Numbers:
    """The same without events."""
    return _drain(side, store, count, 1)


def drain_two(side: Side, store: Store, count: int) -> Numbers:
    """W4: W1 with two worker processes."""
    return _drain(side.with_(BENCH_EVENTS="1"), store, count, 2)


def _drain(side: Side, store: Store, count: int, processes: int) -> Numbers:
    with store.place() as place:
        set_up(side, place)
        empty = place.mark()
        enqueued = side.call(side.fills, place.url, "noop3", count)["seconds"]
        filled = place.mark()
        with side.workers(place.url, processes) as workers:
            before = sum(worker.cpu() for worker in workers)
            seconds = drained(side, store, place, count) - min(worker.ready for worker in workers)
            cpu = sum(worker.cpu() for worker in workers) - before
            done = place.mark()
            found = {"runs/s": count / seconds, "worker CPU µs/run": cpu / count * 1e6}
            if side.is_ours and side.environment.get("BENCH_EVENTS"):
                end = wait_until(lambda: not place.ask("select 1 from outbox limit 1"), store.every)
                found["runs/s, events published"] = count / (end - min(worker.ready for worker in workers))
                done = place.mark()
        found |= _database(empty, filled, done, count)
        found["bytes/run as left"] = place.left_bytes() / count
        found["live bytes/run"] = place.live_bytes() / count
    return found | {f"starts/s, {side.fills}": count / enqueued}


def _database(empty: Mark, filled: Mark, done: Mark, count: int) -> Numbers:
    """What it cost the database, per run; whatever it counted."""
    found: Numbers = {}
    if filled.cpu is not None and done.cpu is not None:
        found["server CPU µs/run"] = (done.cpu - filled.cpu) / count * 1e6
    if filled.statements is not None and done.statements is not None:
        found["statements/run"] = (done.statements - filled.statements) / count
    elif filled.transactions is not None and done.transactions is not None:
        found["transactions/run"] = (done.transactions - filled.transactions) / count
    if empty.wal is not None and filled.wal is not None and done.wal is not None:
        found["WAL bytes/run, start"] = (filled.wal - empty.wal) / count
        found["WAL bytes/run, drain"] = (done.wal - filled.wal) / count
    return found


def _starts(name: str, mode: str) -> Callable[[Side, Store, int], Numbers]:
    def measure(side: Side, store: Store, count: int) -> Numbers:
        with store.place() as place:
            set_up(side, place)
            return {f"starts/s, {name}": count / side.call(mode, place.url, "noop3", count)["seconds"]}

    return measure


starts = _starts("one by one", "start")
starts_50 = _starts("50 at once", "start_50")
starts_many = _starts("many", "start_many")


def latency_local(side: Side, store: Store, count: int) -> Numbers:
    """Start to result at idle, one process."""
    return _latency(side, store, "local", count)


def latency_remote(side: Side, store: Store, count: int) -> Numbers:
    """Start to result at idle, the worker in another process."""
    return _latency(side, store, "remote", count)


def _latency(side: Side, store: Store, mode: str, count: int) -> Numbers:
    found: Numbers = {}
    samples = min(count, 30) if side.slow else count
    for flow, name in (("noop3", "3 stages"), ("noop1", "1 stage")):
        with store.place() as place:
            set_up(side, place)
            if mode == "local":
                answer = side.call(mode, place.url, flow, samples)
            else:
                with side.workers(place.url):
                    time.sleep(1)
                    answer = side.call(mode, place.url, flow, samples)
        found |= {f"{name} {key.removesuffix('_ms')} ms": value for key, value in answer.items()}
    return found


def join(side: Side, store: Store, count: int) -> Numbers:
    """W3: one run fans out to ``count`` parallel no-ops and joins them."""
    found: Numbers = {}
    flows = [("mapped", f"map of {count} s", count)]
    if side.is_ours:
        flows.append(("group", "group of 480 s", 480))
    for flow, name, width in flows:
        with store.place() as place:
            set_up(side, place)
            with side.workers(place.url, 1, "fan"):
                time.sleep(1)
                answer = side.call("fan", place.url, flow, width)
                assert answer["joined"] == width
                found[name] = answer["seconds"]
    return found


def idle(side: Side, store: Store, count: int) -> Numbers:
    """W5: a worker with nothing to do, for ``count`` seconds."""
    with store.place() as place:
        set_up(side, place)
        with side.workers(place.url) as (worker,):
            time.sleep(3)
            before, marked, began = worker.cpu(), place.mark(), time.monotonic()
            time.sleep(count)
            spent, mark, seconds = worker.cpu() - before, place.mark(), time.monotonic() - began
            found = {"worker CPU ms/s": spent / seconds * 1e3, "memory MB": worker.memory()}
        if mark.cpu is not None and marked.cpu is not None:
            found["server CPU ms/s"] = (mark.cpu - marked.cpu) / seconds * 1e3
        if mark.statements is not None and marked.statements is not None:
            found["statements/s"] = (mark.statements - marked.statements) / seconds
        elif mark.transactions is not None and marked.transactions is not None:
            found["transactions/s"] = (mark.transactions - marked.transactions) / seconds
        if store.name == "sqlite":
            with side.workers(place.url, 1, "count") as (worker,):
                found["statements/s"] = _counted(worker, min(count, 20))
    return found


def _counted(worker: Worker, seconds: int) -> float:
    time.sleep(3)
    asked = worker.statements()
    time.sleep(seconds)
    return (worker.statements() - asked) / seconds


def map_on_two(side: Side, store: Store, count: int) -> Numbers:
    """A map on two worker processes at once: instances of one run on both, in bounded memory."""
    with store.place() as place:
        set_up(side, place)
        with side.workers(place.url, 2) as workers:
            time.sleep(1)
            answer = side.call("fan", place.url, "mapped", count)
            assert answer["joined"] == count
            peaks = [worker.memory("VmHWM") for worker in workers]
        shares = place.ask("select count(*) from stages where stage = 'first' group by worker order by 1")
    found = {"seconds": float(answer["seconds"]), "peak MB, larger": max(peaks), "workers": float(len(shares))}
    return found | {"smaller share %": float(shares[0][0]) / count * 100}


def memory(side: Side, store: Store, count: int) -> Numbers:
    """A worker's memory after a tenth, half and all of the runs."""
    found: Numbers = {}
    with store.place() as place:
        set_up(side, place)
        with side.workers(place.url) as (worker,):
            done, before = 0, time.monotonic()
            for mark in (count // 10, count // 2, count):
                side.call("start_many", place.url, "noop3", mark - done)
                done = mark
                drained(side, store, place, done)
                found[f"MB after {mark:,}"] = worker.memory()
            found["runs/s, started beside"] = count / (time.monotonic() - before)
    return found
