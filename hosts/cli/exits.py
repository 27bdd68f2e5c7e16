"""Exit codes, and what becomes of an error: one line for people on stderr, or one JSON document on stdout.

Rule: an expected error never shows a traceback, and no error shows a password.
"""

import os
import re
import sys
import traceback
from collections.abc import Sequence
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup
from typing_extensions import override

from mainspring.hosts.cli.output import print_document, print_error
from mainspring.hosts.execution.failures import redacted
from mainspring.hosts.node_worker.process import EXIT_DIED as WORKER_DIED
from mainspring.hosts.node_worker.watchdog import EXIT_DEAD_LOOP as LOOP_DEAD
from mainspring.hosts.node_worker.worker import WorkerDiedError
from mainspring.ports.errors import CommandError, InvalidValueError, MainspringError, PortError

COMPLETED = 0
FAILED = 1
USAGE = 2
CANCELLED = 3
STORE = 4
TIMED_OUT = 5
INTERNAL = 70
INTERRUPTED = 130
BROKEN_PIPE = 141

EXIT_CODES = (
    f"Exit codes: {COMPLETED} done (run: completed), {FAILED} the run failed (doctor: a check did), {USAGE} wrong "
    f"usage or input, {CANCELLED} the run was cancelled, {STORE} the store failed, {TIMED_OUT} timed out waiting, "
    f"{WORKER_DIED} the worker died (start it anew), {LOOP_DEAD} its event loop was dead, {INTERNAL} a bug in "
    f"Mainspring, {INTERRUPTED} interrupted."
)

_DATABASE = "--database"
_PASSWORD = re.compile(r"(?:[^:/@]*://)?[^:/@]*:(?P<password>.+)@", re.DOTALL)


class LeftRunError(MainspringError):
    """This process leaves a run that has not ended."""

    def __init__(self, run_id: str, message: str) -> None:
        super().__init__(message)
        self.run_id = run_id


class WaitingTimedOutError(LeftRunError):
    """The run did not end in the time given."""


class InterruptedRunError(LeftRunError):
    """Ctrl-C: the process stops, the run stays."""


def code_of(error: BaseException) -> int:
    """The exit code that tells of this error."""
    match error:
        case WaitingTimedOutError():
            return TIMED_OUT
        case InterruptedRunError() | KeyboardInterrupt():
            return INTERRUPTED
        case WorkerDiedError():
            return WORKER_DIED
        case CommandError() | typer.TyperException():
            return USAGE
        case PortError():
            return STORE
        case _:
            return INTERNAL


class CommandLine(TyperGroup):
    """The top command: turns whatever its commands raise into words and an exit code."""

    @override
    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the command line and exit; see ``EXIT_CODES``."""
        given = list(sys.argv[1:] if args is None else args)
        try:
            code = super().main(given, prog_name, complete_var, False, windows_expand_args, **extra)
            sys.stdout.flush()
        except SystemExit as end:
            if isinstance(end.__context__, BrokenPipeError):
                sys.exit(_pipe_closed())
            raise
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  each ends in words and a code
            _fail(error, given)
        if standalone_mode:
            sys.exit(code if isinstance(code, int) else COMPLETED)
        return code


def _fail(error: BaseException, arguments: list[str]) -> NoReturn:
    code = code_of(error)
    message, problems = _told(error)
    secrets = _secrets(arguments)
    if "--json" in arguments:
        listed = [{"path": one.path, "message": _masked(one.message, secrets)} for one in problems]
        told = {"type": _kind(error, code), "message": _masked(message, secrets), "problems": listed}
        print_document({"error": told} | ({"run": error.run_id} if isinstance(error, LeftRunError) else {}))
    else:
        lines = [f"{one.path}: {one.message}" for one in problems]
        print_error(_masked(message, secrets), [_masked(line, secrets) for line in lines])
    if code == INTERNAL:
        print_error(_masked("".join(traceback.format_exception(error)), secrets), multiline=True)
    sys.exit(code)


def _told(error: BaseException) -> tuple[str, Sequence[Any]]:
    match error:
        case InvalidValueError():
            return f"invalid {error.subject}", error.problems
        case typer.TyperException():
            return error.format_message(), ()
        case KeyboardInterrupt() | typer.Abort():
            return "interrupted", ()
        case MainspringError():
            return str(error), ()
        case _:
            return f"this is a bug in Mainspring: {type(error).__name__}: {error}", ()


def _kind(error: BaseException, code: int) -> str:
    if isinstance(error, typer.TyperException):
        return "UsageError"
    return "InternalError" if code == INTERNAL else type(error).__name__


def _secrets(arguments: Sequence[str]) -> list[str]:
    """The passwords of the store's URL, however malformed it is, and wherever it came from."""
    urls = [os.environ.get("MAINSPRING_DATABASE", "")]
    for place, argument in enumerate(arguments):
        if argument == _DATABASE:
            urls += arguments[place + 1 : place + 2]
        elif argument.startswith(_DATABASE + "="):
            urls.append(argument.removeprefix(_DATABASE + "="))
    return [found["password"] for url in urls if (found := _PASSWORD.match(url))]


def _masked(text: str, secrets: Sequence[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, "***")
    return redacted(text)


def _pipe_closed() -> int:
    """The reader of our output has gone: nothing of it may fail again while the interpreter ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return BROKEN_PIPE
