"""What operators are told over HTTP: of a real worker's process, and of one whose store or loop goes away."""

import asyncio
import http.client
import signal
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import attrs
import pytest

from mainspring import Mainspring
from mainspring.adapters.prometheus.metrics import PrometheusMetrics
from mainspring.adapters.system import SystemClock
from mainspring.hosts.node_worker import status as status_module
from mainspring.hosts.node_worker.health import ALIVE, Health
from mainspring.hosts.node_worker.status import MOST_CLIENTS, StatusServer, StatusSettings
from mainspring.hosts.node_worker.worker import Worker
from mainspring.ports.change import Change
from mainspring.ports.errors import SettingsError, UnavailableError
from mainspring.ports.names import Route, StageId, WorkerId
from mainspring.ports.records import Job, WorkerRecord
from mainspring.ports.sinks import Sink
from tests.hosts.node_worker import troubles
from tests.hosts.node_worker.test_worker import SETTINGS, hello, waiting
from tests.hosts.parts import Bench, bench
from tests.hosts.programs import PATIENCE, Program

TOKEN = "correct horse battery"


def get(port: int, path: str, **headers: str) -> tuple[int, str]:
    """Status and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


async def ask(port: int, path: str, **headers: str) -> tuple[int, str]:
    return await asyncio.to_thread(get, port, path, **headers)


def listens(pid: int) -> bool:
    """Whether a process holds a socket that listens."""
    held = {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()}
    rows = [
        line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/{pid}/net/{name}").read_text().splitlines()
    ]
    return any(row[3] == "0A" and f"socket:[{row[9]}]" in held for row in rows)


def figures(page: str) -> dict[str, float]:
    lines = [line.rpartition(" ") for line in page.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


class Weather:
    """A store hook: whether calls fail just now."""

    def __init__(self) -> None:
        self.down = False
        self.only: str | None = None

    async def __call__(self, point: str) -> None:
        if self.down and (self.only is None or point == f"{self.only}:before"):
            raise UnavailableError("the store is away")


@attrs.frozen
class Site:
    port: int
    worker: Worker
    health: Health
    bench: Bench
    weather: Weather
    running: "asyncio.Task[None]"

    async def becomes(self, path: str, *, status: int, text: str) -> None:
        async with asyncio.timeout(PATIENCE):
            while await ask(self.port, path) != (status, text + "\n"):
                await asyncio.sleep(0.01)


@asynccontextmanager
async def at_work(**settings: str) -> AsyncGenerator[Site]:
    weather = Weather()
    made = bench(hello, waiting, point=weather)
    exposition = PrometheusMetrics()
    parts = attrs.evolve(made.parts, observer=exposition)
    worker = Worker(parts, made.registry, SETTINGS)
    health = Health(worker, made.registry, parts.store)
    server = StatusServer(StatusSettings(port=0, **settings), exposition)
    with server.serving(asyncio.get_running_loop(), health):
        running = asyncio.ensure_future(worker.run())
        yield Site(server.port, worker, health, made, weather, running)
        weather.down = False
        worker.hurry()
        await running


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with at_work() as one:
        yield one


async def test_a_real_worker_is_scraped_over_http(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/runs.db"
    async with Mainspring(url, workflows=[troubles.neighbour, troubles.patient], worker=False) as engine:
        await engine.parts.store.add_sink(Sink(types=("run.cancelled",)))
        runs = await engine.start_many(troubles.neighbour, range(5))
        left = await engine.start(troubles.patient, None)
        command = ("worker", f"{troubles.__file__}:neighbour", "--database", url, "--json", "--metrics-port", "0")
        with Program(*command, folder=tmp_path) as worker:
            for run in runs:
                await run.result(PATIENCE)
            port = (await worker.tells("status_served"))["port"]
            assert listens(worker.process.pid)
            assert await ask(port, "/healthz") == (200, "ok\n")
            assert await ask(port, "/readyz") == (200, "ok\n")
            code, page = await ask(port, "/metrics")
            assert await worker.ends(signal.SIGTERM) == 0
        (job,) = await engine.parts.store.jobs(left.id)
    told = figures(page)
    assert code == 200
    stage = 'stage="neighbour",workflow="neighbour"'
    assert told[f'mainspring_attempts_total{{outcome="completed",{stage}}}'] == 5
    assert told["mainspring_claim_size_sum"] == told["mainspring_commit_size_sum"] == 5
    assert told["mainspring_slots"] == 100
    assert told["mainspring_bodies_running"] == 0
    assert told["mainspring_ready"] == told["mainspring_store_up"] == 1
    assert told[f'mainspring_jobs{{route="{job.route}",state="due"}}'] == 1
    assert told[f'mainspring_unclaimable_jobs{{route="{job.route}"}}'] == 1
    assert told[f'mainspring_oldest_due_seconds{{route="{job.route}"}}'] > 0
    assert (
        told['mainspring_outbox_events{sink="default"}'] == told['mainspring_outbox_lag_seconds{sink="default"}'] == 0
    )
    assert told['mainspring_dead_letters{sink="default"}'] == 0


async def test_a_worker_listens_nowhere_unless_it_is_asked_to(tmp_path: Path) -> None:
    command = ("worker", troubles.__file__, "--database", f"sqlite:///{tmp_path}/runs.db", "--json")
    with Program(*command, folder=tmp_path) as worker:
        await worker.tells("worker_started")
        assert not listens(worker.process.pid)


async def test_a_worker_is_not_ready_while_its_store_is_away(site: Site) -> None:
    await site.becomes("/readyz", status=200, text="ok")
    site.weather.only, site.weather.down = "next_upkeep", True
    assert await ask(site.port, "/readyz") == (503, "the store fails: UnavailableError\n")
    assert await ask(site.port, "/healthz") == (200, "ok\n")
    site.weather.down = False
    await site.becomes("/readyz", status=200, text="ok")


async def test_a_worker_is_not_ready_while_it_cannot_claim(site: Site) -> None:
    await site.becomes("/readyz", status=200, text="ok")
    site.weather.only, site.weather.down = "next_due", True  # all that an idle worker asks
    await site.becomes("/readyz", status=503, text="no claim is answered")


async def test_a_worker_is_not_ready_while_its_heartbeats_fail(site: Site) -> None:
    await site.becomes("/readyz", status=200, text="ok")
    await site.bench.start(waiting, "x")
    site.weather.only, site.weather.down = "extend", True
    await site.becomes("/readyz", status=503, text="heartbeats fail")


async def test_a_store_that_is_away_leaves_the_workers_own_figures(site: Site) -> None:
    await site.becomes("/readyz", status=200, text="ok")
    site.weather.down = True
    told = figures((await ask(site.port, "/metrics"))[1])
    assert (told["mainspring_store_up"], told["mainspring_ready"], told["mainspring_slots"]) == (0, 0, 100)
    assert not [name for name in told if name.startswith("mainspring_outbox_events")]


async def test_a_draining_worker_is_alive_and_not_ready(site: Site) -> None:
    await site.becomes("/readyz", status=200, text="ok")
    site.worker.stop()
    assert await ask(site.port, "/readyz") == (503, "draining\n")
    assert await ask(site.port, "/healthz") == (200, "ok\n")


def test_a_loop_that_does_not_answer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop of this test is never run, so it answers nothing."""
    monkeypatch.setattr(status_module, "PATIENCE", 0.1)
    made = bench(hello)
    loop = asyncio.new_event_loop()
    worker = Worker(made.parts, made.registry, SETTINGS)
    server = StatusServer(StatusSettings(port=0), PrometheusMetrics())
    with server.serving(loop, Health(worker, made.registry, made.parts.store)):
        answers = {path: get(server.port, path) for path in ("/healthz", "/readyz", "/metrics")}
        loop.run_until_complete(asyncio.sleep(0))  # what was asked of it is let go
        loop.close()
        answers["closed"] = get(server.port, "/healthz")
    assert set(answers.values()) == {(503, "the event loop does not answer\n")}


async def test_every_path_wants_the_token_where_there_is_one() -> None:
    async with at_work(token=TOKEN) as site:
        for path in ("/healthz", "/readyz", "/metrics", "/"):
            for said in ({}, {"Authorization": f"Bearer {TOKEN}x"}, {"Authorization": f"Basic {TOKEN}"}):
                assert (await ask(site.port, path, **said))[0] == 401
        assert (await ask(site.port, "/healthz", Authorization=f"Bearer {TOKEN}"))[0] == 200
        assert (await ask(site.port, "/", Authorization=f"bearer {TOKEN}"))[0] == 404


@pytest.mark.parametrize("address", ["0.0.0.0", "10.1.2.3", "::"])
def test_an_address_that_others_reach_needs_a_token(address: str) -> None:
    with pytest.raises(SettingsError, match="MAINSPRING_METRICS_TOKEN"):
        StatusSettings(port=0, address=address)
    assert TOKEN not in repr(StatusSettings(port=0, address=address, token=TOKEN))


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"port": 65_536}, "65,535"),
        ({"address": "localhost"}, "IP address"),
        ({"token": "short"}, "16 printable"),
        ({"token": "a token with a\nline end"}, "16 printable"),
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, str], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        StatusSettings(**{"port": 0, **wrong})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_a_port_that_is_taken_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"port {port} of 127.0.0.1"):
            StatusServer(StatusSettings(port=port), PrometheusMetrics())


def silent(port: int) -> socket.socket:
    """A client that says nothing."""
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)


async def test_a_client_that_says_nothing_is_sent_away_and_holds_up_nobody(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert status_module.Handler.timeout == status_module.PATIENCE
    monkeypatch.setattr(status_module.Handler, "timeout", 0.1)
    with await asyncio.to_thread(silent, site.port) as client:
        assert (await ask(site.port, "/healthz"))[0] == 200
        assert await asyncio.to_thread(client.recv, 1) == b""


async def test_more_clients_than_there_are_places_are_sent_away_at_once(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status_module.Handler, "timeout", 2 * PATIENCE)
    clients = [await asyncio.to_thread(silent, site.port) for _ in range(MOST_CLIENTS + 1)]
    assert await asyncio.to_thread(clients[-1].recv, 1) == b""
    run = await site.bench.start(hello, "x")
    assert await run.result(PATIENCE) == "hello x"
    for client in clients:
        client.close()
    async with asyncio.timeout(PATIENCE):
        while not await asyncio.to_thread(_answers, site.port):
            await asyncio.sleep(0.01)


def _answers(port: int) -> bool:
    try:
        return get(port, "/healthz") == (200, "ok\n")
    except (OSError, http.client.HTTPException):
        return False


async def test_routes_of_workers_that_were_not_heard_of_lately_are_unclaimable(site: Site) -> None:
    store = site.bench.store
    now = SystemClock().now()
    await site.becomes("/readyz", status=200, text="ok")
    run = await site.bench.start(hello, "x")
    await run.result(PATIENCE)
    strange = Route("default/strange@1#0123456789abcdef")
    for seen, unserved in ((now, ()), (now - ALIVE - timedelta(seconds=60), (strange,))):
        other = WorkerRecord(id=WorkerId("other"), routes=(strange,), build="", started_at=seen, seen_at=seen)
        await store.record_worker(other)
        await _due(site.bench, strange)
        assert (await site.health.standing()).unserved == unserved


async def _due(made: Bench, route: Route) -> None:
    """A job that is due on a route."""
    job = Job(run_id=made.parts.ids.new_run_id(), stage=StageId("s"), route=route, available_at=SystemClock().now())
    await made.store.commit(Change(jobs=(job,)))
