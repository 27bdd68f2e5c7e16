"""What users may write wrongly; every marked line is an error in both checkers, and no other is.

The marks are ``type: ignore`` comments, which both checkers heed and report where they hide nothing, so that this file
passes ``make types``. ``test_uses.py`` takes the marks away and expects the errors.
"""

# pyright: reportUnnecessaryTypeIgnoreComment=true

from datetime import timedelta

from mainspring.kernel.context import Context
from mainspring.kernel.declare import stage, workflow
from mainspring.kernel.definition import Workflow
from mainspring.kernel.pending import Pending
from mainspring.kernel.retry import Retry
from tests.typing.right_uses import started
from tests.typing.stages import (
    Document,
    Text,
    checkout,
    count,
    empty,
    extract,
    nightly,
    pair,
    ready,
    split,
    submit,
    tone,
    total,
)


def pipes() -> None:
    empty.pipe(extract).pipe(extract)  # type: ignore[arg-type]
    empty.pipe(extract).pipe(count).pipe(tone)  # type: ignore[arg-type]
    empty.pipe(split).pipe(count)  # type: ignore[arg-type]
    empty.pipe(len)  # type: ignore[call-overload]


def groups() -> None:
    empty.pipe(extract).parallel(count, extract)  # type: ignore[arg-type]
    empty.pipe(extract).parallel(count)  # type: ignore[call-arg]
    started(empty.parallel(extract, count), Document("path"))  # type: ignore[misc]


def maps() -> None:
    empty.pipe(extract).map(count)  # type: ignore[misc]
    empty.pipe(split).map(extract)  # type: ignore[arg-type]
    empty.pipe(pair).map(total)  # type: ignore[arg-type]
    empty.pipe(split).map(count, max_parallel="4")  # type: ignore[arg-type]
    empty.pipe(extract).parallel(count, tone).map(total)  # type: ignore[misc]


def additions() -> None:
    empty.add("extract")  # type: ignore[call-overload]
    empty.add(extract).add(count, after=3)  # type: ignore[arg-type]


def starts() -> None:
    started(checkout, Text("body"))  # type: ignore[misc]
    started(checkout, None)  # type: ignore[misc]
    started(nightly, 3)  # type: ignore[misc]
    started(empty.map(count), Text("body"))  # type: ignore[misc]
    _: int = started(checkout, Document("path"))  # type: ignore[assignment]


def options() -> None:
    Workflow("x")  # type: ignore[call-arg]
    Workflow("x", version=3)  # type: ignore[arg-type]
    Workflow("x", version="3", timeout=30)  # type: ignore[arg-type]
    stage(retry=3)  # type: ignore[call-overload]
    workflow(version=3)  # type: ignore[call-overload]
    extract.with_options(timeout=3)  # type: ignore[arg-type]
    Retry(initial=1.0)  # type: ignore[arg-type]
    extract.id = "other"  # type: ignore[misc, assignment]


@stage  # type: ignore[arg-type]
def takes_two(ctx: Context, document: Document, text: Text) -> None:
    pass


@stage  # type: ignore[arg-type]
def has_no_context(document: Document) -> None:
    pass


@stage(timeout=timedelta(seconds=1))  # type: ignore[arg-type]
def needs_a_keyword(ctx: Context, *, document: Document) -> None:
    pass


@workflow(version="1")  # type: ignore[arg-type]
async def takes_nothing() -> None:
    pass


@stage(poll=ready)  # type: ignore[arg-type]
async def is_pending_in_another_state(ctx: Context, document: Document) -> Pending[int]:
    return Pending(1)


@stage(poll=ready)  # type: ignore[arg-type]
async def gives_what_its_check_does_not(ctx: Context, document: Document) -> int:
    return 1


def polls() -> None:
    stage(poll=count)  # type: ignore[call-overload]
    Pending(1, every=5)  # type: ignore[arg-type]
    empty.pipe(submit).pipe(extract)  # type: ignore[arg-type]


async def artifacts(ctx: Context) -> None:
    await ctx.artifact("a.txt", "text")  # type: ignore[arg-type]


def outputs(ctx: Context) -> None:
    _: str = ctx.output(extract)  # type: ignore[assignment]
    ctx.output(3)  # type: ignore[call-overload]
