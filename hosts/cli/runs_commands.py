"""``mainspring runs``: look at runs, stop them, begin them anew. Only the last needs the code of their workflows."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from mainspring.engine import Mainspring
from mainspring.hosts.cli import targets
from mainspring.hosts.cli.documents import run_document, view_document
from mainspring.hosts.cli.drawing import drawn_list, drawn_run
from mainspring.hosts.cli.following import follow
from mainspring.hosts.cli.options import AsJson, Database
from mainspring.hosts.cli.output import note, out, print_document
from mainspring.hosts.cli.reading import RunView, read_run
from mainspring.hosts.cli.stores import open_existing
from mainspring.hosts.execution.payloads import Payloads
from mainspring.hosts.node_worker.logs import configure
from mainspring.kernel.definition import Workflow
from mainspring.ports.names import RunId
from mainspring.ports.records import Run, RunStatus
from mainspring.ports.trace import without_trace

T = TypeVar("T")

app = typer.Typer(help="Look at runs, stop them, begin them anew.", no_args_is_help=True)

RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="The run's id.", show_default=False)]


@app.command("list")
def list_runs(
    *,
    workflow: Annotated[str | None, typer.Option(help="Of this workflow.")] = None,
    status: Annotated[list[RunStatus] | None, typer.Option(help="In this status; may be given several times.")] = None,
    tag: Annotated[str | None, typer.Option(help="With this tag.")] = None,
    key: Annotated[str | None, typer.Option(help="Started under this key.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 20,
    before: Annotated[str | None, typer.Option(metavar="RUN", help="Those created before this one.")] = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """List runs, newest first."""

    async def read(engine: Mainspring) -> tuple[tuple[Run, ...], RunId | None, datetime]:
        page = await engine.runs(
            workflow=workflow,
            status=status or (),
            tag=tag,
            key=key,
            limit=limit,
            before=None if before is None else RunId(before),
        )
        return page.runs, page.next, await engine.parts.store.now()

    runs, following, now = _with_store(database, read)
    if as_json:
        print_document({"runs": [run_document(run) for run in runs], "next": following})
        return
    if not runs:
        note("no runs match")
        return
    out().print(drawn_list(runs, now))
    if following is not None:
        note(f"there are more: --before {following}")


@app.command()
def show(
    *,
    run: RunArgument,
    payloads: Annotated[bool, typer.Option("--payloads", help="Input, config and output too.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Stay until it has ended.")] = False,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Draw a run: its graph, what each stage is doing, who works on it, and what went wrong."""

    async def read(engine: Mainspring) -> tuple[RunView, dict[str, Any]]:
        run_id = RunId(run)
        view = await read_run(engine.parts.store, run_id)
        if watch and not view.ended:
            await (engine.client.results.wait(run_id) if as_json else follow(engine.parts, run_id))
            view = await read_run(engine.parts.store, run_id)
        return view, await _payloads(engine, view.run) if payloads else {}

    view, read_payloads = _with_store(database, read)
    if as_json:
        print_document({**view_document(view), **read_payloads})
        return
    out().print(drawn_run(view))
    if payloads:
        print_document(read_payloads)


@app.command()
def cancel(
    *,
    run: RunArgument,
    reason: Annotated[str | None, typer.Option(help="Shown with the run.")] = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Stop a run: at once where nobody works on it, else as soon as its workers have heard of it."""

    async def stop(engine: Mainspring) -> RunStatus:
        return await engine.handle(run).cancel(reason)

    status = _with_store(database, stop)
    if as_json:
        print_document({"run": run, "status": str(status)})
    else:
        note(f"run {run}: {status}")


@app.command()
def rerun(
    *,
    run: RunArgument,
    target: Annotated[str, typer.Argument(help="module:name, or path/to/file.py[:name].", show_default=False)],
    from_stage: Annotated[
        str | None, typer.Option("--from", metavar="STAGE", help="Default: the first that did not complete.")
    ] = None,
    key: Annotated[str | None, typer.Option(help="The new run's: the same once more gives the same run.")] = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Begin a run that has ended anew from one of its stages, as a new run that takes over what completed before."""
    workflows = targets.every(target)

    async def begin(engine: Mainspring) -> tuple[Run, bool]:
        handle = await engine.handle(run).rerun(from_stage, key=key)
        return await handle.describe(), handle.created

    began, created = _with_store(database, begin, workflows)
    if as_json:
        print_document({**run_document(began), "created": created})
    else:
        note(f"run {began.id}: {'begins' if created else 'had begun'} {run} anew from stage {began.rerun_from}")


@app.command()
def artifact(
    *,
    run: RunArgument,
    stage: Annotated[str, typer.Argument(help="The stage that left it.", show_default=False)],
    name: Annotated[str, typer.Argument(help="Its name.", show_default=False)],
    index: Annotated[int, typer.Option(min=0, help="Of a mapped stage's instance.")] = 0,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where to; default: stdout.", show_default=False)
    ] = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Fetch a file that a stage left beside its output."""
    if as_json and output is None:
        raise typer.BadParameter("--json needs --output: stdout is the document's")

    async def read(engine: Mainspring) -> bytes:
        return await engine.handle(run).artifact(stage, name, index=index)

    content = _with_store(database, read)
    if output is None:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    try:
        output.write_bytes(content)
    except OSError as error:
        raise typer.BadParameter(f"{output} cannot be written: {error.strerror}") from error
    if as_json:
        document = {"run": run, "stage": stage, "index": index, "name": name}
        print_document({**document, "file": str(output), "size": len(content)})
    else:
        note(f"{output}: {len(content)} bytes")


def _with_store(
    url: str | None, use: Callable[[Mainspring], Awaitable[T]], workflows: Sequence[Workflow[Any, Any]] = ()
) -> T:
    """Open the store, use it, close it."""
    configure(level="error")

    async def main() -> T:
        async with Mainspring(parts=open_existing(url), worker=False, workflows=workflows) as engine:
            return await use(engine)

    return asyncio.run(main())


async def _payloads(engine: Mainspring, run: Run) -> dict[str, Any]:
    parts = engine.parts
    store = Payloads(parts.codec, parts.blobs, parts.limits)
    config = without_trace(run.config)
    texts = {
        "input": await store.text(run.input),
        "config": None if config is None else await store.text(config),
        "metadata": run.metadata,
        "output": await engine.client.output_text(run) if run.status is RunStatus.COMPLETED else None,
    }
    return {name: None if text is None else json.loads(text) for name, text in texts.items()}
