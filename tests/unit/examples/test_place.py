"""The demo's folder: its own, or refused."""

from pathlib import Path

import pytest

from demonstration import place
from demonstration.place import Place, PlaceError


def test_a_demo_clears_away_what_the_one_before_it_left(tmp_path: Path) -> None:
    mine = Place(folder=tmp_path / "demo")
    with mine.prepare():
        mine.database.touch()
        (mine.folder / "demo.db-blobs" / "x").mkdir(parents=True)
    with mine.prepare():
        assert sorted(path.name for path in mine.folder.iterdir()) == [".gitignore", ".mainspring-demo"]


def test_files_that_no_demo_made_are_never_touched(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("four years of work")
    with pytest.raises(PlaceError, match="no demo made"):
        Place(folder=tmp_path).prepare()
    assert (tmp_path / "thesis.txt").exists()


def test_two_demos_never_share_a_folder(tmp_path: Path) -> None:
    mine = Place(folder=tmp_path / "demo")
    with mine.prepare(), pytest.raises(PlaceError, match="another demo is at work"):
        mine.prepare()


def test_a_large_folder_is_cut_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "MOST", 2)
    for name in "abc":
        (tmp_path / f"{name}.txt").write_text("words")
    found = place.corpus(str(tmp_path))
    assert (found.paths, found.left_out) == (("a.txt", "b.txt"), 1)


def test_without_a_folder_this_repository_is_read() -> None:
    found = place.corpus("")
    assert {"README.md", "kernel/definition.py"} <= set(found.paths)
    assert len(found.paths) > 36
