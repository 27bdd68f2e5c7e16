"""``simulate`` keeps to itself: bodies may not leave its worlds, and the process around it is as before afterwards."""

import asyncio
import gc
import random
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import structlog
from structlog.testing import CapturingLogger

from mainspring import Context, Workflow, workflow
from mainspring.hosts.execution import executor
from mainspring.hosts.simulation.quiet import our_loggers
from mainspring.testing import SimulatedRun, SimulationError, SimulationFailedError, TestEngine, effect, simulate
from tests.simulation.shop import careless, charged_once, checkout, fresh_bank


@workflow(version="1")
async def echo(ctx: Context, number: int) -> int:
    return number


# Leaving the world.


@workflow(version="1")
async def to_thread(ctx: Context, number: int) -> int:
    return await asyncio.to_thread(lambda: number)


@workflow(version="1")
def own_thread(ctx: Context, number: int) -> int:
    threading.Thread(target=print).start()
    return number


@workflow(version="1")
async def open_socket(ctx: Context, number: int) -> int:
    try:
        await asyncio.open_connection("127.0.0.1", 9)
    except Exception:  # noqa: BLE001  a body that hides it
        return 0
    return number


@workflow(version="1")
def plain_socket(ctx: Context, number: int) -> int:
    with socket.socket() as one:
        one.connect(("127.0.0.1", 9))
    return number


@workflow(version="1")
async def start_process(ctx: Context, number: int) -> int:
    await asyncio.create_subprocess_exec(sys.executable, "-V")
    return number


@workflow(version="1")
def plain_process(ctx: Context, number: int) -> int:
    subprocess.run([sys.executable, "-V"], check=True)
    return number


@pytest.mark.parametrize(
    ("escaping", "what"),
    [
        (to_thread, "a thread"),
        (own_thread, "a thread"),
        (open_socket, "a socket"),
        (plain_socket, "a socket"),
        (start_process, "a process"),
        (plain_process, "a process"),
    ],
)
def test_a_body_that_reaches_out_of_the_world_is_told_where_and_what_to_do(
    escaping: Workflow[int, int], what: str
) -> None:
    with pytest.raises(SimulationError) as found:
        simulate(escaping, 1)
    text = str(found.value)
    assert escaping.workflow_id in text
    assert "test_simulate_apart.py:" in text
    assert f"reaches for {what}" in text
    assert ("plain `def`" if what == "a thread" else "fakes=") in text


def test_threads_and_processes_are_free_again_afterwards() -> None:
    simulate(echo, 1, seeds=1)
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()
    assert subprocess.run([sys.executable, "-c", ""], check=False).returncode == 0


def test_a_body_that_spins_is_told_so() -> None:
    @workflow(version="1")
    async def spins(ctx: Context, number: int) -> int:
        while True:
            await asyncio.sleep(0)

    with pytest.raises(SimulationError, match="no time passed"):
        simulate(spins, 1, seeds=1)


# What is judged: nothing of what a process does only because its world is closed.


class Desk:
    """What bodies write on."""

    def __init__(self) -> None:
        self.fresh()

    def fresh(self) -> "Desk":
        """Nothing was written yet."""
        self.held = 0
        self.log: list[str] = []
        return self


DESK = Desk()


@workflow(version="1")
async def holding(ctx: Context, number: int) -> int:
    DESK.held += 1
    try:
        async with effect("use"):
            pass
        await asyncio.sleep(1)
    finally:
        DESK.held -= 1
    return number


@workflow(version="1")
async def refunding(ctx: Context, number: int) -> int:
    done = False
    try:
        async with effect("charge"):
            DESK.log.append("charge")
        await asyncio.sleep(1)
        done = True
    finally:
        if not done:
            DESK.log.append("refund")
    return number


def test_what_a_process_held_when_it_died_is_still_held_when_its_world_is_judged() -> None:
    def nothing_is_held(run: SimulatedRun[int, Desk]) -> None:
        assert run.fakes.held == 0, f"{run.fakes.held} held"

    with pytest.raises(SimulationFailedError, match="1 held"):
        simulate(holding, 1, fakes=DESK.fresh, invariant=nothing_is_held, crashes="everywhere")


def test_a_finally_that_no_dead_process_would_run_is_not_held_against_it() -> None:
    def no_refund(run: SimulatedRun[int, Desk]) -> None:
        assert "refund" not in run.fakes.log, run.fakes.log

    report = simulate(refunding, 1, fakes=DESK.fresh, invariant=no_refund, crashes="everywhere")
    assert report.crashes > 0


def test_futures_that_are_done_at_once_come_in_the_same_order_in_every_run() -> None:
    @workflow(version="1")
    async def first_of_many(ctx: Context, number: int) -> list[int]:
        loop = asyncio.get_running_loop()
        futures: list[asyncio.Future[int]] = [loop.create_future() for _ in range(40)]
        for place, future in enumerate(futures):
            future.set_result(place)
        done, _ = await asyncio.wait(futures)
        return [future.result() for future in done]

    orders: list[list[int] | None] = []
    kept: list[object] = []
    for number in range(4):
        kept += [object() for _ in range(number * 1001)]  # so that the futures lie elsewhere
        simulate(first_of_many, 1, seeds=[6], invariant=lambda run: orders.append(run.output))
    assert orders[0] is not None
    assert len(orders[0]) == 40
    assert orders == [orders[0]] * 4


# What is left behind.


@pytest.fixture
def configured() -> Iterator[CapturingLogger]:
    """A user's own structlog configuration, which binds loggers for good."""
    lines = CapturingLogger()
    structlog.reset_defaults()  # what is not named below would stay as somebody else left it, a level for one
    for kept in our_loggers():
        kept.pop("bind", None)
    structlog.configure(logger_factory=lambda *_: lines, processors=[], cache_logger_on_first_use=True)
    yield lines
    structlog.reset_defaults()
    for kept in our_loggers():
        kept.pop("bind", None)


async def test_the_users_logging_is_silent_meanwhile_and_as_before_afterwards(configured: CapturingLogger) -> None:
    before = structlog.get_config()
    async with TestEngine(checkout) as engine:
        await engine.run(checkout, 1)  # binds our loggers for good
    told = len(configured.calls)
    logger: Any = executor.logger
    bound = logger.bind
    assert told > 0
    simulate(checkout, 420, fakes=fresh_bank, seeds=20)
    with pytest.raises(SimulationFailedError):
        simulate(careless, 420, fakes=fresh_bank, invariant=charged_once)
    assert len(configured.calls) == told
    assert structlog.get_config() == before
    assert logger.bind is bound
    async with TestEngine(checkout) as engine:
        await engine.run(checkout, 1)
    assert len(configured.calls) > told


def test_logging_that_was_never_configured_stays_so(capsys: pytest.CaptureFixture[str]) -> None:
    structlog.reset_defaults()
    simulate(checkout, 420, fakes=fresh_bank, seeds=20)
    assert not structlog.is_configured()
    assert capsys.readouterr() == ("", "")


async def test_warnings_hooks_chance_and_the_collector_are_as_before() -> None:
    state, hooks, filters = random.getstate(), sys.get_asyncgen_hooks(), list(warnings.filters)
    simulate(checkout, 420, fakes=fresh_bank, seeds=30)
    assert random.getstate() == state
    assert sys.get_asyncgen_hooks() == hooks
    assert list(warnings.filters) == filters
    assert gc.isenabled()


def test_a_generator_of_a_process_that_died_is_not_handed_to_the_real_loop() -> None:
    @workflow(version="1")
    async def generating(ctx: Context, number: int) -> int:
        async def numbers() -> AsyncIterator[int]:
            try:
                for one in range(3):
                    await asyncio.sleep(1)
                    yield one
            finally:
                await asyncio.sleep(1)

        async for one in numbers():
            number += one
            await asyncio.sleep(1)
        return number

    before, handed = sys.get_asyncgen_hooks(), list[object]()
    sys.set_asyncgen_hooks(finalizer=handed.append)
    try:
        report = simulate(generating, 1, crashes="everywhere")
    finally:
        sys.set_asyncgen_hooks(*before)
    assert report.runs == {"completed": report.worlds}
    assert handed == []
