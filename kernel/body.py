"""Reading a body: what its signature says it takes and gives.

Imported by ``kernel.declare``. A body is ``(ctx)`` or ``(ctx, value)``, async or plain. That is decided once, when
it is decorated, so that a mistake is told at the line that makes it.
"""

import inspect
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from types import SimpleNamespace
from typing import Any, Never, NoReturn, get_args, get_origin, get_type_hints

import attrs

from mainspring.kernel.context import Context
from mainspring.ports.errors import DefinitionError

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_SHAPE = "a body is `(ctx: Context)` or `(ctx: Context, value: Input)`"


@attrs.frozen(kw_only=True)
class Signature:
    """What a body takes and gives."""

    is_async: bool
    takes_input: bool
    input_type: Any
    output_type: Any
    config_type: Any  #: None: no config


def read(body: Callable[..., Any]) -> Signature:
    """The signature of a function that is to be a body.

    Raises:
        DefinitionError: no function, a generator, the wrong parameters, or an annotation that cannot be resolved; names
            the function and the parameter.
    """
    place = name_of(body)
    _refuse_other_kinds(body, place)
    parameters = _parameters(body, place)
    context = _hint(body, parameters[0].name, place)
    taken = parameters[1].name if len(parameters) > 1 else None
    is_async = inspect.iscoroutinefunction(body) or inspect.iscoroutinefunction(inspect.unwrap(body))
    output = _hint(body, "return", place)
    if not is_async and get_origin(output) in (Awaitable, Coroutine):
        raise DefinitionError(f"{place} returns {output}: write it as `async def` instead")
    return Signature(
        is_async=is_async,
        takes_input=taken is not None,
        input_type=Any if taken is None else _hint(body, taken, place),
        output_type=output,
        config_type=_config_type(context, parameters[0].name, place),
    )


def name_of(body: Any) -> str:
    """How messages call a body: its dotted name where it has one."""
    name = getattr(body, "__qualname__", None)
    return f"{body.__module__}.{name}" if name else repr(body)


def _refuse_other_kinds(body: Any, place: str) -> None:
    if not (inspect.isfunction(body) or inspect.ismethod(body)):
        raise DefinitionError(f"{place} is no function: decorate a `def` or an `async def` (a class's method, bound)")
    if inspect.isgeneratorfunction(body) or inspect.isasyncgenfunction(body):
        raise DefinitionError(f"{place} is a generator: return the whole output instead of yielding it")


def _parameters(body: Callable[..., Any], place: str) -> list[inspect.Parameter]:
    """The one or two parameters a host will fill."""
    filled: list[inspect.Parameter] = []
    for parameter in inspect.signature(body).parameters.values():
        if parameter.kind in _VARIADIC:
            stars = "*" if parameter.kind is parameter.VAR_POSITIONAL else "**"
            raise DefinitionError(
                f"{place} takes {stars}{parameter.name}: {_SHAPE}; a decorator under @stage needs functools.wraps"
            )
        if parameter.kind in _POSITIONAL and (len(filled) < 2 or parameter.default is parameter.empty):
            filled.append(parameter)
        elif parameter.default is parameter.empty:
            raise DefinitionError(
                f"{place}: the keyword-only parameter {parameter.name!r} has no default, and nothing will be passed "
                f"for it; {_SHAPE}"
            )
    if not 1 <= len(filled) <= 2:
        names = ", ".join(parameter.name for parameter in filled) or "nothing"
        raise DefinitionError(f"{place} takes {names}: {_SHAPE}; put several values into one class")
    return filled


def _config_type(context: Any, parameter: str, place: str) -> Any:
    if context in (Any, Context):
        return None
    if get_origin(context) is not Context:
        raise DefinitionError(
            f"{place}: the first parameter {parameter!r} is annotated {context!r}; it is the context: "
            "annotate it `Context` or `Context[YourConfig]`"
        )
    (config,) = get_args(context)
    return None if config in (Any, type(None)) else config


def _hint(body: Callable[..., Any], parameter: str, place: str) -> Any:
    """The resolved annotation of one parameter; ``Any`` where there is none."""
    function = inspect.unwrap(body)
    try:
        annotations: Mapping[str, Any] = function.__annotations__
        if parameter not in annotations:
            return Any
        alone = SimpleNamespace(__annotations__={parameter: annotations[parameter]})
        names = getattr(function, "__globals__", {})
        hint = get_type_hints(alone, names, _enclosed(function), include_extras=True)[parameter]
    except Exception as error:
        subject = "return type" if parameter == "return" else f"parameter {parameter!r}"
        raise DefinitionError(
            f"{place}: the annotation of its {subject} cannot be resolved ({error}); define or import the type at "
            "module level (not inside a function, not under TYPE_CHECKING), or drop `from __future__ import "
            "annotations`"
        ) from error
    return Any if hint in (object, Never, NoReturn) else hint


def _enclosed(function: Any) -> dict[str, Any]:
    """The variables of enclosing functions that the body itself uses: local classes are often among them."""
    found: dict[str, Any] = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # assigned later
            continue
    return found
