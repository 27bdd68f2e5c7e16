"""The workflow as a whole, in this process."""

import json
from pathlib import Path

import attrs
import pytest

from analysis.documents import SkipReason
from document_analysis import Report, analysis
from mainspring import Mainspring

TEXT = "Every lease ends at a moment that the store knows, and a worker that is late loses it. "


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    root = tmp_path / "corpus"
    root.mkdir()
    (root / "a.md").write_text(f"# Leases\n\n{TEXT * 3}\n\nSee [b](b.md#workers), [c](c.md) and [d](d.md).\n")
    (root / "b.md").write_text(f"# Workers\n\n{TEXT * 3}\n\nSee the other one.\n")
    (root / "code.py").write_text('"""Dice are thrown by nobody here."""\n')
    (root / "raw.txt").write_bytes(b"\xff\xfe\x00")
    return root


async def analyse(root: Path, *paths: str, file: Path | None = None) -> Report:
    async with Mainspring("memory://", workflows=[analysis]) as engine:
        config = {"read": {"root": str(root)}, "report": {"file": None if file is None else str(file)}}
        run = await engine.start(analysis, list(paths), config=config)
        return await run.result(30)


async def test_documents_are_analysed_and_what_is_none_is_noted(corpus: Path) -> None:
    report = await analyse(corpus, "a.md", "b.md", "code.py", "gone.md", "raw.txt")
    assert [one.path for one in report.documents] == ["a.md", "b.md", "code.py"]
    assert [(one.path, one.reason) for one in report.skipped] == [
        ("gone.md", SkipReason.MISSING),
        ("raw.txt", SkipReason.NOT_TEXT),
    ]
    assert report.words == sum(one.words for one in report.documents)
    assert report.documents[2].keywords[0].word in {"dice", "nobody", "thrown"}
    assert (report.links.checked, [one.target for one in report.links.dead]) == (3, ["c.md", "d.md"])
    assert [(one.first, one.second) for one in report.duplicates] == [("a.md", "b.md")]


async def test_the_report_file_says_what_the_run_gave(corpus: Path, tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    report = await analyse(corpus, "a.md", "raw.txt", file=file)
    assert json.loads(file.read_text()) == json.loads(json.dumps(attrs.asdict(report)))
    assert [path.name for path in tmp_path.glob("report.json*")] == ["report.json"]


@pytest.mark.parametrize("paths", [(), ("gone.md",)])
async def test_nothing_to_read_gives_an_empty_report(corpus: Path, paths: tuple[str, ...]) -> None:
    report = await analyse(corpus, *paths)
    assert (report.documents, report.words, report.keywords, report.duplicates) == ((), 0, (), ())
    assert len(report.skipped) == len(paths)
