"""Hosts and their lives: which process a callback belongs to, and what a crash or a freeze does to it.

A life is one process from its start to its death. It is told by a context variable, which every task, timer and
callback inherits from whoever made it. A crash drops the callbacks of the life: no ``except``, no ``finally`` runs.
"""

from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from enum import Enum
from random import Random
from typing import Any

import attrs


class State(Enum):
    """What a life is doing."""

    RUNNING = "running"
    FROZEN = "frozen"  #: stopped as by SIGSTOP: time goes on without it
    DEAD = "dead"


@attrs.define(eq=False)
class Life:
    """One process of a host."""

    host: "Host"
    number: int  #: 1 for a host's first process
    state: State = State.RUNNING
    #: callbacks that came due while it was frozen, in order; or, once it is dead, all that are kept from running
    held: list[Any] = attrs.field(factory=list[Any])
    #: False in the way of a handle: looked at for each callback
    stopped: bool = False

    @property
    def name(self) -> str:
        """``worker-1#2``: the second process of worker-1."""
        return f"{self.host.name}#{self.number}"


Boot = Callable[[Life], Coroutine[Any, Any, None]]
"""Starts a host's process: what runs until it ends or dies."""


@attrs.define(eq=False)
class Host:
    """A place where processes run, one after another: a machine of the world.

    ``latency`` and ``chaos`` are streams of chance of their own, so that a fault here changes no decision elsewhere.
    """

    name: str
    boot: Boot
    latency: Random
    chaos: Random
    restarts: bool = True
    passed: int = 0  #: scheduling points passed so far, by all its lives
    lives: int = 0
    life: Life | None = None
    skew: float = 0.0  #: seconds by which its wall clock is ahead; nothing of Mainspring reads one
    dark_until: float = 0.0  #: it reaches no store, transport or sink until then


LIFE: ContextVar[Life | None] = ContextVar("mainspring_simulated_life", default=None)


def current_life() -> Life | None:
    """The process whose code is running; None: the world itself."""
    return LIFE.get()
