"""Threads for plain function bodies: what a host asks of them, and daemon threads that give it.

Daemon: a body that never returns must not keep the process from ending. A thread whose body was given up on keeps its
place until the body returns; such stuck threads are counted.
"""

import threading
from asyncio import AbstractEventLoop, Future, get_running_loop
from collections.abc import Callable
from contextvars import Context, copy_context
from queue import SimpleQueue
from typing import Any, Protocol

_Job = tuple[AbstractEventLoop, "Future[Any]", Context, Callable[[], Any]]


class Threads(Protocol):
    """Where plain function bodies are called: in threads, or by a simulator that allows none."""

    @property
    def stuck(self) -> int:
        """How many bodies were given up on and have not returned."""
        ...

    def run(self, body: Callable[[], Any]) -> "Future[Any]":
        """Call the body, with the caller's context variables; a future on the running loop.

        What the body raises comes out of the future, in a ``Raised``. Cancelling the future does not stop the body.
        """
        ...

    def give_up(self, future: "Future[Any]") -> None:
        """Nobody waits for this body any more: count it as stuck until it returns."""
        ...

    def close(self) -> None:
        """Nothing more will be run; bodies under way are left to themselves."""
        ...


class BodyThreads:
    """Threads that grow with need and are reused; ``run`` never waits for one, hosts bound how many they call."""

    def __init__(self) -> None:
        self._idle: list[SimpleQueue[_Job | None]] = []
        self._lock = threading.Lock()
        self.stuck = 0  #: bodies that were given up on and have not returned

    def run(self, body: Callable[[], Any]) -> "Future[Any]":
        """Call the body in a thread; a future on the running loop. Cancelling the future does not stop the thread."""
        loop = get_running_loop()
        future: Future[Any] = loop.create_future()
        job = (loop, future, copy_context(), body)
        with self._lock:
            inbox = self._idle.pop() if self._idle else None
        if inbox is None:
            inbox = SimpleQueue[_Job | None]()
            threading.Thread(target=self._work, args=(inbox,), name="mainspring body", daemon=True).start()
        inbox.put(job)
        return future

    def give_up(self, future: "Future[Any]") -> None:
        """Count the body as stuck until it returns."""
        self.stuck += 1
        future.add_done_callback(self._came_back)

    def close(self) -> None:
        """Let idle threads end."""
        with self._lock:
            idle, self._idle = self._idle, []
        for inbox in idle:
            inbox.put(None)

    def _came_back(self, future: "Future[Any]") -> None:
        self.stuck -= 1
        if not future.cancelled():
            future.exception()

    def _work(self, inbox: "SimpleQueue[_Job | None]") -> None:
        while (job := inbox.get()) is not None:
            loop, future, context, body = job
            result: Any = None
            error: BaseException | None = None
            try:
                result = context.run(body)
            except BaseException as raised:  # noqa: BLE001  nothing a body raises may end the thread
                error = raised
            del job, body, context
            with self._lock:
                self._idle.append(inbox)
            try:
                loop.call_soon_threadsafe(_deliver, future, result, error)
            except RuntimeError:  # the loop has closed: nobody waits any more
                return
            del future, result, error


class Raised(Exception):  # noqa: N818  an envelope, not an error
    """Carries what a body raised across a future, which takes no StopIteration and lets SystemExit loose."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(error)
        self.error = error


def _deliver(future: "Future[Any]", result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(Raised(error))
