"""A function's sandbox in this process: the handlers on memory parts, the events that AWS would make, and its clock."""

import asyncio
import time
from collections.abc import Callable, Collection, Coroutine, Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar, cast

import attrs

from mainspring import Workflow
from mainspring.adapters.memory.points import Point, straight_on
from mainspring.hosts.execution.parts import Parts
from mainspring.ports.clock import Clock
from mainspring.ports.errors import UnavailableError
from mainspring.ports.messages import write_pointer
from mainspring.ports.names import Route, RunId, StageId, WorkerId
from mainspring.ports.persistence import Persistence
from mainspring.ports.records import Hint, JobKey, Lease, Pointer
from mainspring.serverless import LambdaHandlers, serverless
from tests.hosts.parts import bench

T = TypeVar("T")

QUEUE = "arn:aws:sqs:eu-central-1:000000000000:jobs"


class Remaining:
    """A context with so much time left, that runs out as in life."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds

    def get_remaining_time_in_millis(self) -> int:
        return int(max(0.0, self._until - time.monotonic()) * 1000)


class Carried:
    """A transport that carries pointers as texts, and keeps what was sent for the test to deliver."""

    carries_pointers = True

    def __init__(self) -> None:
        self.sent: list[str] = []

    async def send(self, pointers: Sequence[Pointer], after: timedelta = timedelta(0)) -> None:
        if not after:
            self.sent += map(write_pointer, pointers)

    async def receive(self, limit: int, wait: timedelta) -> list[Hint]:
        raise AssertionError("a function is called; it asks no queue")

    async def settle(self, hint: Hint, again_after: timedelta | None = None) -> None:
        raise AssertionError("a function answers; it settles nothing")

    async def close(self) -> None:
        pass

    def taken(self) -> list[str]:
        """What was sent since the last time."""
        sent, self.sent = self.sent, []
        return sent


@attrs.frozen
class Sandbox:
    """The handlers, and what they stand on."""

    app: LambdaHandlers
    parts: Parts
    queue: Carried

    def start(self, workflow: str, value: Any = None, **more: Any) -> RunId:
        """Start a run by a direct call."""
        answer = self.app.direct({"action": "start", "workflow": workflow, "input": value, **more})
        assert answer["ok"], answer
        return RunId(answer["run"]["id"])

    def status(self, run_id: RunId) -> str:
        answer = self.app.direct({"action": "status", "run": run_id})
        return str(answer["run"]["status"])

    def ask(self, act: Coroutine[Any, Any, T]) -> T:
        """Do something in the sandbox's loop, between two invocations."""
        return self.app._loop().run(act)  # pyright: ignore[reportPrivateUsage]

    def tasks(self) -> int:
        """How many tasks the sandbox's loop holds while nobody calls."""

        async def count() -> int:
            return len(asyncio.all_tasks()) - 1

        return self.ask(count())


@contextmanager
def sandbox(
    *workflows: Workflow[Any, Any],
    clock: Clock | None = None,
    point: Point = straight_on,
    change: Callable[[Parts], Parts] = lambda parts: parts,
    queue: Carried | None = None,
    **options: Any,
) -> Generator[Sandbox]:
    """A sandbox on memory parts, changed by ``change``."""
    world, carried = bench(*workflows, clock=clock, point=point), queue or Carried()
    parts = change(attrs.evolve(world.parts, transport=carried))
    app = serverless(workflows=workflows, parts=lambda: parts, **options)
    try:
        yield Sandbox(app, parts, carried)
    finally:
        app.close()


def event(bodies: Sequence[Any], *, queue: str = QUEUE, groups: Sequence[str] = ()) -> dict[str, Any]:
    """What SQS hands to a function: messages ``m0``, ``m1``, …"""
    records: list[dict[str, Any]] = [
        {
            "messageId": f"m{place}",
            "receiptHandle": f"handle {place}",
            "body": body,
            "attributes": {"ApproximateReceiveCount": "1"} | ({"MessageGroupId": groups[place]} if groups else {}),
            "messageAttributes": {},
            "eventSource": "aws:sqs",
            "eventSourceARN": queue,
            "awsRegion": "eu-central-1",
        }
        for place, body in enumerate(bodies)
    ]
    return {"Records": records}


def pointing(run_id: RunId, stage: str, index: int = 0) -> str:
    return write_pointer(Pointer(run_id=run_id, stage=StageId(stage), index=index))


def returned(answer: Mapping[str, Any]) -> list[str]:
    """The messages that shall come again."""
    assert set(answer) == {"batchItemFailures"}
    return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]


def deliver(box: Sandbox) -> list[str]:
    """Hand the function what it sent, until there is no more; which messages came again."""
    again: list[str] = []
    while bodies := box.queue.taken():
        again += returned(box.app.sqs(event(bodies), Remaining(60)))
    return again


async def claimed_elsewhere(box: Sandbox, *workflows: Workflow[Any, Any]) -> list[Lease]:
    """Leases of another worker, for a minute."""
    routes = [one.plan.route for one in workflows]
    return await box.parts.store.claim(routes, limit=9, length=timedelta(minutes=1), worker=WorkerId("another"))


class FailsFor:
    """A store that cannot be asked about some runs: no claim that names one of them is answered."""

    def __init__(self) -> None:
        self._stores: list[Persistence] = []
        self.runs: set[RunId] = set()
        self.stumbles = 0  #: so many claims are not answered
        self.claims = 0
        self.down = False

    async def claim(
        self,
        routes: Collection[Route],
        *,
        limit: int,
        length: timedelta,
        worker: WorkerId,
        only: Sequence[JobKey] | None = None,
    ) -> list[Lease]:
        self.claims += 1
        if self.stumbles:
            self.stumbles -= 1
            raise UnavailableError("the connection broke")
        if self.down or self.runs.intersection(key.run_id for key in only or ()):
            raise UnavailableError("not this one")
        return await self._stores[0].claim(routes, limit=limit, length=length, worker=worker, only=only)

    async def now(self) -> Any:
        if self.down:
            raise UnavailableError("down")
        return await self._stores[0].now()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stores[0], name)

    def over(self, parts: Parts) -> Parts:
        """The parts, with this before their store."""
        self._stores.append(parts.store)
        return attrs.evolve(parts, store=cast("Persistence", self))
