"""What tests of pointers on SQS share: transports over clients that misbehave as asked, and what is done with hints."""

import asyncio
from collections.abc import Sequence

from mainspring.adapters.aws.sqs_job_transport import SqsJobTransport
from mainspring.ports.contracts.job_transport import LONG
from mainspring.ports.contracts.world import LEASE_LENGTH, ROUTE, WORKER, World
from mainspring.ports.records import Hint, JobKey, Lease
from tests.aws.queues import Queue
from tests.aws.sqs_faults import FaultySqs, Pauses


class Transports:
    """Opens transports, which pause for no time, and closes them."""

    def __init__(self) -> None:
        self._opened: list[SqsJobTransport] = []

    def __call__(self, queue: Queue, pauses: Pauses | None = None) -> tuple[SqsJobTransport, FaultySqs]:
        client = FaultySqs(queue.client)
        self._opened.append(SqsJobTransport(queue.url, client=client, sleep=pauses or Pauses()))
        return self._opened[-1], client

    async def close(self) -> None:
        for transport in self._opened:
            await transport.close()


async def received(transport: SqsJobTransport, number: int) -> list[Hint]:
    """So many hints, however they come."""
    hints: list[Hint] = []
    async with asyncio.timeout(30):
        while len(hints) < number:
            hints += await transport.receive(number - len(hints), LONG)
    return hints


async def settled(transport: SqsJobTransport, hints: Sequence[Hint]) -> None:
    for hint in hints:
        await transport.settle(hint)


async def claimed(world: World, hints: Sequence[Hint]) -> list[Lease]:
    """A claim of the jobs that are pointed at."""
    keys = [JobKey(hint.pointer.run_id, hint.pointer.stage, hint.pointer.index) for hint in hints if hint.pointer]
    return await world.store.claim([ROUTE], limit=len(keys), length=LEASE_LENGTH, worker=WORKER, only=keys)
