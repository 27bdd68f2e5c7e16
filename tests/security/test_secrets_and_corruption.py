"""Secrets stay out of logs and errors; what lies corrupt in the store stops no upkeep and no other run."""

import logging
import sqlite3
from pathlib import Path

import pytest
import structlog

from mainspring import Context, Mainspring, Retry, Workflow, stage, workflow
from mainspring.errors import RunFailedError
from mainspring.ports.records import RunStatus
from mainspring.ports.sinks import Sink

CANARY = "c4n4ry-s3cr3t"
SOON = 20.0


@workflow(version="1")
async def hello(ctx: Context, name: str) -> str:
    return f"hello {name}"


@stage(retry=Retry(max_attempts=1))
async def leaks(ctx: Context, password: str) -> str:
    raise ConnectionError(f"postgresql://ada:{password}@db/orders refused; api_key={password}")


leaking = Workflow("leaking", version="1").pipe(leaks)


@pytest.mark.fault("S6")
async def test_a_planted_secret_reaches_no_log_line_event_or_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "store.db"
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG))
    try:
        async with Mainspring(f"sqlite:///{path}", workflows=[leaking, hello]) as engine:
            await engine.parts.store.add_sink(Sink())
            run = await engine.start(leaking, CANARY)
            with pytest.raises(RunFailedError) as caught:
                await run.result(SOON)
            done = await engine.start(hello, CANARY)
            await done.result(SOON)
    finally:
        structlog.reset_defaults()
    said = capsys.readouterr()
    assert "attempt_ended" in said.out + said.err, "nothing was logged at all"
    assert CANARY not in said.out + said.err
    assert CANARY not in str(caught.value)
    with sqlite3.connect(path) as database:
        events = database.execute("select * from outbox").fetchall()
        failures = database.execute("select * from stages where stage = 'leaks'").fetchall()
    database.close()
    assert events
    assert CANARY not in str(events)
    assert CANARY not in str(failures)


@pytest.mark.fault(76)
async def test_an_undecodable_payload_fails_its_own_run_only(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    url = f"sqlite:///{path}"
    async with Mainspring(url, workflows=[hello], worker=False) as client:
        broken = await client.start(hello, "x")
        well = await client.start(hello, "y")
        with sqlite3.connect(path) as database:
            database.execute("update runs set input = '{\"a\": [' where id = ?", (broken.id,))
        database.close()
        async with Mainspring(url, workflows=[hello]):
            assert await well.result(SOON) == "hello y"
            with pytest.raises(RunFailedError, match="invalid_input"):
                await broken.result(SOON)


@pytest.mark.fault("S1", "S16")
async def test_a_message_never_makes_a_worker_import_anything(tmp_path: Path) -> None:
    """A run that names code this process was not given is left alone, not looked for."""
    url = f"sqlite:///{tmp_path / 'store.db'}"
    stranger = Workflow("os", version="system").pipe(leaks)
    async with Mainspring(url, workflows=[stranger], worker=False) as client:
        run = await client.start(stranger, "x")
        async with Mainspring(url, workflows=[hello]) as engine:
            assert await (await engine.start(hello, "y")).result(SOON) == "hello y"
            assert await run.status() is RunStatus.PENDING


@pytest.mark.promise(12)
@pytest.mark.fault(83, 82)
async def test_a_run_that_nobody_serves_waits_for_a_worker_that_does(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'store.db'}"
    newer = Workflow("greeting", version="2").pipe(leaks)
    older = Workflow("greeting", version="1").pipe(hello.stage("hello"))
    async with Mainspring(url, workflows=[older], worker=False) as client:
        run = await client.start(older, "x")
        async with Mainspring(url, workflows=[newer, hello]) as engine:
            assert await (await engine.start(hello, "y")).result(SOON) == "hello y"
            assert await run.status() is RunStatus.PENDING
        async with Mainspring(url, workflows=[older]):
            assert await run.result(SOON) == "hello x"
