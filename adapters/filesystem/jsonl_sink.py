"""JsonlEventSink: the EventSink port on a file of lines, one CloudEvent each, which several processes may append to.

Rule: what is confirmed was synced, whole and on lines of its own. Each batch is one append under the file's lock; a
line that a crash has torn is ended first, so it spoils no other (its event was not confirmed, and comes again).

The file is found by its name for every batch, so it may be renamed at any time, as logrotate does it: what follows goes
to a new one. Imported by the composition root and tests.
"""

import asyncio
import fcntl
import os
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from mainspring.adapters.filesystem.directories import opened, translated
from mainspring.ports.errors import SettingsError, UnavailableError
from mainspring.ports.messages import write_event
from mainspring.ports.records import Event

_APPEND: Final = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a pipe must not block us
_TRIES: Final = 20  # the file may be renamed by others between its opening and its locking
_LONGEST: Final = 1.0  # seconds for others to unlock the file: a batch takes a few hundredths
_PAUSE: Final = 0.01
_MODE: Final = 0o640
_FORM: Final = "expected jsonl:///absolute/events.jsonl or jsonl://relative.jsonl"


class JsonlEventSink:
    """Appends CloudEvents to a file; blocking calls go to a thread.

    Args:
        place: ``jsonl:///absolute/events.jsonl``, ``jsonl://relative.jsonl`` or a path. File and directory are made by
            the first batch.
        source: who tells, as of CloudEvents.

    Raises:
        SettingsError: the URL names no file.
    """

    def __init__(self, place: str | Path, source: str = "mainspring") -> None:
        text = str(place)
        scheme, separator, rest = text.partition("://")
        if separator and scheme != "jsonl":
            raise SettingsError(f"a file of events has a URL that begins with jsonl://; {_FORM}")
        path = rest if separator else text
        if not path or path.endswith("/") or "\0" in path or (separator and ("?" in path or "#" in path)):
            raise SettingsError(f"the URL names no file; {_FORM}")
        self.path = Path(path).absolute()
        self._source = source

    async def publish(self, events: Sequence[Event]) -> list[str | None]:
        """Append all of them, or (raising) confirm none.

        Raises:
            StoreFullError, ReadOnlyError, UnavailableError: the file could not be written.
        """
        if events:
            lines = "".join(f"{write_event(event, self._source)}\n" for event in events)
            await asyncio.to_thread(append, self.path, lines.encode("ascii"))
        return [None] * len(events)


def append(path: Path, lines: bytes) -> None:
    """Append whole lines, durably. Blocks.

    Raises:
        StoreFullError, ReadOnlyError, UnavailableError: the file could not be written; if it was in part, that part is
            taken back as far as possible.
    """
    with _locked(path) as file:
        size = os.fstat(file).st_size
        torn = size > 0 and os.pread(file, 1, size - 1) != b"\n"
        try:
            _write(file, b"\n" + lines if torn else lines)
            os.fsync(file)
        except BaseException:
            with suppress(OSError):
                os.ftruncate(file, size)
            raise


@contextmanager
def _locked(path: Path) -> Generator[int]:
    """A descriptor of the file that goes by this name, locked against other writers."""
    with translated(path, writing=True):
        for _ in range(_TRIES):
            file = _open(path)
            try:
                _lock(path, file)
                if _is_there(path, file):
                    yield file
                    return
            finally:
                os.close(file)
    raise UnavailableError(f"{path}: the file is replaced as fast as it is opened")


def _open(path: Path) -> int:
    try:
        return os.open(path, _APPEND)
    except FileNotFoundError:
        with opened(path.parent, (), create=True) as directory:
            file = os.open(path.name, _APPEND | os.O_CREAT, _MODE, dir_fd=directory)
            os.fsync(directory)
        return file


def _lock(path: Path, file: int) -> None:
    """Wait for the others, but not for ever: who holds it may hang."""
    until = time.monotonic() + _LONGEST
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                raise UnavailableError(f"{path}: another program keeps it locked") from None
            time.sleep(_PAUSE)
        else:
            return


def _is_there(path: Path, file: int) -> bool:
    mine = os.fstat(file)
    try:
        named = path.stat(follow_symlinks=False)
    except FileNotFoundError:
        return False
    return (mine.st_dev, mine.st_ino) == (named.st_dev, named.st_ino)


def _write(file: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[os.write(file, left) :]
