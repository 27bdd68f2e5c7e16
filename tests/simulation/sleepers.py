"""Sleepers: a host that suspends its attempts until a signal comes, as bodies that wait will do.

It speaks to the kernel by commands alone. It reads a run's inbox when it claims, and again only when it is told that a
wake-up came ("stays"): what it has seen is told by the wake count that it carries from the claim on.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from mainspring import Context, Workflow, stage
from mainspring.adapters.msgspec import MsgspecCodec
from mainspring.hosts.execution.parts import Parts
from mainspring.hosts.execution.registry import WorkflowRegistry
from mainspring.hosts.simulation.lives import Life
from mainspring.hosts.simulation.trial import Trial
from mainspring.kernel.commands.attempt_finish import Cancelled, Completed, FinishAttempt, Outcome, Suspended
from mainspring.kernel.dispatcher import Dispatcher
from mainspring.ports.errors import LeaseLostError, PortError
from mainspring.ports.names import Payload, WorkerId
from mainspring.ports.records import Job, Lease, RunStatus, Signal

LEASE = timedelta(seconds=12)


@stage
async def ask(ctx: Context, question: str) -> str:
    """Completes at once."""
    return question


@stage
async def hear(ctx: Context, question: str) -> str:
    """Completes with the first signal that has come."""
    return question


wait = Workflow("wait", version="1").pipe(ask).pipe(hear)
SERVED = WorkflowRegistry([wait], MsgspecCodec())


def place_sleeper(trial: Trial, name: str) -> None:
    """Put a sleeper into the world."""

    async def boot(life: Life) -> None:
        parts = trial.parts(life)
        sleeper = Sleeper(trial, parts, WorkerId(life.name))
        while True:
            try:
                await parts.refresh_clock()
                await sleeper.serve()
            except PortError:
                await asyncio.sleep(0.5)

    trial.world.host(name, boot)


class Sleeper:
    """Claims jobs of the one workflow, and mostly waits."""

    def __init__(self, trial: Trial, parts: Parts, worker: WorkerId) -> None:
        self._trial = trial
        self._parts = parts
        self._worker = worker
        self._plan = SERVED.all()[0].plan
        self._dispatcher = Dispatcher(parts.store, parts.clock, parts.ids)

    async def serve(self) -> None:
        """Claim and attend, for ever."""
        while True:
            leases = await self._parts.store.claim(SERVED.routes(), limit=2, length=LEASE, worker=self._worker)
            for lease in leases:
                await self._attend(lease)
            if not leases:
                await asyncio.sleep(3.0)

    async def _attend(self, lease: Lease) -> None:
        job: Job | None = lease.job
        cancelling = lease.run.status is RunStatus.CANCELLING
        inbox = await self._parts.store.inbox(lease.run.id)
        while job is not None:
            await asyncio.sleep(self._parts.ids.random() * 3)  # a body has other things to do before it waits
            command = FinishAttempt(job=job, plan=self._plan, outcome=self._outcome(job, inbox, cancelling))
            (answer,), _ = await self._dispatcher.dispatch_all(lease.run.id, [command], None)
            if isinstance(answer, LeaseLostError):
                self._trial.world.counts["sleeper lost its lease"] += 1
                return
            if isinstance(command.outcome, Suspended):
                self._trial.world.counts["stayed for a wake-up" if answer.stays else "suspended"] += 1
            job = answer.job
            if answer.stays:
                run = await self._parts.store.run(lease.run.id)
                cancelling = run is not None and run.status is RunStatus.CANCELLING
                inbox = await self._parts.store.inbox(lease.run.id)

    def _outcome(self, job: Job, heard: Sequence[Signal], cancelling: bool) -> Outcome:
        if cancelling:
            return Cancelled()
        if job.stage == ask.id:
            return Completed(output=Payload('"asked"'))
        if heard:
            return Completed(output=heard[0].payload)
        return Suspended(until=None)
