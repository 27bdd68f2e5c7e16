"""Stages and types that the tests of definitions share."""

from typing import Any, NewType, TypedDict

import attrs

from mainspring.kernel.context import Context
from mainspring.kernel.declare import stage
from mainspring.kernel.stage import Stage

Name = NewType("Name", str)


@attrs.frozen
class Document:
    path: str


@attrs.frozen
class Letter(Document):
    sender: str


@attrs.frozen
class Text:
    body: str


@attrs.frozen
class Limits:
    words: int = 100


class Findings(TypedDict):
    count: int
    tone: str


@stage
async def extract(ctx: Context, document: Document) -> Text:
    return Text(document.path)


@stage
def count(ctx: Context[Limits], text: Text) -> int:
    return len(text.body)


@stage
async def tone(ctx: Context, text: Text) -> str:
    return "calm"


@stage
async def report(ctx: Context, findings: Findings) -> str:
    return findings["tone"]


@stage
def split(ctx: Context, text: Text) -> list[Text]:
    return [text]


@stage
def total(ctx: Context, counts: list[int]) -> int:
    return sum(counts)


@stage
def announce(ctx: Context) -> None:
    """Takes no input."""


@stage
def anything(ctx: Context, value: Any) -> Any:
    return value


def taking_and_giving(id: str, taken: Any, given: Any) -> Stage[Any, Any]:
    """A stage with these types, for what a checker would not let us write."""
    return attrs.evolve(anything, id=id, input_type=taken, output_type=given)
