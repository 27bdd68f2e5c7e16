"""Workflows for the command line's tests. They speak to the test by files in ``FLOWS``."""

import asyncio
import os
import sys
from datetime import timedelta
from pathlib import Path

import attrs

from mainspring import NO_RETRY, Context, NonRetryable, Retry, Workflow, stage, workflow

FOLDER = Path(os.environ.get("FLOWS", "."))
EVIL = "no [red]way[/red] \x1b[31m evil\x07"


@attrs.frozen
class Order:
    number: int
    items: list[str]


@attrs.frozen
class Greeting:
    word: str = "Hello"


@stage
def greet(ctx: Context[Greeting], name: str) -> str:
    print("greeting", name)  # noqa: T201
    return f"{ctx.config.word}, {name}!"


greeting = Workflow("greeting", version="1").pipe(greet)


@workflow
async def order(ctx: Context, order: Order) -> int:
    return order.number * len(order.items)


@stage
def count_up(ctx: Context, number: int) -> list[int]:
    return list(range(number))


@stage
async def double(ctx: Context, number: int) -> int:
    return number * 2


@stage
def total(ctx: Context, numbers: list[int]) -> int:
    return sum(numbers)


@stage
def most(ctx: Context, numbers: list[int]) -> int:
    return max(numbers, default=0)


@stage
def report(ctx: Context, both: dict[str, int]) -> dict[str, int]:
    return both


graph = Workflow("graph", version="1").pipe(count_up).map(double).parallel(total, most).pipe(report)


@workflow(retry=Retry(max_attempts=2, initial=timedelta(milliseconds=1)))
async def failing(ctx: Context) -> int:
    if ctx.attempt > 1:
        raise NonRetryable(EVIL)
    raise ValueError(EVIL)


@workflow
async def waiting(ctx: Context) -> str:
    """Ends when it is told to go."""
    ctx.progress(1, 2, EVIL)
    (FOLDER / "waiting").touch()
    while not (FOLDER / "go").exists():
        await asyncio.sleep(0.01)
    return "went"


@workflow(retry=NO_RETRY)
async def leaving(ctx: Context) -> None:
    async def leave() -> None:
        sys.exit(9)

    await asyncio.gather(asyncio.create_task(leave()))
