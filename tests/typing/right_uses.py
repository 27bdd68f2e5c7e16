"""What users rightly write; each expression has exactly this type in both checkers."""

# pyright: reportUnnecessaryTypeIgnoreComment=true

from typing import Any, TypeVar, assert_type

from mainspring.kernel.context import Context
from mainspring.kernel.definition import Joined, Start, Workflow
from mainspring.kernel.stage import Stage
from tests.typing.stages import (
    Document,
    Letter,
    Text,
    anything,
    checkout,
    count,
    empty,
    extract,
    nightly,
    pair,
    rest,
    split,
    submit,
    submit_list,
    submit_or_give,
    tone,
    total,
    write,
)

I = TypeVar("I")  # noqa: E741
O = TypeVar("O")  # noqa: E741


def started(workflow: Workflow[I, O], value: I) -> O:
    """Typed as ``Mainspring.start`` is."""
    raise NotImplementedError


def decorators() -> None:
    assert_type(extract, Stage[Document, Text])
    assert_type(count, Stage[Text, int])
    assert_type(tone, Stage[Text, str])
    assert_type(write, Stage[object, Letter])
    assert_type(rest, Stage[object, None])
    assert_type(anything, Stage[Any, Any])
    assert_type(checkout, Workflow[Document, Text])
    assert_type(nightly, Workflow[None, int])
    assert_type(extract.named("other"), Stage[Document, Text])
    assert_type(extract.with_options(timeout=None), Stage[Document, Text])


def polled() -> None:
    assert_type(submit, Stage[Document, Text])
    assert_type(submit_or_give, Stage[object, Text])
    assert_type(submit_list, Stage[Text, Text | None])
    assert_type(empty.pipe(submit).pipe(count), Workflow[Document, int])


def pipes() -> None:
    assert_type(empty, Workflow[Start, Start])
    assert_type(empty.pipe(extract), Workflow[Document, Text])
    assert_type(empty.pipe(extract).pipe(count), Workflow[Document, int])
    assert_type(empty.pipe(write).pipe(extract), Workflow[object, Text])  # a Letter is a Document
    assert_type(empty.pipe(extract).pipe(rest), Workflow[Document, None])
    assert_type(empty.pipe(extract).pipe(anything).pipe(total), Workflow[Document, int])
    assert_type(empty.pipe(anything).pipe(count), Workflow[Any, int])


def groups() -> None:
    group = empty.pipe(extract).parallel(count, tone)
    assert_type(group, Workflow[Document, Joined])
    assert_type(group.pipe(total), Workflow[Document, int])
    assert_type(group.parallel(extract, total), Workflow[Document, Joined])
    assert_type(empty.parallel(count, tone, split.named("third")), Workflow[Text, Joined])
    assert_type(empty.parallel(write, extract), Workflow[Document, Joined])


def maps() -> None:
    assert_type(empty.map(count), Workflow[list[Text], list[int]])
    assert_type(empty.pipe(split).map(count, max_parallel=4), Workflow[Text, list[int]])
    assert_type(empty.pipe(split).map(count).pipe(total), Workflow[Text, int])
    assert_type(empty.pipe(pair).map(count), Workflow[Text, list[int]])
    assert_type(empty.pipe(split).map(rest), Workflow[Text, list[None]])
    assert_type(empty.pipe(extract).pipe(anything).map(count), Workflow[Document, list[int]])


def additions() -> None:
    begun = empty.add(extract)
    assert_type(begun, Workflow[Document, Text])
    assert_type(begun.add(count, after=extract), Workflow[Document, Any])
    assert_type(begun.add(count, after=[extract, "mood"]).pipe(total), Workflow[Document, int])
    assert_type(begun.add(count, after="extract").parallel(total, tone), Workflow[Document, Joined])


def starts() -> None:
    assert_type(started(checkout, Document("path")), Text)
    assert_type(started(checkout, Letter("path", "sender")), Text)
    assert_type(started(nightly, None), int)
    assert_type(started(empty.map(count), [Text("a")]), list[int])
    assert_type(started(empty.pipe(write).pipe(extract), None), Text)


def outputs(ctx: Context) -> None:
    assert_type(ctx.output(extract), Text)
    assert_type(ctx.output("extract"), Any)
    assert_type(ctx.outputs(count), list[int])
