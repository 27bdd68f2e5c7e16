"""Finding documents and reading them: whatever is wrong with a file is told."""

import hashlib
import os
from pathlib import Path

import pytest

from analysis.documents import MAX_BYTES, FolderError, SkipReason, find, read


def write(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def test_documents_are_found_in_the_order_of_their_paths(tmp_path: Path) -> None:
    for name in ("b.md", "a/z.TXT", "a/y.py", "x.rst", "c.png", ".hidden.md", ".git/a.md", "node_modules/m.md"):
        write(tmp_path / name, "words")
    assert find(tmp_path) == ["a/y.py", "a/z.TXT", "b.md", "x.rst"]


def test_only_the_named_parts_are_searched_and_missing_ones_are_no_problem(tmp_path: Path) -> None:
    for name in ("README.md", "docs/a.md", "other/b.md"):
        write(tmp_path / name, "words")
    assert find(tmp_path, ("README.md", "docs", "gone")) == ["README.md", "docs/a.md"]


def test_links_that_lead_in_circles_are_not_followed(tmp_path: Path) -> None:
    write(tmp_path / "a.md", "words")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert find(tmp_path) == ["a.md"]


def test_names_that_are_no_text_are_left_out(tmp_path: Path) -> None:
    write(tmp_path / "a.md", "words")
    (tmp_path / os.fsdecode(b"\xff.md")).write_text("words")
    assert find(tmp_path) == ["a.md"]


@pytest.mark.parametrize(
    ("name", "message"), [("gone", "does not exist"), ("file.md", "is not a folder"), ("empty", "holds no")]
)
def test_a_folder_without_documents_is_refused(tmp_path: Path, name: str, message: str) -> None:
    write(tmp_path / "file.md", "words")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FolderError, match=message):
        find(tmp_path / name)


def test_a_document_is_read_whole(tmp_path: Path) -> None:
    raw = b"\xef\xbb\xbf# Title\n\nTwo words, [here](b.md).\n"
    write(tmp_path / "a.md", raw)
    document = read(tmp_path, "a.md").document
    assert document is not None
    assert (document.words, document.links) == (4, ("b.md",))
    assert document.sha256 == hashlib.sha256(raw).hexdigest()


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("latin.txt", b"caf\xe9", SkipReason.NOT_TEXT),
        ("binary.md", b"a\0b", SkipReason.NOT_TEXT),
        ("large.txt", b"a" * (MAX_BYTES + 1), SkipReason.TOO_LARGE),
        ("broken.py", b"def (", SkipReason.BAD_SYNTAX),
        ("silent.py", b"x = 1\n", SkipReason.NO_PROSE),
        ("empty.md", b"", SkipReason.NO_PROSE),
    ],
)
def test_what_is_no_readable_text_is_left_out_with_the_reason(
    tmp_path: Path, name: str, content: bytes, reason: SkipReason
) -> None:
    write(tmp_path / name, content)
    reading = read(tmp_path, name)
    assert reading.document is None
    assert reading.skip is not None
    assert reading.skip.reason is reason


def test_a_file_that_vanished_is_left_out(tmp_path: Path) -> None:
    skip = read(tmp_path, "gone.md").skip
    assert skip is not None
    assert skip.reason is SkipReason.MISSING


@pytest.mark.parametrize("path", ["../secret.md", "/etc/hostname", "link.md"])
def test_nothing_outside_of_the_root_is_read(tmp_path: Path, path: str) -> None:
    write(tmp_path / "secret.md", "secret words")
    root = tmp_path / "root"
    root.mkdir()
    (root / "link.md").symlink_to(tmp_path / "secret.md")
    skip = read(root, path).skip
    assert skip is not None
    assert skip.reason is SkipReason.OUTSIDE


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.md")
    skip = read(tmp_path, "pipe.md").skip
    assert skip is not None
    assert skip.reason is SkipReason.UNREADABLE
