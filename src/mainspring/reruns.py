"""Turns the wish to begin a run anew into a command: finds the code to go on with, prepares what is mapped over."""

from typing import Any

from mainspring.hosts.execution.parts import Parts
from mainspring.hosts.execution.payloads import Payloads
from mainspring.hosts.execution.registry import Served, WorkflowRegistry
from mainspring.kernel.commands.common import require_run
from mainspring.kernel.commands.run_rerun import RerunRun
from mainspring.kernel.plan import StagePlan
from mainspring.kernel.reruns import Rerun, rerun
from mainspring.ports.errors import NotFoundError
from mainspring.ports.names import Payload, RunId, StageId
from mainspring.ports.records import TERMINAL_RUN_STATUSES, Run


class Reruns:
    """Makes ``RerunRun`` commands."""

    def __init__(self, parts: Parts, registry: WorkflowRegistry, payloads: Payloads) -> None:
        self._store = parts.store
        self._ids = parts.ids
        self._registry = registry
        self._payloads = payloads

    async def command(self, run_id: RunId, from_stage: StageId | None, key: str | None, trace: str | None) -> RerunRun:
        """The command that begins this run anew.

        Raises:
            NotFoundError: no such run or stage, or its workflow is not known here.
            UnfinishedError: a stage before the chosen one never completed.
            PortError: what is mapped over could not be read or stored.
        """
        run = require_run(await self._store.run(run_id), run_id)
        plan, new_id = self._served(run).plan, self._ids.new_run_id()
        elements: dict[StageId, tuple[Payload, ...]] = {}
        known = None if key is None else await self._store.run_by_key(plan.workflow, key)
        if known is None and run.status in TERMINAL_RUN_STATUSES:  # else the command tells which, or what it is doing
            records = await self._store.stages(run_id)
            found = rerun(plan, run, records, await self._store.graph(run.fingerprint), from_stage)
            for stage in found.apart:
                subject = f"what stage {stage.id} is mapped over"
                text = await self._payloads.text(_mapped_over(stage, run, found))
                plain = self._payloads.codec.decode(text, list[Any], subject)
                elements[stage.id] = await self._payloads.stored_elements(plain, new_id, "input", subject)
        return RerunRun(
            run_id=run_id, plan=plan, from_stage=from_stage, elements=elements, key=key, new_id=new_id, trace=trace
        )

    def _served(self, run: Run) -> Served:
        """The code of the run's own version, else what there is of the workflow: the newest."""
        same = self._registry.by_fingerprint(run.workflow, run.version, run.fingerprint)
        if same is not None:
            return same
        try:
            return self._registry.workflow(run.workflow, run.version)
        except NotFoundError:
            return self._registry.workflow(run.workflow)


def _mapped_over(stage: StagePlan, run: Run, found: Rerun) -> Payload:
    """The run's input, or the output of the stage above."""
    if not stage.after:
        return run.input
    row = next(row for row in found.taken if row.stage == stage.after[0])
    return row.output or Payload("null")
