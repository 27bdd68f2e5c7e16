"""What a batch costs on PostgreSQL beside its bodies, counted at the connections; and what is loaded for it."""

import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any

import attrs
import pytest

from mainspring import Context, Workflow, stage, workflow
from mainspring.adapters.sql import postgres_connections as connections
from mainspring.engine import open_parts
from mainspring.serverless import serverless
from tests.hosts.serverless.sandboxes import Carried, Remaining, Sandbox, event, returned


@workflow(version="1")
async def hello(ctx: Context, name: str) -> str:
    return f"hello {name}"


@stage
async def first(ctx: Context, number: int) -> int:
    return number + 1


@stage
async def second(ctx: Context, number: int) -> int:
    return number * 2


chain = Workflow("chain", version="1").pipe(first).pipe(second)


def opened(url: str, *workflows: Workflow[Any, Any]) -> Sandbox:
    queue = Carried()
    parts = attrs.evolve(open_parts(url), transport=queue)
    return Sandbox(serverless(workflows=workflows, parts=lambda: parts), parts, queue)


@pytest.mark.parametrize(("flow", "most"), [("hello", 3), ("chain", 4)])
def test_a_batch_of_ten_takes_a_clock_a_claim_and_one_commit_a_stage(
    database: str, monkeypatch: pytest.MonkeyPatch, flow: str, most: int
) -> None:
    box = opened(database, hello, chain)
    try:
        values: Sequence[Any] = [str(place) if flow == "hello" else place for place in range(20)]
        runs = [box.start(flow, value) for value in values]
        bodies = box.queue.taken()
        assert returned(box.app.sqs(event(bodies[:10]), Remaining(60))) == []  # statements are prepared at first use
        asked: Counter[str] = Counter()
        ask = connections.Lane.ask
        names = {id(lane): name for name, lane in lanes(box).items()}

        async def counted(lane: connections.Lane, statement: bytes, parameters: Sequence[object] = ()) -> Any:
            asked[names[id(lane)]] += 1
            return await ask(lane, statement, parameters)

        monkeypatch.setattr(connections.Lane, "ask", counted)
        assert returned(box.app.sqs(event(bodies[10:]), Remaining(60))) == []
        monkeypatch.undo()
        asked.pop(connections.HINTS, None)  # who waits for results elsewhere is told; nothing here waits for that
        assert sum(asked.values()) <= most, asked
        assert {box.status(run) for run in runs} == {"completed"}
    finally:
        box.app.close()


def lanes(box: Sandbox) -> dict[str, connections.Lane]:
    """The connections of the sandbox's store."""
    store: Any = box.parts.store
    found: dict[str, connections.Lane] = store._connections._lanes
    return found


FORBIDDEN = (
    "aio_pika", "alembic", "boto3", "botocore", "environ", "psycopg_pool", "prometheus_client", "opentelemetry",
    "sqlalchemy", "starlette", "typer", "uvicorn",
)  # fmt: skip

WARM = """
import os, sys
from mainspring import Context, workflow
from mainspring.serverless import serverless

@workflow(version="1")
async def hello(ctx: Context, name: str) -> str:
    return f"hello {name}"

app = serverless(workflows=[hello])
answer = app.direct({"action": "start", "workflow": "hello", "input": "Ada"})
assert answer["ok"], answer
assert app.tick()["worked"]["outcomes"] == {"completed": 1}
app.close()
print(*sorted(set(name.partition(".")[0] for name in sys.modules) & set(sys.argv[1:])))
"""


@pytest.mark.parametrize("store", ["memory", "postgres"])
def test_a_cold_start_loads_nothing_that_it_does_not_need(
    store: str, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAINSPRING_DATABASE", "memory://" if store == "memory" else database)
    said = subprocess.run([sys.executable, "-c", WARM, *FORBIDDEN], capture_output=True, text=True, check=True)
    assert said.stdout.split() == []
