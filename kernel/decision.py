"""What a command, a decision and the facts are: the vocabulary of every command module.

A command module reads top to bottom: the command, its result, ``load`` (reads only), ``decide`` (pure).
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, ClassVar, Generic, TypeVar

import attrs

from mainspring.ports.change import Change
from mainspring.ports.names import RunId
from mainspring.ports.persistence import RunStore

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


@attrs.frozen(kw_only=True, slots=False)
class Command(Generic[R_co]):
    """An imperative: what shall happen. ``R`` is its result's type."""

    name: ClassVar[str]
    idempotency_key: str | None = None  #: the same key answers the same; other content under it is a conflict


@attrs.frozen(kw_only=True, slots=False)
class Facts:
    """All that a decision may know beside command and state: drawn once per dispatch, reused on every repeat.

    A repeated create thereby meets its own row.
    """

    now: datetime  #: the store's time
    run_id: RunId  #: for a run to be created
    random: float  #: in [0, 1)


@attrs.frozen
class Decision(Generic[R]):
    """The result, and what must be written for it to be true. ``change`` is None when nothing is to be written."""

    result: R
    change: Change | None = None


@attrs.frozen(kw_only=True)
class Repeat:
    """What happened to earlier commits of this very dispatch."""

    stale: int = 0  #: so many were refused
    unsure: bool = False  #: one may have been written all the same: look for its traces


@attrs.frozen(kw_only=True)
class Handler(Generic[R]):
    """Binds a command to its ``load`` and ``decide``.

    ``load(command, store, facts, repeat)`` reads what ``decide`` needs.
    """

    load: Callable[[Any, RunStore, Facts, Repeat], Awaitable[Any]]
    decide: Callable[[Any, Any, Facts], Decision[R]]
    #: reads the result's JSON, for commands that take idempotency keys
    recall: Callable[[str], R] | None = None
    #: False: the first decision is made without reading; a refused Change makes it read
    loads_first: bool = True
