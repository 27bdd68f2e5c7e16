"""What is deployed in the tests of functions: workflows, and the three handlers. Imported by the runtime client.

The queue is a file: what is sent is a line of it, and the test makes SQS events of the lines. ``TROUBLES`` is a
directory in which bodies and the test tell each other things.
"""

import asyncio
import os
import threading
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import attrs

from mainspring import Context, Retry, Workflow, stage, workflow
from mainspring.engine import open_parts
from mainspring.hosts.execution.parts import Parts
from mainspring.ports.messages import write_pointer
from mainspring.ports.records import Hint, Pointer
from mainspring.serverless import serverless

FOLDER = Path(os.environ.get("TROUBLES", "."))
SENT = FOLDER / "sent"


class FileTransport:
    """Pointers as the lines of a file."""

    carries_pointers = True

    async def send(self, pointers: Sequence[Pointer], after: timedelta = timedelta(0)) -> None:
        if not after:
            with SENT.open("a") as file:
                file.writelines(f"{write_pointer(pointer)}\n" for pointer in pointers)

    async def receive(self, limit: int, wait: timedelta) -> list[Hint]:
        raise NotImplementedError

    async def settle(self, hint: Hint, again_after: timedelta | None = None) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        pass


@stage
async def split(ctx: Context, text: str) -> list[str]:
    return text.split()


@stage
async def shout(ctx: Context, word: str) -> str:
    return word.upper()


@stage
async def join(ctx: Context, words: list[str]) -> str:
    return " ".join(words)


loud = Workflow("loud", version="1").pipe(split).map(shout).pipe(join)


@workflow(version="1")
async def hello(ctx: Context, name: str) -> str:
    return f"hello {name}"


@workflow(version="1", retry=Retry(max_attempts=3, initial=timedelta(milliseconds=10)))
async def blocks_once(ctx: Context) -> int:
    """Blocks the loop at its first attempt, so that nothing but the environment can end it."""
    (FOLDER / "began").touch()
    if ctx.attempt == 1:
        threading.Event().wait()
    return ctx.attempt


@workflow(version="1")
async def dies_once(ctx: Context) -> int:
    """Takes the process with it at its first attempt."""
    if ctx.attempt == 1:
        os._exit(41)
    return ctx.attempt


@workflow(version="1")
async def slow(ctx: Context) -> int:
    """Needs more time than the first invocation has."""
    (FOLDER / "began").touch()
    while not (FOLDER / "go").exists():
        await asyncio.sleep(0.01)
    return ctx.attempt


def parts() -> Parts:
    return attrs.evolve(open_parts(os.environ["MAINSPRING_DATABASE"]), transport=FileTransport())


app = serverless(workflows=[loud, hello, blocks_once, dies_once, slow], parts=parts, margin=timedelta(milliseconds=400))
sqs, tick, direct = app.sqs, app.tick, app.direct
