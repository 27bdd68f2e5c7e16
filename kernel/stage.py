"""Stage: a body and what its author said about it. The unit that travels as a job.

Imported by everybody who names stages. It holds types as data and calls nothing; ``kernel.declare`` makes stages from
functions, ``kernel.definition`` puts them into graphs.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Generic, TypeVar

import attrs

from mainspring.kernel.identifiers import checked_timeout, stage_id
from mainspring.kernel.retry import Retry
from mainspring.ports.errors import DefinitionError
from mainspring.ports.names import StageId

I_contra = TypeVar("I_contra", contravariant=True)
O_co = TypeVar("O_co", covariant=True)


@attrs.frozen(kw_only=True, eq=False)
class Check:
    """What tells whether a pending stage is ready: ``check(ctx, state)`` gives its output, or ``Pending``."""

    body: Callable[..., Any]
    is_async: bool
    state_type: Any


@attrs.frozen(kw_only=True, eq=False)
class Stage(Generic[I_contra, O_co]):
    """What ``@stage`` makes of a function: ``Stage[I, O]`` takes an ``I`` and gives an ``O``.

    Immutable; the same stage may stand in any number of workflows, and more than once in one, each under a name of its
    own. Call ``.body`` to call the function itself.
    """

    id: StageId = attrs.field(converter=stage_id)
    body: Callable[..., Any]  #: called with the context, and with the input if it ``takes_input``
    is_async: bool  #: a coroutine function; else a plain one, which runs in a thread
    takes_input: bool = True  #: False: ``body(ctx)``; it may follow anything, and ignores what that gives
    input_type: Any = Any  #: as annotated, resolved; ``Any`` where nothing is said
    output_type: Any = Any  #: likewise; of one instance when the stage is mapped
    config_type: Any = None  #: ``C`` of ``ctx: Context[C]``; None: it takes no config
    retry: Retry = Retry()
    timeout: timedelta | None = None  #: of one attempt; None: the worker's maximum
    check: Check | None = None  #: asked from then on where the body returned ``Pending``

    def __attrs_post_init__(self) -> None:
        """Refuse options that cannot be followed."""
        checked_timeout(self.timeout, f"stage {self.id!r}")
        if not isinstance(self.retry, Retry):  # pyright: ignore[reportUnnecessaryIsInstance]  users without a checker
            raise DefinitionError(f"stage {self.id!r}: retry must be a Retry(…), not {self.retry!r}")

    def named(self, id: str) -> "Stage[I_contra, O_co]":
        """The same stage under another id, for a second use in one workflow.

        Raises:
            DefinitionError: the id is malformed or reserved.
        """
        return attrs.evolve(self, id=id)

    def with_options(
        self, *, retry: Retry | None = None, timeout: timedelta | attrs.NothingType | None = attrs.NOTHING
    ) -> "Stage[I_contra, O_co]":
        """The same stage with other options; what is left out stays, ``timeout=None`` takes the time-out away.

        Raises:
            DefinitionError: an option cannot be followed.
        """
        return attrs.evolve(
            self,
            retry=self.retry if retry is None else retry,
            timeout=self.timeout if timeout is attrs.NOTHING else timeout,
        )
