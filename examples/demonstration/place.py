"""Where the demo keeps its files, and which documents it reads."""

import fcntl
import os
import shutil
from pathlib import Path
from typing import IO, Any

import attrs

from analysis.documents import FolderError, find

REPOSITORY = Path(__file__).resolve().parent.parent.parent
OWN_DOCUMENTS = (
    *("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "docs"),
    *("kernel", "ports", "adapters", "hosts"),
)
"""Of this repository: what is written for readers, and the docstrings of the code."""

MOST = 400
"""Documents that are analysed at most."""


class PlaceError(Exception):
    """There is no place to work in."""


@attrs.frozen(kw_only=True)
class Corpus:
    """The documents to analyse."""

    root: Path
    paths: tuple[str, ...]  #: relative to the root
    left_out: int  #: how many more there are


def corpus(folder: str | None) -> Corpus:
    """The documents of a folder; without one, this repository's own.

    Raises:
        FolderError: there is no such folder, or no document in it.
    """
    if folder:
        root = Path(folder).expanduser().resolve()
        found = find(root)
    else:
        root = REPOSITORY
        found = find(root, OWN_DOCUMENTS)
    return Corpus(root=root, paths=tuple(found[:MOST]), left_out=max(0, len(found) - MOST))


def near(path: Path) -> str:
    """A path as one would type it: relative to the current folder, where that is shorter."""
    relative = os.path.relpath(path)
    return relative if len(relative) < len(str(path)) else str(path)


@attrs.frozen(kw_only=True)
class Place:
    """A folder of the demo's own."""

    folder: Path

    @property
    def database(self) -> Path:
        """The store's file."""
        return self.folder / "demo.db"

    @property
    def report(self) -> Path:
        """The report's file."""
        return self.folder / "report.json"

    @property
    def url(self) -> str:
        """The store's URL."""
        return f"sqlite:///{self.database}"

    def prepare(self) -> IO[Any]:
        """Make the folder, or empty it of an earlier demo's files. Keeps a second demo out while the answer is open.

        Raises:
            PlaceError: another demo is at work there, no demo made what is there, or it cannot be written.
        """
        mark = self.folder / ".mainspring-demo"
        lock: IO[Any] | None = None
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not mark.exists() and any(self.folder.iterdir()):
                raise PlaceError(f"{self.folder} holds files that no demo made; name another folder with --into")
            lock = mark.open("a")
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for path in self.folder.iterdir():
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                elif path != mark:
                    path.unlink()
            (self.folder / ".gitignore").write_text("*\n")
        except BlockingIOError as error:
            if lock is not None:
                lock.close()
            raise PlaceError(f"another demo is at work in {self.folder}; wait until it has ended") from error
        except OSError as error:
            raise PlaceError(f"{self.folder} cannot be used: {error.strerror}") from error
        return lock


__all__ = ["Corpus", "FolderError", "Place", "PlaceError", "corpus", "near"]
