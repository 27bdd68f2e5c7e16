"""The command line: what its commands are, and the program's entry."""

import inspect
import re
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import typer

from mainspring.hosts.cli import (
    create_queue_command,
    dead_letters_commands,
    doctor_command,
    events_commands,
    migrate_command,
    run_command,
    runs_commands,
    worker_command,
)
from mainspring.hosts.cli.exits import EXIT_CODES, INTERNAL, CommandLine
from mainspring.hosts.node_worker.watchdog import end_within

_ENDING = 3.0
"""Seconds the interpreter may take to end: threads that bodies left behind must not keep the process."""


def _paragraphs(command: Callable[..., None]) -> str:
    """A command's docstring with its paragraphs unwrapped: the terminal has a width of its own."""
    return re.sub(r"(?<!\n)\n(?!\n)", " ", inspect.cleandoc(command.__doc__ or ""))


app = typer.Typer(
    name="mainspring",
    cls=CommandLine,
    help="Durable workflows for Python.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for _name, _command in (
    ("run", run_command.run),
    ("worker", worker_command.worker),
    ("migrate", migrate_command.migrate),
    ("doctor", doctor_command.doctor),
    ("create-queue", create_queue_command.create_queue),
):
    app.command(_name, help=_paragraphs(_command), epilog=EXIT_CODES)(_command)
app.add_typer(runs_commands.app, name="runs")
app.add_typer(events_commands.app, name="events")
app.add_typer(dead_letters_commands.app, name="dead-letters")


def _tell_version(wanted: bool) -> None:  # noqa: FBT001  typer hands the option's value over
    if wanted:
        try:
            found = version("mainspring")
        except PackageNotFoundError:
            found = "of an unknown version"
        typer.echo(f"mainspring {found}")
        raise typer.Exit


@app.callback()
def options(
    *,
    _: Annotated[bool, typer.Option("--version", is_eager=True, callback=_tell_version, help="And exit.")] = False,
) -> None:
    """Durable workflows for Python."""


def main() -> None:
    """Run the command line, and end the process with its exit code whatever bodies have left running."""
    code: int | str | None = INTERNAL
    try:
        app(prog_name="mainspring")
        code = 0
    except SystemExit as end:
        code = end.code
        raise
    finally:
        end_within(_ENDING, code if isinstance(code, int) else 0 if code is None else 1)
