"""Stages of every kind, for right and wrong uses."""

from datetime import timedelta
from typing import Any

import attrs

from mainspring.kernel.context import Context
from mainspring.kernel.declare import stage, workflow
from mainspring.kernel.definition import Workflow
from mainspring.kernel.pending import Pending
from mainspring.kernel.retry import Retry


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
    words: int


@stage
async def extract(ctx: Context, document: Document) -> Text:
    return Text(document.path)


@stage(retry=Retry(max_attempts=5), timeout=timedelta(minutes=10))
def count(ctx: Context[Limits], text: Text) -> int:
    return min(ctx.config.words, len(text.body))


@stage(id="mood")
async def tone(ctx: Context, text: Text) -> str:
    return text.body


@stage
def write(ctx: Context) -> Letter:
    return Letter("path", "sender")


@stage
async def rest(ctx: Context) -> None:
    pass


@stage
def split(ctx: Context, text: Text) -> list[Text]:
    return [text]


@stage
def pair(ctx: Context, text: Text) -> tuple[Text, ...]:
    return (text, text)


@stage
def total(ctx: Context, counts: list[int]) -> int:
    return sum(counts)


@stage
def anything(ctx: Context, value: Any) -> Any:
    return value


async def ready(ctx: Context, batch: Letter) -> Text | Pending[Letter]:
    return Text(batch.path)


def plainly_ready(ctx: Context, batch: list[str]) -> Pending[list[str]] | Text | None:
    return Pending(batch)


@stage(poll=ready, timeout=timedelta(minutes=10))
async def submit(ctx: Context, document: Document) -> Pending[Letter]:
    return Pending(Letter("path", "sender"), every=timedelta(seconds=10))


@stage(poll=ready)
def submit_or_give(ctx: Context) -> Pending[Letter] | Text:
    return Text("body")


@stage(id="batch", poll=plainly_ready)
async def submit_list(ctx: Context[Limits], text: Text) -> Pending[list[str]]:
    return Pending([text.body], until=timedelta(hours=1))


@workflow
async def checkout(ctx: Context, document: Document) -> Text:
    return Text(document.path)


@workflow(version="2", queue="slow", priority=8)
def nightly(ctx: Context) -> int:
    return 1


empty = Workflow("analysis", version="3")
