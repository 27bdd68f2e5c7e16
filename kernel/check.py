"""Reading a body together with its check: what a stage gives that may be pending for a while.

Imported by ``kernel.declare``. Decided once, where the stage is declared, like the signature of the body itself.
"""

from collections.abc import Callable
from types import UnionType
from typing import Any, Union, get_args, get_origin

import attrs

from mainspring.kernel import body as bodies
from mainspring.kernel.pending import Pending
from mainspring.kernel.stage import Check
from mainspring.ports.errors import DefinitionError


def read(body: bodies.Signature, place: str, poll: Callable[..., Any] | None) -> tuple[bodies.Signature, Check | None]:
    """What a body and its check take and give together: the output without ``Pending``, either's config.

    Raises:
        DefinitionError: the check cannot be one, or is missing, or the two do not go together.
    """
    output, is_pending = _without_pending(body.output_type)
    if poll is None:
        if is_pending:
            raise DefinitionError(
                f"{place} returns Pending, but its stage has no check: declare it with @stage(poll=check), where "
                "check(ctx, state) returns the output, or Pending again"
            )
        return body, None
    name = f"check {bodies.name_of(poll)}"
    check = bodies.read(poll)
    if not check.takes_input:
        raise DefinitionError(f"{name} of {place} takes no state: a check is `(ctx: Context, state: State)`")
    if None not in (body.config_type, check.config_type) and body.config_type != check.config_type:
        raise DefinitionError(
            f"{name} takes the config {check.config_type!r}, {place} {body.config_type!r}: a stage has one config"
        )
    ready, _ = _without_pending(check.output_type)
    both = attrs.evolve(body, output_type=_either(output, ready), config_type=body.config_type or check.config_type)
    return both, Check(body=poll, is_async=check.is_async, state_type=check.input_type)


def _without_pending(hint: Any) -> tuple[Any, bool]:
    """The type without ``Pending`` (``Pending`` itself, where nothing else is left), and whether it was there."""
    members = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    others = tuple(member for member in members if Pending not in (member, get_origin(member)))
    if len(others) == len(members):
        return hint, False
    return Union[others] if others else Pending, True  # noqa: UP007  types that are known at run time only


def _either(output: Any, ready: Any) -> Any:
    """What a stage gives whose body gives the one and whose check the other, or never anything but ``Pending``."""
    given = [one for one in (output, ready) if one is not Pending]
    if not given or Any in given:
        return Any
    return Union[tuple(given)]  # noqa: UP007
