"""``mainspring run``: start a workflow and execute it here."""

import json
import shlex
import sys
from typing import Annotated

import typer

from mainspring.adapters.msgspec import MsgspecCodec
from mainspring.hosts.cli import exits, targets
from mainspring.hosts.cli.documents import run_document
from mainspring.hosts.cli.drawing import span
from mainspring.hosts.cli.execution import Ended, Order, execute
from mainspring.hosts.cli.following import follow
from mainspring.hosts.cli.inputs import config, input_text, plain
from mainspring.hosts.cli.options import AsJson, Database, LogLevel
from mainspring.hosts.cli.output import note, print_document, results_only_on_stdout
from mainspring.hosts.cli.stores import open_for_work
from mainspring.hosts.node_worker.logs import configure
from mainspring.ports.records import Run, RunStatus

_CODES = {
    RunStatus.COMPLETED: exits.COMPLETED,
    RunStatus.FAILED: exits.FAILED,
    RunStatus.CANCELLED: exits.CANCELLED,
}


def run(
    *,
    target: Annotated[str, typer.Argument(help="module:name, or path/to/file.py[:name].", show_default=False)],
    input: Annotated[str | None, typer.Option(metavar="JSON", help="The run's input; - reads stdin.")] = None,
    input_file: Annotated[str | None, typer.Option(metavar="FILE", help="The same from a file; - is stdin.")] = None,
    key: Annotated[str | None, typer.Option(help="One run per key, ever: start it again to go on.")] = None,
    config_json: Annotated[str | None, typer.Option("--config", metavar="JSON", help="{stage id: config}.")] = None,
    database: Database = None,
    timeout: Annotated[float | None, typer.Option(metavar="SECONDS", min=0, help="How long to wait.")] = None,
    priority: Annotated[int | None, typer.Option(help="Higher first.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="A text to find it by; may be given several times.")] = None,
    as_json: AsJson = False,
    log_level: LogLevel = "warning",
) -> None:
    """Start a run of a workflow and execute it in this process, on the embedded store; print its output as JSON.

    What bodies print goes to stderr. Ctrl-C gives the stages back and leaves the run: start it again with the same
    --key, or start a worker, and it goes on.
    """
    configure(level=log_level)
    with results_only_on_stdout():
        workflow = targets.one(target)
        codec = MsgspecCodec()
        text = input_text(input, input_file)
        order = Order(
            workflow=workflow,
            value=None if text is None else plain(text, codec, f"input of workflow {workflow.workflow_id}"),
            config=config(config_json, codec),
            key=key,
            priority=priority,
            tags=tag or [],
            patience=timeout,
            resume=_resume(target, database),
        )
        watched = not as_json and sys.stderr.isatty()
        ended = execute(open_for_work(database), order, follow if watched else None)
    _tell(ended, as_json=as_json)
    raise typer.Exit(_CODES[ended.run.status])


def _resume(target: str, database: str | None) -> str:
    if database is not None and database.startswith("memory:"):
        return "It was in memory, and ends with this process."
    where = "" if database is None else f" --database {shlex.quote(database)}"
    return f"To go on with it: mainspring worker {shlex.quote(target)}{where}"


def _tell(ended: Ended, *, as_json: bool) -> None:
    output = None if ended.output is None else json.loads(ended.output)
    if as_json:
        print_document({**run_document(ended.run), "created": ended.created, "output": output})
        return
    if ended.output is not None:
        print_document(output)
    _conclude(ended.run)


def _conclude(run: Run) -> None:
    """The last word, for people."""
    took = span(run.started_at or run.created_at, run.finished_at)
    if run.failure is not None:
        where = f" in stage {run.failure.stage}" if run.failure.stage else ""
        kind = f"{run.failure.type}: " if run.failure.type else ""
        note(f"run {run.id} failed{where} after {took} ({run.failure.code}): {kind}{run.failure.message}")
    elif run.status is RunStatus.CANCELLED:
        note(f"run {run.id} was cancelled" + (f": {run.cancel_reason}" if run.cancel_reason else ""))
    else:
        note(f"run {run.id} completed in {took}")
