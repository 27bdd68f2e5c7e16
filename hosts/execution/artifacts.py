"""Artifacts: bytes that a body leaves beside its output, put into the blob store while the body goes on.

What an attempt put is recorded with the end of its stage; of any other attempt it is an orphan, which the collector
finds by its lease.
"""

import asyncio
import hashlib
import re
from asyncio import AbstractEventLoop, Task
from collections.abc import Awaitable, Callable, Generator
from typing import Any
from urllib.parse import quote

from mainspring.hosts.execution.payloads import Payloads
from mainspring.ports.errors import BlobCorruptError, InvalidValueError, LeaseLostError, Problem
from mainspring.ports.names import BlobKey, RunId
from mainspring.ports.records import Artifact

Content = bytes | bytearray | memoryview

LONGEST_NAME = 200
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9][\w.+-]{0,99}/[A-Za-z0-9][\w.+-]{0,99}(;[ -~]{1,100})?", re.ASCII)


class Stored:
    """What ``ctx.artifact`` gives to be awaited; what it gives to a plain body is done already."""

    def __init__(self, wait: Callable[[], Awaitable[None]] | None = None) -> None:
        self._wait = wait

    def __await__(self) -> Generator[Any, None, None]:
        if self._wait is not None:
            yield from self._wait().__await__()


class Shelf:
    """The artifacts of one attempt. ``put`` may be called from the body's thread."""

    def __init__(self, payloads: Payloads, run_id: RunId, owner: str, loop: AbstractEventLoop) -> None:
        """``owner``: the lease id of the attempt."""
        self._payloads = payloads
        self._run_id = run_id
        self._owner = owner
        self._loop = loop
        self._kept: dict[str, Artifact] = {}
        self._putting: dict[Task[None], str] = {}
        self._failed: dict[str, BaseException] = {}  #: of which nobody was told
        self._closed = False

    def put(self, name: str, content: Content, media_type: str) -> Awaitable[None]:
        """Store it; a plain body's thread waits for that.

        Raises:
            InvalidValueError: the name, the type or the size is not allowed.
            LeaseLostError: the attempt is over.
            PortError: not stored (a plain body; else who awaits is told).
        """
        self._check(name, content, media_type)
        given = bytes(content)
        place = f"{quote(self._run_id, safe='')}/{quote(self._owner, safe='')}"
        key = BlobKey(f"{place}/{hashlib.sha256(given).hexdigest()}")
        artifact = Artifact(name=name, blob=key, size=len(given), media_type=media_type)
        try:
            here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            here = False
        if here:
            putting = self._begin(artifact, given)
            return Stored(lambda: self._told(name, putting))
        asyncio.run_coroutine_threadsafe(self._from_thread(artifact, given), self._loop).result()
        return Stored()

    @property
    def names(self) -> list[str]:
        """What was left so far, stored or on its way."""
        return sorted(self._kept)

    async def taken(self) -> tuple[Artifact, ...]:
        """All of them, stored, by name; nothing more is taken.

        Raises:
            PortError: one could not be stored.
        """
        self._closed = True
        if self._putting:
            await asyncio.wait(self._putting)
        for error in self._failed.values():
            raise error
        return tuple(self._kept[name] for name in sorted(self._kept))

    def close(self) -> None:
        """The attempt is over: what is still being put is left."""
        self._closed = True
        for task in self._putting:
            task.cancel()

    async def _from_thread(self, artifact: Artifact, content: bytes) -> None:
        await self._told(artifact.name, self._begin(artifact, content))

    async def _told(self, name: str, putting: "Task[None]") -> None:
        """Who waits hears of a failure, and may go on without the artifact."""
        try:
            await asyncio.shield(putting)
        except Exception as error:
            if self._failed.get(name) is error:
                del self._failed[name]
            raise

    def _begin(self, artifact: Artifact, content: bytes) -> "Task[None]":
        if self._closed:
            raise LeaseLostError(f"artifact {artifact.name!r} came after the end of its attempt; it is not kept")
        self._kept[artifact.name] = artifact  # the latest of a name
        task = self._loop.create_task(self._payloads.put(artifact.blob, content))
        self._putting[task] = artifact.name
        task.add_done_callback(lambda done: self._done(artifact, done))
        return task

    def _done(self, artifact: Artifact, task: "Task[None]") -> None:
        del self._putting[task]
        error = None if task.cancelled() else task.exception()
        if self._kept.get(artifact.name) is not artifact:  # another came by this name since: only that one counts
            return
        if error is None:
            self._failed.pop(artifact.name, None)
            return
        self._failed[artifact.name] = error
        del self._kept[artifact.name]

    def _check(self, name: str, content: Content, media_type: str) -> None:
        limits = self._payloads.limits
        problems = [*_name_problems(name)]
        told: Any = media_type  # of whatever type, where no checker looked
        if not isinstance(told, str) or not _MEDIA_TYPE.fullmatch(told):
            problems.append(Problem("$.media_type", f'must be like "application/pdf", found {media_type!r}'))
        if not isinstance(content, bytes | bytearray | memoryview):  # pyright: ignore[reportUnnecessaryIsInstance]
            problems.append(Problem("$.content", f"must be bytes, found {type(content).__name__}"))
        elif len(content) > limits.artifact:
            problems.append(Problem("$.content", f"at most {limits.artifact:,} bytes, found {len(content):,}"))
        if name not in self._kept and len(self._kept) >= limits.artifacts:
            problems.append(Problem("$", f"an attempt leaves at most {limits.artifacts:,} artifacts"))
        if problems:
            raise InvalidValueError("artifact", tuple(problems))


def _name_problems(name: object) -> list[Problem]:
    if not isinstance(name, str) or not 1 <= len(name) <= LONGEST_NAME:
        return [Problem("$.name", f"must be a text of 1 to {LONGEST_NAME} characters, found {name!r}")]
    if not name.isprintable() or name != name.strip() or {"/", "\\"} & set(name) or name in {".", ".."}:
        told = "must be a plain file name: printable, no / or \\, neither . nor .., no space at its ends"
        return [Problem("$.name", f"{told}; found {name!r}")]
    return []


async def content_of(payloads: Payloads, artifact: Artifact) -> bytes:
    """An artifact's bytes.

    Raises:
        BlobNotFoundError, BlobCorruptError: they are not there, or not what was put.
    """
    content = await payloads.get(artifact.blob)
    if hashlib.sha256(content).hexdigest() != artifact.blob.rpartition("/")[2]:
        raise BlobCorruptError(f"blob {artifact.blob}: its content does not match its key")
    return content
