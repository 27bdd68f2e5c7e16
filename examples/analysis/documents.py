"""Files: which ones of a folder are documents, and reading one."""

import hashlib
import os
from collections.abc import Collection, Iterator
from enum import StrEnum
from pathlib import Path

import attrs

from analysis.markup import Heading, content
from analysis.text import words

SUFFIXES = frozenset({".md", ".rst", ".txt", ".py"})
MAX_BYTES = 1 << 20
_NEVER = frozenset({"__pycache__", "node_modules", "site-packages", "venv"})


class FolderError(Exception):
    """There is nothing to read; the message says where and why."""


class SkipReason(StrEnum):
    """Why a file was left out."""

    MISSING = "missing"
    UNREADABLE = "unreadable"
    OUTSIDE = "outside"
    TOO_LARGE = "too large"
    NOT_TEXT = "not text"
    BAD_SYNTAX = "bad syntax"
    NO_PROSE = "no prose"


@attrs.frozen(kw_only=True)
class Skip:
    """A file that was left out, and why."""

    reason: SkipReason
    detail: str


@attrs.frozen(kw_only=True)
class Document:
    """A file that was read."""

    sha256: str  #: of its bytes
    prose: str
    words: int
    headings: tuple[Heading, ...]
    links: tuple[str, ...]


@attrs.frozen(kw_only=True)
class Reading:
    """What came of one path: a document, or why there is none."""

    path: str
    document: Document | None = None
    skip: Skip | None = None


def find(root: Path, within: Collection[str] = (".",)) -> list[str]:
    """The documents in some folders of a root, as sorted paths relative to it; hidden and installed files are none.

    Raises:
        FolderError: the root is no readable folder, or there is no document in it.
    """
    if not root.is_dir():
        problem = "is not a folder" if root.exists() else "does not exist"
        raise FolderError(f"{root} {problem}; give a folder that holds {', '.join(sorted(SUFFIXES))} files")
    try:
        next(root.iterdir(), None)
    except OSError as error:
        raise FolderError(f"{root} cannot be read: {error.strerror}") from error
    found = {path.relative_to(root).as_posix() for folder in within for path in _walk(root / folder)}
    if not found:
        raise FolderError(f"{root} holds no document: nothing in it ends in {', '.join(sorted(SUFFIXES))}")
    return sorted(path for path in found if path.isprintable() and _is_unicode(path))


def _walk(top: Path) -> Iterator[Path]:
    if top.is_file():
        yield top
    for folder, folders, files in os.walk(top):  # links to folders are not followed: no circles
        folders[:] = [name for name in folders if not name.startswith(".") and name not in _NEVER]
        yield from (
            Path(folder, name)
            for name in files
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in SUFFIXES  # noqa: PTH122  10× faster
        )


def _is_unicode(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def read(root: Path, path: str) -> Reading:
    """Read one file. Whatever is wrong with it is told, never raised."""
    file = root / path
    try:
        if not file.resolve().is_relative_to(root.resolve()):
            return _skipped(path, SkipReason.OUTSIDE, f"leads outside of {root}")
        if not file.is_file() and file.exists():
            return _skipped(path, SkipReason.UNREADABLE, "no regular file")
        with file.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            return _skipped(path, SkipReason.TOO_LARGE, f"over {MAX_BYTES:,} bytes")
        text = raw.decode("utf-8-sig")
        if "\0" in text:
            return _skipped(path, SkipReason.NOT_TEXT, f"NUL at character {text.index(chr(0))}")
        found = content(text, file.suffix.lower())
    except FileNotFoundError:
        return _skipped(path, SkipReason.MISSING, "was there when the run began, is not any more")
    except OSError as error:
        return _skipped(path, SkipReason.UNREADABLE, error.strerror or str(error))
    except UnicodeDecodeError as error:
        return _skipped(path, SkipReason.NOT_TEXT, f"not UTF-8 at byte {error.start}")
    except (SyntaxError, RecursionError, MemoryError) as error:
        return _skipped(path, SkipReason.BAD_SYNTAX, str(error)[:200] or type(error).__name__)
    count = len(words(found.prose))
    if not count:
        return _skipped(path, SkipReason.NO_PROSE, "no words, or no docstrings")
    document = Document(
        sha256=hashlib.sha256(raw).hexdigest(),
        prose=found.prose,
        words=count,
        headings=found.headings,
        links=found.links,
    )
    return Reading(path=path, document=document)


def _skipped(path: str, reason: SkipReason, detail: str) -> Reading:
    return Reading(path=path, skip=Skip(reason=reason, detail=detail))
