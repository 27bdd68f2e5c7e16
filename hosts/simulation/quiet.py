"""Quiet: a simulation in the midst of somebody's test process leaves nothing behind, and says nothing.

Hundreds of worlds full of crashes log much and leave coroutines that never ran. What they change of the process —
structlog's configuration, warnings, ``random``'s state, hooks of asynchronous generators — is as before afterwards.
"""

import gc
import random
import sys
import warnings
from collections.abc import AsyncGenerator, Generator, MutableMapping
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import structlog

from mainspring.hosts.simulation.lives import current_life
from mainspring.hosts.simulation.world import World

CRITICAL, INFO = 50, 20

WHERE = frozenset({"event", "run", "stage", "index", "attempt"})
"""Fields that are told elsewhere in the timeline."""


@contextmanager
def kept_apart(*, many: bool = True) -> Generator[None]:
    """Simulate in here; ``many`` worlds, or one without crashes, whose garbage can wait."""
    hooks, chance, collecting = sys.get_asyncgen_hooks(), random.getstate(), gc.isenabled()
    with ExitStack() as stack:
        stack.enter_context(_logging_of_our_own())
        stack.callback(_resume, hooks, chance, collecting=collecting)
        stack.enter_context(warnings.catch_warnings())
        warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
        sys.set_asyncgen_hooks(firstiter=None, finalizer=_close)
        if not many:
            yield
            return
        gc.disable()  # a world's garbage goes with the world: it is collected between two of them
        ours = gc.get_freeze_count() == 0
        if ours:
            gc.freeze()  # what was there before is nobody's garbage: to look at it again and again takes long
        try:
            yield
        finally:
            gc.collect()  # while its warnings are ignored
            if ours:
                gc.unfreeze()


def _resume(hooks: Any, chance: Any, *, collecting: bool) -> None:
    sys.set_asyncgen_hooks(*hooks)
    random.setstate(chance)
    if collecting:
        gc.enable()


def _close(generator: AsyncGenerator[Any, Any]) -> None:
    """A generator of a process that is no more; it is not the real loop's to close."""
    with suppress(BaseException):
        generator.aclose().send(None)


@contextmanager
def _logging_of_our_own() -> Generator[None]:
    """No lines while worlds run; the configuration comes back, and so do the loggers that were bound for good."""
    configured, before = structlog.is_configured(), structlog.get_config()
    bound: list[tuple[dict[str, Any], Any]] = [(own, own.pop("bind")) for own in our_loggers() if "bind" in own]
    silent()
    try:
        yield
    finally:
        if configured:
            structlog.configure(**before)
        else:
            structlog.reset_defaults()
        for own, bind in bound:
            own["bind"] = bind


def our_loggers() -> list[dict[str, Any]]:
    """What our modules' loggers keep: with ``cache_logger_on_first_use`` they heed no new configuration."""
    ours = [module for name, module in list(sys.modules.items()) if name.partition(".")[0] == "mainspring"]
    found: list[Any] = [logger for module in ours if (logger := vars(module).get("logger")) is not None]
    return [vars(logger) for logger in found if hasattr(logger, "__dict__")]


def silent() -> None:
    """Drop every line, as early as can be."""
    _configure(CRITICAL, _drop)


def telling(world: World) -> None:
    """Put the lines of bodies, and our own from warnings on, into the world's timeline."""

    def tell(logger: "_Named", method: str, event: MutableMapping[str, Any]) -> Any:
        ours = logger.name.startswith("mainspring.") and logger.name != "mainspring.body"
        if not ours or method not in {"info", "debug"}:
            words = [f"{name}={value}" for name, value in event.items() if name not in WHERE]
            where = f" in {event['stage']}" if "stage" in event else ""
            world.saw(f"log{where}: " + "  ".join([str(event.get("event")), *words]), current_life())
        raise structlog.DropEvent

    _configure(INFO, tell)


def _configure(level: int, processor: Any) -> None:
    structlog.configure(
        processors=[processor],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=_Named,
        context_class=dict,
        cache_logger_on_first_use=False,
    )


def _drop(_: object, __: str, ___: MutableMapping[str, Any]) -> Any:
    raise structlog.DropEvent


class _Named:
    """A logger that writes nothing: all are dropped before."""

    def __init__(self, *names: str) -> None:
        self.name = names[0] if names else ""

    def msg(self, message: str) -> None:
        """Nothing."""

    debug = info = warning = error = critical = exception = msg
