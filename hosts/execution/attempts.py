"""One attempt: from a leased job to its outcome. Decides nothing about the run; the kernel does, from the outcome."""

import asyncio
from datetime import timedelta
from typing import Any

import attrs

from mainspring.hosts.execution.artifacts import Shelf
from mainspring.hosts.execution.bodies import Bodies, Ended
from mainspring.hosts.execution.context import AttemptContext
from mainspring.hosts.execution.failures import failure_of, invalid
from mainspring.hosts.execution.live import Seat, Stop
from mainspring.hosts.execution.mailboxes import Box
from mainspring.hosts.execution.parts import Parts
from mainspring.hosts.execution.payloads import Payloads
from mainspring.hosts.execution.registry import Served
from mainspring.hosts.execution.reports import Report
from mainspring.kernel.advance import group
from mainspring.kernel.commands.attempt_finish import Cancelled, Completed, Failed, NotReady, Outcome
from mainspring.kernel.pending import Pending
from mainspring.kernel.plan import StagePlan
from mainspring.kernel.stage import Stage
from mainspring.ports.errors import InvalidValueError, PortError, Problem
from mainspring.ports.names import Payload, StageId
from mainspring.ports.records import Failure, Job, Run, StageStatus


@attrs.frozen(kw_only=True)
class Released:
    """The attempt ends without a verdict: its lease is gone, or it is given back."""

    reason: Stop
    called: bool = True  #: whether the body was called at all


@attrs.frozen(kw_only=True, slots=False)
class Work:
    """One attempt's place in the world."""

    run: Run
    job: Job
    served: Served
    seat: Seat
    box: Box
    report: Report
    loop: asyncio.AbstractEventLoop  #: on which it is made


class Attempts:
    """Makes attempts: input, body, output."""

    def __init__(self, parts: Parts, payloads: Payloads, bodies: Bodies, maximum: timedelta) -> None:
        self._parts = parts
        self._payloads = payloads
        self._bodies = bodies
        self._maximum = maximum.total_seconds()

    async def make(self, work: Work) -> Outcome | Released:
        """Call the stage's body on its input; its encoded output, or why there is none."""
        shelf = Shelf(self._payloads, work.run.id, work.seat.lease_id, work.loop)
        try:
            return await self._made(work, shelf)
        finally:
            shelf.close()

    async def _made(self, work: Work, shelf: Shelf) -> Outcome | Released:
        stage, plan = work.served.stage(work.job.stage)
        try:
            upstream = await self._upstream(work)
            value, context = await self._prepare(work, stage, plan, upstream, shelf=shelf)
        except InvalidValueError as error:
            return Failed(failure=invalid(error, "invalid_input"), retryable=False)
        except PortError as error:
            return Failed(failure=failure_of(error, code="unavailable"))
        ended = await self._call(work, stage, plan, context, value)
        if ended.stop is not None:
            return self._told(ended, stage, plan)
        if ended.error is not None:
            return Failed(failure=failure_of(ended.error), retryable=not plan.retry.refuses(ended.error))
        is_pending = isinstance(ended.value, Pending)
        if is_pending:
            return await self._not_ready(work, stage, ended.value, shelf)
        return await self._completed(work, stage, ended.value, shelf)

    async def _prepare(
        self,
        work: Work,
        stage: Stage[Any, Any],
        plan: StagePlan,
        upstream: dict[StageId, tuple[Payload, ...]],
        *,
        shelf: Shelf,
    ) -> tuple[Any, AttemptContext]:
        run_input = await self._payloads.text(work.run.input)
        config = None if work.run.config is None else await self._payloads.text(work.run.config)
        context = AttemptContext(
            run=work.run,
            job=work.job,
            served=work.served,
            seat=work.seat,
            payloads=self._payloads,
            upstream=upstream,
            run_input=run_input,
            config=config,
            deadline=None if plan.timeout is None else self._parts.clock.now() + plan.timeout,
            on_progress=work.report.progress,
            shelf=shelf,
        )
        if stage.config_type is not None:
            _ = context.config  # a config that does not fit fails the attempt before the body is called
        return await self._argument(work, stage, plan, upstream, run_input=run_input), context

    async def _argument(
        self,
        work: Work,
        stage: Stage[Any, Any],
        plan: StagePlan,
        upstream: dict[StageId, tuple[Payload, ...]],
        *,
        run_input: Payload,
    ) -> Any:
        """The body's input; for a check the state it left."""
        decode, polling = self._payloads.codec.decode, work.job.polling
        if polling is not None:
            if stage.check is None:
                told = "it waits for its check, but here it is declared without one; bring back poll=, then rerun it"
                raise InvalidValueError(f"stage {stage.id}", (Problem("$", told),))
            text = await self._payloads.text(polling.state)
            return decode(text, stage.check.state_type, f"state of stage {stage.id}")
        if not stage.takes_input:
            return None
        text = await self._input_text(work, plan, upstream, run_input)
        return decode(text, stage.input_type, f"input of stage {stage.id}")

    async def _input_text(
        self, work: Work, plan: StagePlan, upstream: dict[StageId, tuple[Payload, ...]], run_input: Payload
    ) -> Payload:
        """A mapped element, the run's input, the only upstream's output, or ``{stage id: output}``."""
        if work.job.input is not None:
            return await self._payloads.text(work.job.input)
        if not plan.after:
            return run_input
        if plan.mapped:  # over a mapped stage: instance by instance
            return upstream[plan.after[0]][work.job.index]
        if len(plan.after) == 1:
            return self._whole(work.served, plan.after[0], upstream)
        parts = ",".join(f'"{stage}":{self._whole(work.served, stage, upstream)}' for stage in sorted(plan.after))
        return Payload("{" + parts + "}")

    def _whole(self, served: Served, stage: StageId, upstream: dict[StageId, tuple[Payload, ...]]) -> Payload:
        texts = upstream[stage]
        return Payload("[" + ",".join(texts) + "]") if served.plan.stages[stage].mapped else texts[0]

    async def _upstream(self, work: Work) -> dict[StageId, tuple[Payload, ...]]:
        """Outputs of every stage upstream, as text; read once per run and process."""
        wanted = work.served.ancestors[work.job.stage]
        known, order = work.box.outputs, work.served.plan.stages
        if not wanted <= known.keys():
            async with work.box.reading:  # a hundred instances of a map begin at once: one reads, the others find it
                await self._read(work, [stage for stage in order if stage in wanted and stage not in known])
        return {stage: known[stage] for stage in order if stage in wanted}

    async def _read(self, work: Work, missing: list[StageId]) -> None:
        if not missing:
            return
        records = group(await self._parts.store.stages(work.run.id, missing))
        for stage in missing:
            rows = [row for row in records.get(stage, ()) if row.status is StageStatus.COMPLETED]
            self._require(stage, rows, work)
            work.box.outputs[stage] = tuple([await self._payloads.text(row.output or Payload("null")) for row in rows])

    def _require(self, stage: StageId, rows: list[Any], work: Work) -> None:
        if not rows and not work.served.plan.stages[stage].mapped:
            msg = f"stage {work.job.stage!r} was started, but its upstream stage {stage!r} has no output on record"
            raise InvalidValueError(msg, ())

    async def _call(
        self, work: Work, stage: Stage[Any, Any], plan: StagePlan, context: AttemptContext, value: Any
    ) -> Ended:
        limit = self._maximum if plan.timeout is None else plan.timeout.total_seconds()
        check = None if work.job.polling is None else stage.check
        body, is_async = (stage.body, stage.is_async) if check is None else (check.body, check.is_async)
        arguments = (context, value) if check is not None or stage.takes_input else (context,)
        if is_async:
            return await self._bodies.call_async(work.seat, limit, lambda: body(*arguments), work.report.wait)
        return await self._bodies.call_plain(work.seat, limit, lambda: body(*arguments), work.report.wait)

    def _told(self, ended: Ended, stage: Stage[Any, Any], plan: StagePlan) -> Outcome | Released:
        match ended.stop:
            case Stop.TIMED_OUT:
                given = plan.timeout.total_seconds() if plan.timeout is not None else self._maximum
                left = "; it ignored the cancellation and was abandoned" if ended.abandoned else ""
                message = f"stage {stage.id!r} did not end within {given:g} s{left}"
                return Failed(failure=Failure(code="timed_out", type="TimeoutError", message=message))
            case Stop.OUT_OF_TIME:
                message = (
                    f"stage {stage.id!r} did not end within a whole invocation of this function; give the function a"
                    " longer time-out, make the stage shorter, or let a worker serve it"
                )
                return Failed(failure=Failure(code="timed_out", type="TimeoutError", message=message))
            case Stop.CANCELLED:
                return Cancelled()
            case Stop.LEASE_LOST | Stop.SHUTDOWN | None as reason:
                return Released(reason=reason or Stop.SHUTDOWN, called=ended.called)

    async def _not_ready(self, work: Work, stage: Stage[Any, Any], pending: "Pending[Any]", shelf: Shelf) -> Outcome:
        payloads, subject = self._payloads, f"state of stage {stage.id}"
        try:
            if stage.check is None:
                told = "a body may return Pending where its stage has a check; declare it with @stage(poll=check)"
                raise InvalidValueError(f"output of stage {stage.id}", (Problem("$", told),))
            if shelf.names:
                told = (
                    f"a call that returns Pending leaves none, but it left {shelf.names[0]!r}: leave them in the check,"
                    " in the call that returns the output"
                )
                raise InvalidValueError(f"artifacts of stage {stage.id}", (Problem("$", told),))
            text = payloads.codec.encode(pending.state, subject)
            payloads.codec.decode(text, stage.check.state_type, subject)
            state = text if payloads.is_small(text) else await payloads.spill(text, work.run.id, work.seat.lease_id)
        except InvalidValueError as error:
            return Failed(failure=invalid(error, "invalid_output"), retryable=False)
        except PortError as error:
            return Failed(failure=failure_of(error, code="unavailable"))
        return NotReady(state=state, every=pending.every, until=pending.until)

    async def _completed(self, work: Work, stage: Stage[Any, Any], value: Any, shelf: Shelf) -> Outcome:
        payloads, subject = self._payloads, f"output of stage {stage.id}"
        owner = work.seat.lease_id
        try:
            text = payloads.codec.encode(value, subject)
            if stage.output_type is not Any:
                payloads.codec.decode(text, stage.output_type, subject)
            elements = None
            if stage.id in work.served.taken_apart:
                plain = payloads.codec.decode(text, list[Any], subject)  # a tuple or a set is a list by now
                elements = await payloads.stored_elements(plain, work.run.id, owner, subject)
            output = text if payloads.is_small(text) else await payloads.spill(text, work.run.id, owner)
            artifacts = await shelf.taken()
        except InvalidValueError as error:
            return Failed(failure=invalid(error, "invalid_output"), retryable=False)
        except PortError as error:
            return Failed(failure=failure_of(error, code="unavailable"))
        return Completed(output=output, elements=elements, artifacts=artifacts)
