"""``@stage`` and ``@workflow``: functions become definitions.

Imported by the face, tests and examples.
"""

from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any, Protocol, TypeVar, overload

from mainspring.kernel import body as bodies
from mainspring.kernel import check as checks
from mainspring.kernel.context import Context
from mainspring.kernel.definition import Workflow
from mainspring.kernel.pending import Pending
from mainspring.kernel.retry import Retry
from mainspring.kernel.stage import Stage

I = TypeVar("I")  # noqa: E741  the input; the documentation calls it so
O = TypeVar("O")  # noqa: E741  the output
S = TypeVar("S")  # what a check needs to know
R = TypeVar("R")  # what a check returns
S_co = TypeVar("S_co", covariant=True)
R_co = TypeVar("R_co", covariant=True)

AsyncBody = Callable[[Context[Any], I], Coroutine[Any, Any, O]]
PlainBody = Callable[[Context[Any], I], O]
AsyncSource = Callable[[Context[Any]], Coroutine[Any, Any, O]]
PlainSource = Callable[[Context[Any]], O]


class StageDecorator(Protocol):
    """What ``stage(…)`` gives when it is called with options."""

    @overload
    def __call__(self, body: AsyncBody[I, O], /) -> Stage[I, O]: ...
    @overload
    def __call__(self, body: PlainBody[I, O], /) -> Stage[I, O]: ...
    @overload
    def __call__(self, body: AsyncSource[O], /) -> Stage[object, O]: ...
    @overload
    def __call__(self, body: PlainSource[O], /) -> Stage[object, O]: ...


class PolledStageDecorator(Protocol[S_co, R_co]):
    """What ``stage(poll=check)`` gives, for a check that takes an ``S`` and returns an ``R``, ``Pending[S]`` among it.

    Its body gives what the check gives, ``Pending`` in a state the check takes, or one of the two. (That ``O`` is what
    is left of ``R`` is said of ``self``: said of the check, mypy would take every ``Context`` for a doubt.)
    """

    @overload
    def __call__(
        self: "PolledStageDecorator[S, O | Pending[S]]", body: AsyncBody[I, O | Pending[S]], /
    ) -> Stage[I, O]: ...
    @overload
    def __call__(
        self: "PolledStageDecorator[S, O | Pending[S]]", body: PlainBody[I, O | Pending[S]], /
    ) -> Stage[I, O]: ...
    @overload
    def __call__(
        self: "PolledStageDecorator[S, O | Pending[S]]", body: AsyncSource[O | Pending[S]], /
    ) -> Stage[object, O]: ...
    @overload
    def __call__(
        self: "PolledStageDecorator[S, O | Pending[S]]", body: PlainSource[O | Pending[S]], /
    ) -> Stage[object, O]: ...


class WorkflowDecorator(Protocol):
    """What ``workflow(…)`` gives when it is called with options."""

    @overload
    def __call__(self, body: AsyncBody[I, O], /) -> Workflow[I, O]: ...
    @overload
    def __call__(self, body: PlainBody[I, O], /) -> Workflow[I, O]: ...
    @overload
    def __call__(self, body: AsyncSource[O], /) -> Workflow[None, O]: ...
    @overload
    def __call__(self, body: PlainSource[O], /) -> Workflow[None, O]: ...


@overload
def stage(body: AsyncBody[I, O], /) -> Stage[I, O]: ...
@overload
def stage(body: PlainBody[I, O], /) -> Stage[I, O]: ...
@overload
def stage(body: AsyncSource[O], /) -> Stage[object, O]: ...
@overload
def stage(body: PlainSource[O], /) -> Stage[object, O]: ...
@overload
def stage(
    *, poll: AsyncBody[S, R], id: str | None = None, retry: Retry = ..., timeout: timedelta | None = None
) -> PolledStageDecorator[S, R]: ...
@overload
def stage(
    *, poll: PlainBody[S, R], id: str | None = None, retry: Retry = ..., timeout: timedelta | None = None
) -> PolledStageDecorator[S, R]: ...
@overload
def stage(*, id: str | None = None, retry: Retry = ..., timeout: timedelta | None = None) -> StageDecorator: ...
def stage(
    body: Callable[..., Any] | None = None,
    /,
    *,
    id: str | None = None,
    retry: Retry = Retry(),
    timeout: timedelta | None = None,
    poll: Callable[..., Any] | None = None,
) -> Any:
    """Make a stage of a body: ``@stage`` or ``@stage(retry=…, timeout=…)``.

    The body is ``(ctx, value)`` or ``(ctx)``, ``async def`` or plain ``def``; its annotations are its types. Without an
    ``id`` the stage is called as the function. ``timeout`` bounds one attempt; None: the worker's maximum.

    A body that only begins something (a batch at a provider, a build) returns ``Pending(state)``; from then on ``poll``
    is called with that state, as ``(ctx, state)``, until it returns the output; retried and bounded like the body.

    Raises:
        DefinitionError: it cannot be a body, or an option cannot be followed; says where and what to do.
    """

    def decorate(body: Callable[..., Any]) -> Stage[Any, Any]:
        return _stage(body, id, retry, timeout, poll)

    return decorate if body is None else decorate(body)


@overload
def workflow(body: AsyncBody[I, O], /) -> Workflow[I, O]: ...
@overload
def workflow(body: PlainBody[I, O], /) -> Workflow[I, O]: ...
@overload
def workflow(body: AsyncSource[O], /) -> Workflow[None, O]: ...
@overload
def workflow(body: PlainSource[O], /) -> Workflow[None, O]: ...
@overload
def workflow(
    *,
    version: str = "1",
    id: str | None = None,
    queue: str = "default",
    priority: int = 0,
    retry: Retry = ...,
    timeout: timedelta | None = None,
    attempt_timeout: timedelta | None = None,
) -> WorkflowDecorator: ...
def workflow(
    body: Callable[..., Any] | None = None,
    /,
    *,
    version: str = "1",
    id: str | None = None,
    queue: str = "default",
    priority: int = 0,
    retry: Retry = Retry(),
    timeout: timedelta | None = None,
    attempt_timeout: timedelta | None = None,
) -> Any:
    """Make a workflow of one stage: ``@workflow`` or ``@workflow(version="2", …)``.

    Workflow and stage are called as the function; ``id`` names the workflow otherwise. ``timeout`` bounds the whole
    run, ``attempt_timeout`` one attempt at the body (None: the worker's maximum).

    Raises:
        DefinitionError: it cannot be a body, or an option cannot be followed; says where and what to do.
    """

    def decorate(body: Callable[..., Any]) -> Workflow[Any, Any]:
        only = _stage(body, None, retry, attempt_timeout)
        name = only.id if id is None else id
        return Workflow(name, version=version, queue=queue, priority=priority, timeout=timeout).pipe(only)

    return decorate if body is None else decorate(body)


def _stage(
    body: Callable[..., Any],
    id: str | None,
    retry: Retry,
    timeout: timedelta | None,
    poll: Callable[..., Any] | None = None,
) -> Stage[Any, Any]:
    signature, check = checks.read(bodies.read(body), bodies.name_of(body), poll)
    return Stage(
        id=body.__name__ if id is None else id,
        body=body,
        is_async=signature.is_async,
        takes_input=signature.takes_input,
        input_type=signature.input_type,
        output_type=signature.output_type,
        config_type=signature.config_type,
        retry=retry,
        timeout=timeout,
        check=check,
    )
