"""Escapes: code that reaches out of a simulated world — for a thread, a socket, a process — is told so at once.

Otherwise it would wait for an answer that virtual time never brings, or change with every run what happens when.
"""

import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from threading import Thread, get_ident
from traceback import walk_stack
from typing import Any, NoReturn

from mainspring.hosts.simulation.loop import SimLoop, SimulationError

THREADS = (
    "Make the stage a plain `def` (its body runs at one moment of virtual time), or await what the thread would do"
)
FAKES = "Give the body a fake of what it calls: simulate(…, fakes=…)"

ASKED_OF_LOOPS: Mapping[str, tuple[str, str]] = {
    "run_in_executor": ("a thread", THREADS),
    **dict.fromkeys(("subprocess_exec", "subprocess_shell"), ("a process", FAKES)),
    **dict.fromkeys(("add_signal_handler", "connect_read_pipe", "connect_write_pipe"), ("the system", FAKES)),
    **dict.fromkeys(
        (
            *("create_connection", "create_server", "create_unix_connection", "create_unix_server", "start_tls"),
            *("create_datagram_endpoint", "getaddrinfo", "getnameinfo", "add_reader", "add_writer", "sendfile"),
            *("sock_connect", "sock_accept", "sock_recv", "sock_recv_into", "sock_sendall", "sock_sendfile"),
            *("sock_recvfrom", "sock_recvfrom_into", "sock_sendto"),
        ),
        ("a socket", FAKES),
    ),
}
"""What only a real event loop can do, what that is, and what to do instead."""

ASKED_OF_THE_SYSTEM: Mapping[str, tuple[str, str]] = {
    **dict.fromkeys(("socket.connect", "socket.getaddrinfo", "socket.sendto"), ("a socket", FAKES)),
    **dict.fromkeys(("subprocess.Popen", "os.system", "os.posix_spawn", "os.fork"), ("a process", FAKES)),
}
"""The same by the names of Python's audit events. Not all versions tell of threads: ``Thread.start`` is replaced."""


class Escapes:
    """The escapes from one world; the first ends it."""

    def __init__(self, loop: SimLoop) -> None:
        self.first: SimulationError | None = None
        self._loop = loop
        self._home = get_ident()
        for name, (what, instead) in ASKED_OF_LOOPS.items():
            setattr(loop, name, self._refusing(f"loop.{name}", what, instead))
        self._call_soon: Callable[..., Any] = loop.call_soon
        loop.call_soon_threadsafe = self._from_here  # type: ignore[method-assign]

    def asked(self, event: str, what: str, instead: str) -> None:
        """The system was asked for something, by whoever."""
        if get_ident() == self._home:
            self._refuse(event, what, instead)

    def _refusing(self, call: str, what: str, instead: str) -> Callable[..., NoReturn]:
        def refuse(*_: Any, **__: Any) -> NoReturn:
            self._refuse(call, what, instead)

        return refuse

    def _from_here(self, callback: Any, *args: Any, context: Any = None) -> Any:
        if get_ident() != self._home:
            self._refuse("loop.call_soon_threadsafe, from a thread", "a thread", THREADS)
        return self._call_soon(callback, *args, context=context)

    def _refuse(self, call: str, what: str, instead: str) -> NoReturn:
        error = SimulationError(f"{_whereabouts()} reaches for {what} ({call}): a simulated world has none. {instead}")
        if self.first is None:
            self.first = error
            self._loop.stop()
        raise error


_watching: Escapes | None = None
_hooked = False


@contextmanager
def watched(loop: SimLoop) -> Generator[Escapes]:
    """Refuse and remember what reaches out of the loop's world while the ``with`` lasts."""
    global _watching, _hooked  # noqa: PLW0603  audit hooks stay for as long as the process
    if not _hooked:
        _hooked = True
        sys.addaudithook(_audit)
    start = Thread.start

    def guarded(thread: Thread) -> None:
        escapes.asked("Thread.start", "a thread", THREADS)
        start(thread)

    outer, escapes = _watching, Escapes(loop)
    _watching, Thread.start = escapes, guarded  # type: ignore[method-assign,assignment]
    try:
        yield escapes
    finally:
        _watching, Thread.start = outer, start  # type: ignore[method-assign]


def _audit(event: str, _: tuple[Any, ...]) -> None:
    if _watching is not None and event in ASKED_OF_THE_SYSTEM:
        _watching.asked(event, *ASKED_OF_THE_SYSTEM[event])


def _whereabouts() -> str:
    """The innermost line that is neither Python's nor ours."""
    for frame, line in walk_stack(None):
        module = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if module not in sys.stdlib_module_names and module != "mainspring":
            code = frame.f_code
            return f"{code.co_name} ({code.co_filename}:{line})"
    return "a body"
