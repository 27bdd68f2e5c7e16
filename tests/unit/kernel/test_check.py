"""A body and its check together: what the stage takes and gives."""

from datetime import timedelta
from typing import Any

import pytest

from mainspring.kernel.context import Context
from mainspring.kernel.declare import stage, workflow
from mainspring.kernel.pending import Pending
from mainspring.kernel.retry import Retry
from mainspring.ports.errors import DefinitionError
from tests.unit.kernel.bodies import Document, Limits, Text

MINUTE = timedelta(minutes=1)


async def ready(ctx: Context, batch: str) -> Text | Pending[str]:
    return Text(batch)


def test_a_stage_gives_what_its_check_gives_when_its_body_only_begins() -> None:
    @stage(poll=ready, retry=Retry(max_attempts=5), timeout=MINUTE)
    def submit(ctx: Context, document: Document) -> Pending[str]:
        return Pending(document.path)

    assert (submit.input_type, submit.output_type, submit.is_async) == (Document, Text, False)
    assert submit.check is not None
    assert (submit.check.body, submit.check.is_async, submit.check.state_type) == (ready, True, str)
    again = submit.named("again").with_options(timeout=None)
    assert again.check is submit.check
    assert (again.retry.max_attempts, again.timeout) == (5, None)


def test_a_body_that_may_be_ready_at_once_gives_either() -> None:
    @stage(poll=ready)
    async def submit(ctx: Context) -> Text | Pending[str]:
        return Pending("b")

    async def cached(ctx: Context) -> int | Pending[str] | None:
        return None

    either: Any = stage(poll=ready)  # the checkers would not let us write this

    assert submit.output_type is Text
    made = either(cached)
    assert made.output_type == int | None | Text


def test_what_is_not_annotated_may_be_anything() -> None:
    def check(ctx: Any, state: Any) -> Any:
        return state

    @stage(poll=check)
    def submit(ctx: Context) -> Pending[int]:
        return Pending(1)

    assert submit.output_type is Any
    assert submit.check is not None
    assert submit.check.state_type is Any


def test_the_config_may_be_named_by_either() -> None:
    def check(ctx: Context[Limits], state: int) -> int:
        return state

    @stage(poll=check)
    def submit(ctx: Context) -> Pending[int]:
        return Pending(1)

    assert submit.config_type is Limits

    with pytest.raises(DefinitionError, match="one config"):

        @stage(poll=check)
        def other(ctx: Context[Document]) -> Pending[int]:
            return Pending(1)


def test_a_body_that_may_be_pending_needs_a_check() -> None:
    with pytest.raises(DefinitionError, match="has no check"):

        @stage
        def submit(ctx: Context) -> int | Pending[int]:
            return 1

    with pytest.raises(DefinitionError, match="has no check"):

        @workflow
        def whole(ctx: Context) -> Pending[int]:
            return Pending(1)


def test_a_check_takes_the_state() -> None:
    def stateless(ctx: Context) -> int:
        return 1

    untyped: Any = stateless
    with pytest.raises(DefinitionError, match="takes no state"):

        @stage(poll=untyped)
        def submit(ctx: Context) -> Pending[int]:
            return Pending(1)
