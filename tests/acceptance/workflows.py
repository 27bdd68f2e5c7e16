"""Workflows that the acceptance tests run."""

import asyncio
import contextlib
import sys
import threading
import time
from datetime import timedelta
from typing import TypedDict

import attrs

from mainspring import Context, NonRetryable, Retry, Workflow, stage, workflow


class Unusual(BaseException):
    """Not even an Exception."""


QUICKLY = Retry(max_attempts=3, initial=timedelta(milliseconds=20), maximum=timedelta(milliseconds=50))


@attrs.frozen
class Order:
    """An input with structure."""

    id: str
    amounts: list[int]
    note: str | None = None


class Both(TypedDict):
    """What follows ``total`` and ``count``."""

    total: int
    count: int


@stage
async def amounts(ctx: Context, order: Order) -> list[int]:
    return order.amounts


@stage
async def total(ctx: Context, numbers: list[int]) -> int:
    return sum(numbers)


@stage
def count(ctx: Context, numbers: list[int]) -> int:
    return len(numbers)


@stage
async def mean(ctx: Context, both: Both) -> float:
    return both["total"] / both["count"] + len(ctx.output(amounts)) * 0


averaging = Workflow("averaging", version="1").pipe(amounts).parallel(total, count).pipe(mean)


@stage(retry=QUICKLY)
async def double(ctx: Context, number: int) -> int:
    return number * 2


mapping = Workflow("mapping", version="1").pipe(amounts).map(double, max_parallel=3).pipe(total)
mapped_last = Workflow("mapped-last", version="1").pipe(amounts).map(double)
mapped_twice = Workflow("mapped-twice", version="1").pipe(amounts).map(double).map(double.named("again")).pipe(total)
two_ends = Workflow("two-ends", version="1").pipe(amounts).parallel(total, count)


@stage(retry=QUICKLY)
async def fails_twice(ctx: Context, value: int) -> int:
    if ctx.attempt < 3:
        raise ValueError(f"attempt {ctx.attempt}")
    return value + ctx.attempt


@stage(retry=QUICKLY)
async def always_fails(ctx: Context, value: int) -> int:
    raise LookupError("nothing here, password=hunter2")


@stage(retry=QUICKLY)
async def refuses(ctx: Context, value: int) -> int:
    raise NonRetryable("no")


@stage(retry=QUICKLY)
async def exits(ctx: Context, value: int) -> int:
    if value == 0:
        sys.exit(3)
    if value == 1:
        raise KeyboardInterrupt
    if value == 2:
        raise StopIteration(value)
    if value == 3:
        raise asyncio.CancelledError
    if value == 4:
        raise RecursionError
    if value == 5:
        raise Unusual("base")
    raise GeneratorExit


@stage(retry=QUICKLY)
def exits_in_thread(ctx: Context, value: int) -> int:
    sys.exit(value)


@stage(timeout=timedelta(milliseconds=100), retry=Retry(max_attempts=1))
async def never_ends(ctx: Context, value: int) -> int:
    await asyncio.Event().wait()
    return value


@stage(timeout=timedelta(milliseconds=100), retry=Retry(max_attempts=1))
async def swallows(ctx: Context, value: int) -> int:
    while True:
        with contextlib.suppress(BaseException):
            await asyncio.sleep(3600)


@stage(timeout=timedelta(milliseconds=100), retry=Retry(max_attempts=1))
def stuck_thread(ctx: Context, value: int) -> int:
    time.sleep(1.5)
    return value


@stage
async def waits_for_cancel(ctx: Context, value: int) -> int:
    try:
        await asyncio.Event().wait()
    finally:
        assert ctx.cancelled
    return value


@stage
def waits_in_thread(ctx: Context, value: int) -> int:
    while not ctx.cancelled:
        threading.Event().wait(0.01)
    return value


@stage(retry=QUICKLY)
async def not_a_number(ctx: Context, value: int) -> float:
    return float("nan")


@stage(retry=QUICKLY)
async def wrong_type(ctx: Context, value: int) -> int:
    return "seven"  # type: ignore[return-value]  # what is under test


@stage
async def large(ctx: Context, size: int) -> str:
    return "x" * size


@stage
async def length(ctx: Context, text: str) -> int:
    return len(text)


large_payloads = Workflow("large-payloads", version="1").pipe(large).pipe(length)


@attrs.frozen
class Threshold:
    """Config of ``filtered``."""

    least: int = 3
    most: int = 100


@stage
async def filtered(ctx: Context[Threshold], numbers: list[int]) -> list[int]:
    return [number for number in numbers if ctx.config.least <= number <= ctx.config.most]


configured = Workflow("configured", version="1").pipe(filtered)


@workflow(version="1")
async def hello(ctx: Context, name: str) -> str:
    return f"hello {name}"
