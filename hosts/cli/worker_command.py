"""``mainspring worker``: a worker process for the workflows named."""

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from mainspring.hosts.cli import targets
from mainspring.hosts.cli.options import Database, LogLevel
from mainspring.hosts.cli.output import print_document, results_only_on_stdout
from mainspring.hosts.cli.stores import open_shared, settings
from mainspring.hosts.execution.registry import WorkflowRegistry
from mainspring.hosts.node_worker.logs import configure
from mainspring.hosts.node_worker.process import ProcessSettings, run_worker
from mainspring.hosts.node_worker.worker import Worker

if TYPE_CHECKING:
    from mainspring.hosts.node_worker.status import StatusServer


def worker(
    *,
    target: Annotated[list[str], typer.Argument(help="module[:name], or path/to/file.py[:name].", show_default=False)],
    database: Database = None,
    concurrency: Annotated[int | None, typer.Option(help="Attempts at once; default 100.")] = None,
    lease: Annotated[float | None, typer.Option(metavar="SECONDS", min=0.1, help="Default 30.")] = None,
    name: Annotated[str | None, typer.Option(help="The readable part of the worker's id.")] = None,
    watchdog: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", min=0.1, help="How long the loop may be dead; default: the lease."),
    ] = None,
    until_idle: Annotated[
        bool, typer.Option("--until-idle", help="Exit 0 when no run of these is unfinished.")
    ] = False,
    uvloop: Annotated[bool | None, typer.Option(help="Default: if it is installed.")] = None,
    metrics_port: Annotated[
        int | None,
        typer.Option(min=0, max=65_535, help="Tell operators how it is on this port of 127.0.0.1; default: nowhere."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Log lines as JSON, on stderr; a summary on stdout.")] = False,
    log_level: LogLevel = "info",
) -> None:
    """Work on runs of the workflows named until told to stop; without a name, on all that a module or file holds.

    SIGTERM or Ctrl-C: bodies may finish within the grace, what is left is given back, exit 0. A second one: everything
    is given back at once. A third: the process ends where it stands, and its leases run out. It also ends when a body
    blocks the event loop for longer than the lease, or a loop of its own fails: start it anew.
    """
    configure(as_json=as_json, level=log_level)
    with results_only_on_stdout():
        workflows = [workflow for one in target for workflow in targets.every(one)]
        length = None if lease is None else timedelta(seconds=lease)
        chosen = settings().worker(concurrency=concurrency, name=name, lease=length)
        status = _status(metrics_port)
        parts = open_shared(database)
        if status is not None:
            from mainspring.engine import observed

            parts = observed(parts, exposition=status.exposition)
        registry = WorkflowRegistry(workflows, parts.codec)
        at_work = Worker(parts, registry, chosen)
        process = ProcessSettings(
            watchdog=None if watchdog is None else timedelta(seconds=watchdog), uvloop=uvloop, until_idle=until_idle
        )
        code = run_worker(at_work, registry, parts, process, status)
    if as_json:
        print_document({"worker": at_work.id, "attempts": at_work.executor.finished, "exit": code})
    raise typer.Exit(code)


def _status(port: int | None) -> "StatusServer | None":
    """What tells operators how the worker is, if they want to know.

    Raises:
        SettingsError: it cannot listen, or must not.
    """
    wanted = settings().status(port)
    if wanted is None:
        return None
    from mainspring.engine import open_exposition
    from mainspring.hosts.node_worker.status import StatusServer

    return StatusServer(wanted, open_exposition())
