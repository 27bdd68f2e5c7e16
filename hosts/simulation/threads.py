"""Threads of a simulated world: a plain function's body runs at one moment, on the only thread there is."""

from asyncio import Future
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

from mainspring.hosts.execution.threads import Raised
from mainspring.hosts.simulation.loop import running_loop


class SimThreads:
    """Runs plain bodies in the loop, one callback each."""

    stuck = 0  #: a body that runs at one moment never is

    def run(self, body: Callable[[], Any]) -> "Future[Any]":
        """Call the body soon; a future on the running loop."""
        loop = running_loop()
        future: Future[Any] = loop.create_future()

        def call() -> None:
            try:
                result = body()
            except BaseException as error:  # noqa: BLE001  as in a real thread: nothing a body raises ends its host
                if not future.done():
                    future.set_exception(Raised(error))
                return
            if not future.done():
                future.set_result(result)

        loop.call_soon(call, context=copy_context())
        return future

    def give_up(self, future: "Future[Any]") -> None:
        """Nothing is left behind."""

    def close(self) -> None:
        """Nothing to let go of."""
