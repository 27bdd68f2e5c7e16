"""Noticing that another process committed.

Rule: a notice may come twice or late, and costs nothing while nobody writes. SQLite's -wal file is watched with
inotify; since the kernel tells of a write before the commit is visible, we look several times, 0.5 to 64 ms after it.
To look is to ask the connection for ``pragma data_version``, which only other connections' commits change. Where there
is no inotify, or the loop cannot watch a descriptor, we look at intervals that grow while nothing happens.
"""

import asyncio
import ctypes
import os
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from mainspring.adapters.sql.sqlite_thread import SqliteThread

_LOOKS = (0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032)  # seconds, one after the other
_LISTEN_AGAIN = 2  # after so many looks, new writes begin the looks anew; before, they are the same commit's
_SHORTEST_POLL = 0.002
_LONGEST_POLL = 0.1

_IN_MODIFY = 0x2
_IN_MOVED_TO = 0x80
_IN_CREATE = 0x100
_EVENT = struct.Struct("iIII")


class Inotify:
    """Linux's file notifications for one write-ahead log: its writes, and its being made anew in its directory.

    Raises:
        OSError: there is no inotify here, or no descriptor left.
    """

    def __init__(self, wal: Path) -> None:
        if not sys.platform.startswith("linux"):
            raise OSError("inotify is Linux's")
        self._wal = os.fsencode(wal)
        self._name = os.fsencode(wal.name)
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.descriptor = self._checked(self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        try:
            folder = os.fsencode(wal.parent)
            self._folder = self._checked(
                self._libc.inotify_add_watch(self.descriptor, folder, _IN_CREATE | _IN_MOVED_TO)
            )
        except OSError:
            self.close()
            raise
        self._watch_log()

    def _checked(self, answer: int) -> int:
        if answer < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        return answer

    def _watch_log(self) -> None:
        """Watch the file, if it is there; when it comes, its directory tells."""
        self._libc.inotify_add_watch(self.descriptor, self._wal, _IN_MODIFY)

    def read(self) -> bool:
        """Take what has happened. False if none of it is about the log."""
        ours = False
        for watch, name in self._events():
            if watch != self._folder:
                ours = True
            elif name == self._name:
                self._watch_log()
                ours = True
        return ours

    def _events(self) -> Iterator[tuple[int, bytes]]:
        try:
            data = os.read(self.descriptor, 64 * 1024)
        except BlockingIOError:
            return
        place = 0
        while place < len(data):
            watch, _, _, length = _EVENT.unpack_from(data, place)
            place += _EVENT.size + length
            yield watch, data[place - length : place].rstrip(b"\0")

    def close(self) -> None:
        """Let go of the descriptor."""
        os.close(self.descriptor)


class CommitWatch:
    """Calls ``changed`` when another process may have committed, while it is armed.

    Args:
        thread: the connection to look with.
        wal: the write-ahead log.
        changed: called on the loop that the watch was armed with.
    """

    def __init__(self, thread: SqliteThread, wal: Path, changed: Callable[[], None]) -> None:
        self._thread = thread
        self._changed = changed
        self._seen = thread.data_version
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._looks = 0  # how many of the series were taken
        self._looked = 0  # the thread's count when the next look was planned
        self._unfinished = False  # a write was noticed, and its commit perhaps not seen yet
        self._listening = False
        self._pause = _SHORTEST_POLL
        self._closed = False
        self._wal = wal
        self._inotify: Inotify | None = None
        self._begun = False

    def arm(self, loop: asyncio.AbstractEventLoop) -> None:
        """Watch from now on, on this loop; what happened since the watch was last armed is noticed too."""
        if self._closed or (self._loop is loop and not loop.is_closed()):
            return
        self.disarm()
        self._loop = loop
        news = self._begin() or self._unfinished or self._seen != self._thread.data_version
        if self._inotify is not None and not self._listen():
            self._inotify.close()
            self._inotify = None
        if self._inotify is None or news:
            self._pause = _SHORTEST_POLL
            self._looks = 0
            self._plan(0)

    def _begin(self) -> bool:
        """Open the notifications at the first use; True then, for what came before was not watched."""
        if self._begun:
            return False
        self._begun = True
        try:
            self._inotify = Inotify(self._wal)
        except (OSError, AttributeError):
            self._inotify = None
        return True

    def disarm(self) -> None:
        """Stop watching until armed again."""
        loop, self._loop = self._loop, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if loop is not None and not loop.is_closed():
            self._stop_listening(loop)
        self._listening = False

    def close(self) -> None:
        """Stop for good."""
        self.disarm()
        self._closed = True
        if self._inotify is not None:
            self._inotify.close()
            self._inotify = None

    def _listen(self) -> bool:
        """Let the loop watch the descriptor. False if it cannot."""
        if self._loop is None or self._inotify is None or self._listening:
            return True
        try:
            self._loop.add_reader(self._inotify.descriptor, self._written)
        except NotImplementedError:
            return False
        self._listening = True
        return True

    def _stop_listening(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._listening and self._inotify is not None:
            loop.remove_reader(self._inotify.descriptor)
        self._listening = False

    def _written(self) -> None:
        """Somebody writes the log: look in a moment, and do not listen to the rest of the same commit."""
        if self._loop is None or self._inotify is None or not self._inotify.read():
            return
        self._stop_listening(self._loop)
        self._unfinished = True
        self._looks = 0
        self._plan(_LOOKS[0])

    def _plan(self, delay: float) -> None:
        if self._loop is not None:
            if self._timer is not None:
                self._timer.cancel()
            self._looked = self._thread.looks
            self._timer = self._loop.call_later(delay, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._loop is None:
            return
        if self._thread.looks != self._looked:
            self._judge()  # a transaction of ours has looked meanwhile
            return
        self._thread.look(self._loop).add_done_callback(self._judged)

    def _judged(self, look: "asyncio.Future[None]") -> None:
        if not look.cancelled() and look.exception() is None:
            self._judge()

    def _judge(self) -> None:
        if self._loop is None:  # disarmed meanwhile: what there is to find stays to be found
            return
        found = self._thread.data_version != self._seen
        self._seen = self._thread.data_version
        self._looks += 1
        if self._inotify is None:
            self._pause = _SHORTEST_POLL if found else min(self._pause * 1.3, _LONGEST_POLL)
            self._plan(self._pause)
        else:
            if found or self._looks >= _LISTEN_AGAIN:
                self._listen()
            self._unfinished = not found and self._looks < len(_LOOKS)
            if self._unfinished:
                self._plan(_LOOKS[self._looks])
        if found:
            self._changed()
