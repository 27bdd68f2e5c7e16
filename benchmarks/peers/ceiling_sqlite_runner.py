"""What SQLite allows: a hand-written loop over the standard library's sqlite3, ``synchronous = full``.

A hundred runs at a time; every step's output is durable before the run's next step. Modes of ``benchmarks.ours``.
"""

import json
import signal
import sqlite3
import threading
import time
from typing import Any

from parts import CALLERS, answer, called, chunks, document, ready, timed, wait_go

TABLES = """
create table wf (id integer primary key, name text, status int not null default 0, input text, output text);
create index wf_ready on wf (status, id);
create table st (wf int, n int, output text, primary key (wf, n)) without rowid;
"""
CLAIM = """update wf set status = 1 where id in (select id from wf where status = 0 order by id limit 100)
returning id, name, input"""
START = "insert into wf (name, input) values (?, ?)"
STEPS = {"noop3": 3, "noop1": 1}


def connect(url: str) -> sqlite3.Connection:
    connection = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None, timeout=30)
    connection.execute("pragma journal_mode = wal")
    connection.execute("pragma synchronous = full")
    return connection


def setup(url: str) -> None:
    connect(url).executescript(TABLES)
    answer()


def start(url: str, flow: str, count: int) -> None:
    connection = connect(url)
    begin = time.perf_counter()
    for number in range(count):
        connection.execute(START, (flow, json.dumps(document(number))))
    answer(seconds=time.perf_counter() - begin)


def start_50(url: str, flow: str, count: int) -> None:
    """Fifty threads, a connection each: SQLite has one writer at a time."""
    numbers, lock = iter(range(count)), threading.Lock()

    def caller() -> None:
        connection = connect(url)
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            connection.execute(START, (flow, json.dumps(document(number))))

    threads = [threading.Thread(target=caller) for _ in range(CALLERS)]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    answer(seconds=time.perf_counter() - begin)


def start_many(url: str, flow: str, count: int) -> None:
    """A hundred in one transaction."""
    connection = connect(url)
    begin = time.perf_counter()
    for inputs in chunks(count):
        connection.execute("begin immediate")
        connection.executemany(START, [(flow, json.dumps(one)) for one in inputs])
        connection.execute("commit")
    answer(seconds=time.perf_counter() - begin)


def _drain(connection: sqlite3.Connection) -> None:
    while rows := connection.execute(CLAIM).fetchall():
        values = [(number, STEPS[name], json.loads(text)) for number, name, text in rows]
        for n in range(1, max(steps for _, steps, _ in values) + 1):
            here = [(number, steps, json.dumps(value)) for number, steps, value in values if n <= steps]
            connection.execute("begin immediate")
            connection.executemany("insert into st values (?, ?, ?)", [(number, n, text) for number, _, text in here])
            ended = [(text, number) for number, steps, text in here if n == steps]
            connection.executemany("update wf set status = 2, output = ? where id = ?", ended)
            connection.execute("commit")


def worker(url: str, *_: str) -> None:
    wait_go()
    connection = connect(url)
    ready()
    _drain(connection)
    signal.pause()


def local(url: str, flow: str, count: int) -> None:
    connection = connect(url)

    def once(number: int) -> None:
        connection.execute(START, (flow, json.dumps(document(number))))
        _drain(connection)

    timed(count, once)


MODES: dict[str, Any] = {
    "setup": setup,
    "start": start,
    "start_50": start_50,
    "start_many": start_many,
    "worker": worker,
    "local": local,
}

if __name__ == "__main__":
    mode, url, rest = called()
    MODES[mode](url, *rest)
