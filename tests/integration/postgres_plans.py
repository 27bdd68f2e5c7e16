"""Plans of statements as the store's own connections get them, over tables that are worth an index.

Rule: figures are of the server's own counting (buffers, rows), never of time, so that they hold on any machine. A
statement that writes is explained inside a transaction that is rolled back.
"""

import re
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import Any

import attrs
import psycopg
from psycopg import sql

#: 20,000 jobs: due and sleeping at five priorities of the route that is asked for, due ones of others, held and leased.
FILLED = """
insert into runs (id, workflow, version, fingerprint, queue, status, revision, priority, request_hash, input,
  created_at, deadline)
select ('019a0000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'greet', '1', 'f', 'default', 'running', 0, 0,
  'hash', '"world"', n, case when n % 10 = 0 then mainspring_now() + 3600000000 end
from generate_series(1, 24000) n;
insert into jobs (run_id, stage, idx, route, phase, priority, available_at, attempt, max_attempts, wakes, token,
  lease_id, worker, lease_until, claimed_at)
select ('019a0000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'hello', 0,
  case when n <= 8000 then 'served' else 'unserved ' || n % 50 end,
  case when n between 18001 and 20000 then 'parked' else 'ready' end, n % 5,
  case when n between 4001 and 8000 then mainspring_now() + 3600000000 else n end, 0, 3, 0, 1,
  case when n > 20000 then gen_random_uuid() end, case when n > 20000 then 'w' end,
  case when n > 20000 then mainspring_now() + 3600000000 + n end, case when n > 20000 then 1 end
from generate_series(1, 24000) n;
insert into stages (run_id, stage, idx, status, attempt, finished_at)
select ('019a0000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, s, 0, 'completed', 1, n
from generate_series(1, 24000) n, unnest(array['one', 'two']) s;
insert into sinks (name) values ('default');
analyze"""

#: How the planner may be pushed about: the plan must hold however it weighs.
PUSHED: tuple[dict[str, str], ...] = (
    {},
    {"enable_nestloop": "off"},
    {"enable_hashjoin": "off"},
    {"enable_hashjoin": "off", "enable_mergejoin": "off"},
    {"enable_bitmapscan": "off"},
    {"random_page_cost": "1.1"},
)


def run_id(number: int) -> str:
    """The id of the run with this number."""
    return f"019a0000-0000-7000-8000-{number:012x}"


@attrs.frozen
class Plan:
    """What EXPLAIN (ANALYZE, BUFFERS) told."""

    text: str
    nodes: tuple[dict[str, Any], ...]

    @property
    def buffers(self) -> int:
        """Pages that were looked at."""
        top = self.nodes[0]
        return int(top["Shared Hit Blocks"] + top["Shared Read Blocks"])

    def scans(self, tables: Iterable[str]) -> list[str]:
        """Sequential scans of these tables."""
        wanted = set(tables)
        found = [node for node in self.nodes if node["Node Type"] == "Seq Scan" and node["Relation Name"] in wanted]
        return [node["Relation Name"] for node in found]

    def bitmaps(self) -> list[str]:
        """Indexes that are read whole ranges at a time."""
        return [node["Index Name"] for node in self.nodes if node["Node Type"] == "Bitmap Index Scan"]

    def discarded(self) -> int:
        """Rows that were read and thrown away."""
        return sum(
            int(value * node["Actual Loops"])
            for node in self.nodes
            for name, value in node.items()
            if name.startswith("Rows Removed by") and node.get("Relation Name") in {"jobs", "runs", "stages"}
        )


def _nodes(node: dict[str, Any]) -> Generator[dict[str, Any]]:
    yield node
    for below in node.get("Plans", ()):
        yield from _nodes(below)


@contextmanager
def planning(url: str, settings: dict[str, str]) -> "Generator[psycopg.Connection[tuple[Any, ...]]]":
    """A connection with these settings; whatever is done on it is rolled back."""
    with psycopg.connect(url, cursor_factory=psycopg.RawCursor) as connection:
        for name, value in settings.items():
            connection.execute("select set_config($1, $2, false)", (name, value))
        yield connection
        connection.rollback()


def explained(
    connection: "psycopg.Connection[tuple[Any, ...]]", statement: bytes, parameters: Sequence[object] = ()
) -> Plan:
    """The plan of a statement as it was executed: prepared, with a generic plan, undone."""
    connection.execute("savepoint before")
    names = re.findall(rb"\$(\d+)", statement)
    connection.execute(b"prepare asked as " + statement)
    literals = b", ".join(_literal(connection, value) for value in parameters)
    execute = b"execute asked" + (b"(" + literals + b")" if names else b"")
    row = connection.execute(b"explain (analyze, buffers, timing off, format json) " + execute).fetchone()
    connection.execute("deallocate asked")
    connection.execute("rollback to savepoint before")
    assert row is not None
    (told,) = row[0]
    return Plan(text=str(told["Plan"]), nodes=tuple(_nodes(told["Plan"])))


def _literal(connection: "psycopg.Connection[tuple[Any, ...]]", value: object) -> bytes:
    return sql.Literal(value).as_bytes(connection)
