"""Analyse the documents of a folder: one durable run, however many workers share it, whichever of them die.

    read (one instance per file) -> keywords | readability | links | duplicates -> report

The bodies are plain functions: Mainspring runs them in threads, records what each gives exactly once, and gives the
job of a worker that died to another. What they compute with is in ``analysis/``.
"""

import json
import time
from datetime import timedelta
from pathlib import Path

import attrs

from analysis import documents
from analysis.documents import Document, Reading, SkipReason
from analysis.duplicates import Pair, pairs, shingles, sketch
from analysis.keywords import Keyword, best, rarity, terms
from analysis.keywords import keywords as keywords_of
from analysis.links import LinkCheck, check, slugs
from analysis.readability import Readability
from analysis.readability import readability as readability_of
from analysis.text import words
from mainspring import Context, Retry, Workflow, stage


@attrs.frozen(kw_only=True)
class ReadConfig:
    """How to read."""

    root: str = "."  #: what the paths are relative to
    pause: float = 0.0  #: seconds to wait before each file, for those who want to watch


@attrs.frozen(kw_only=True)
class DuplicatesConfig:
    """What counts as a near-duplicate."""

    threshold: float = 0.2  #: least share of common phrases, 0 to 1


@attrs.frozen(kw_only=True)
class ReportConfig:
    """Where to write the report."""

    file: str | None = None  #: as JSON; None: nowhere, it is the run's output anyway


@attrs.frozen(kw_only=True)
class Keywords:
    """The best keywords of each document, by path, and of all documents together."""

    documents: dict[str, tuple[Keyword, ...]]
    corpus: tuple[Keyword, ...]


@attrs.frozen(kw_only=True)
class Findings:
    """What the four analyses found: what a stage after a parallel group receives."""

    keywords: Keywords
    readability: dict[str, Readability]
    links: LinkCheck
    duplicates: tuple[Pair, ...]


@attrs.frozen(kw_only=True)
class DocumentReport:
    """One document."""

    path: str
    sha256: str
    words: int
    sentences: int
    ease: float | None  #: Flesch reading ease: about 100 very easy, below 30 very hard
    grade: float | None  #: Flesch-Kincaid grade, in years of school
    headings: int
    links: int
    keywords: tuple[Keyword, ...]


@attrs.frozen(kw_only=True)
class Skipped:
    """A file that was left out."""

    path: str
    reason: SkipReason
    detail: str


@attrs.frozen(kw_only=True)
class Report:
    """All that was found."""

    documents: tuple[DocumentReport, ...]
    skipped: tuple[Skipped, ...]
    words: int
    keywords: tuple[Keyword, ...]  #: of all documents together
    links: LinkCheck
    duplicates: tuple[Pair, ...]


@stage(retry=Retry(max_attempts=5), timeout=timedelta(minutes=1))
def read(ctx: Context[ReadConfig], path: str) -> Reading:
    """Read one file. One that is gone or is no text is noted, and does not fail the run."""
    time.sleep(ctx.config.pause)
    return documents.read(Path(ctx.config.root), path)


@stage
def keywords(ctx: Context, readings: list[Reading]) -> Keywords:
    """Find the words that are frequent in a document and rare in the others."""
    found = {path: terms(document.prose) for path, document in _documents(readings).items()}
    rare = rarity(found.values())
    ranked: dict[str, tuple[Keyword, ...]] = {}
    total: dict[str, float] = {}
    for done, (path, document) in enumerate(found.items(), start=1):
        ranked[path] = tuple(keywords_of(document, rare, limit=8))
        for keyword in keywords_of(document, rare, limit=50):
            total[keyword.word] = total.get(keyword.word, 0.0) + keyword.score
        ctx.progress(done, len(found), path)
    return Keywords(documents=ranked, corpus=tuple(best(total, limit=12)))


@stage
def readability(ctx: Context, readings: list[Reading]) -> dict[str, Readability]:
    """Measure how hard each document is to read."""
    measured: dict[str, Readability] = {}
    for path, document in _documents(readings).items():
        measured[path] = readability_of(document.prose)
        ctx.progress(len(measured), len(readings), path)
    return measured


@stage
def links(ctx: Context, readings: list[Reading]) -> LinkCheck:
    """Look whether the documents and headings that links name are there."""
    found = _documents(readings)
    anchors = {path: slugs(heading.text for heading in document.headings) for path, document in found.items()}
    checked = check({path: document.links for path, document in found.items()}, anchors)
    ctx.log("links_checked", checked=checked.checked, dead=len(checked.dead))
    return checked


@stage
def duplicates(ctx: Context[DuplicatesConfig], readings: list[Reading]) -> tuple[Pair, ...]:
    """Find documents that say much the same."""
    found = _documents(readings)
    sketches: dict[str, tuple[int, ...]] = {}
    for done, (path, document) in enumerate(found.items(), start=1):
        sketches[path] = sketch(shingles(words(document.prose)))
        ctx.progress(done, len(found), path)
    return tuple(pairs(sketches, ctx.config.threshold))


@stage
def report(ctx: Context[ReportConfig], findings: Findings) -> Report:
    """Put everything together, and write it down.

    A second attempt writes the same bytes over the first one's: no date in it, and the file is replaced whole.
    """
    readings = ctx.outputs(read)
    found = _documents(readings)
    made = Report(
        documents=tuple(_row(path, document, findings) for path, document in found.items()),
        skipped=tuple(
            Skipped(path=one.path, reason=one.skip.reason, detail=one.skip.detail) for one in readings if one.skip
        ),
        words=sum(document.words for document in found.values()),
        keywords=findings.keywords.corpus,
        links=findings.links,
        duplicates=findings.duplicates,
    )
    if ctx.config.file is not None:
        file = Path(ctx.config.file)
        draft = file.with_name(f"{file.name}.{ctx.fencing_token}")
        draft.write_text(json.dumps(attrs.asdict(made), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        draft.replace(file)
    return made


def _documents(readings: list[Reading]) -> dict[str, Document]:
    return {reading.path: reading.document for reading in readings if reading.document is not None}


def _row(path: str, document: Document, findings: Findings) -> DocumentReport:
    measured = findings.readability[path]
    return DocumentReport(
        path=path,
        sha256=document.sha256,
        words=measured.words,
        sentences=measured.sentences,
        ease=measured.ease,
        grade=measured.grade,
        headings=len(document.headings),
        links=len(document.links),
        keywords=findings.keywords.documents[path],
    )


analysis = (
    Workflow("document-analysis", version="1")
    .map(read)  # the run's input is a list of paths: one instance for each
    .parallel(keywords, readability, links, duplicates)
    .pipe(report)
)
