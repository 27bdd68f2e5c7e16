"""What the demo prints."""

import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import attrs
from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from demonstration.place import Place, near
from document_analysis import Report
from mainspring.ports.records import AttemptRecord, Job, StageRecord

ROWS = 12
"""Documents shown on the terminal; the report has all."""

BIN = Path(sys.executable).parent

PLAIN_WIDTH = 110
"""Columns where there is no terminal."""


@attrs.frozen(kw_only=True)
class Takeover:
    """One job of the killed worker: how it was lost and made again."""

    job: Job  #: as the store had it when its worker was dead
    lost: AttemptRecord
    record: StageRecord
    by: str  #: the worker that made it


class Output:
    """The demo's voice: colours and a bar on a terminal, plain lines elsewhere. Nothing it is told is markup."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = paths
        self._console = Console(highlight=False, markup=False, emoji=False)
        if not self._console.is_terminal:
            self._console = Console(highlight=False, markup=False, emoji=False, width=PLAIN_WIDTH)
        self.failed = False  #: whether a check failed

    # -- words -----------------------------------------------------------------------------------------------------

    def heading(self, text: str) -> None:
        """Begin a part."""
        self._console.print()
        self._console.print(text, style="bold")

    def say(self, text: str) -> None:
        """Plain text."""
        self._indented(Text(text))

    def facts(self, *facts: tuple[str, str]) -> None:
        """Names, and what there is to say of each."""
        table = Table.grid(padding=(0, 2))
        table.add_column(style="cyan", no_wrap=True, min_width=11)
        table.add_column(overflow="fold")
        for name, value in facts:
            table.add_row(name, Text(value))
        self._indented(table)

    def check(self, holds: bool, text: str) -> None:  # noqa: FBT001  the very thing that is checked
        """Something that must hold."""
        self.failed = self.failed or not holds
        mark = Text("✓ ", style="green") if holds else Text("✗ ", style="bold red")
        self._indented(mark + Text(text))

    def wrong(self, text: str) -> None:
        """Why the demo ends early."""
        self._console.print()
        self._console.print(Text("✗ ", style="bold red") + Text(text))

    def farewell(self, place: Place, run_id: str, seconds: float) -> None:
        """Where everything is, and how to see more."""
        database = near(place.database)
        slashes = "////" if database.startswith("/") else "///"
        url = f"sqlite:{slashes}{database.lstrip('/')}"
        self.heading(f"Done in {seconds:.1f} s")
        self.facts(
            ("report", near(place.report)),
            ("database", database),
            ("logs", f"{near(place.folder)}/worker-*.log"),
        )
        self.heading("Look further")
        for command in (f"runs show {run_id}", "runs list"):  # on lines of their own, to be copied
            self._console.print(f"  {near(BIN)}/mainspring {command} --database {url}", soft_wrap=True)

    # -- rows of the store -----------------------------------------------------------------------------------------

    def leases(self, jobs: Sequence[Job], now: datetime) -> None:
        """Leased jobs."""
        table = _table("job", "file", "attempt", "lease id", "leased until (UTC)")
        for job in jobs:
            until = job.lease_until or now
            table.add_row(
                *self._job(job),
                f"{job.attempt} of {job.max_attempts}",
                (job.lease_id or "")[:8],
                f"{until:%H:%M:%S}.{until.microsecond // 1000:03}, {_since(now, until)} after the kill",
            )
        self._indented(table)

    def takeovers(self, takeovers: Sequence[Takeover], killed_at: datetime) -> None:
        """What became of each lost job, in seconds since the kill."""
        table = _table("job", "file", "lease over", "reaped", "attempt", "begun", "recorded", "by")
        for one in takeovers:
            table.add_row(
                *self._job(one.job),
                _since(killed_at, one.job.lease_until),
                _since(killed_at, one.lost.ended_at),
                f"{one.record.attempt} of {one.job.max_attempts}",
                _since(killed_at, one.record.started_at),
                _since(killed_at, one.record.finished_at),
                one.by,
            )
        self._indented(table)

    def _job(self, job: Job) -> tuple[str, Text]:
        if job.stage != "read":
            return job.stage, Text("")
        return f"{job.stage}[{job.index}]", Text(self._paths[job.index], overflow="fold")

    # -- the report ------------------------------------------------------------------------------------------------

    def report(self, report: Report) -> None:
        """The longest documents, then what was found of all."""
        table = _table("document", "words", "ease", "grade", "headings", "links", "keywords")
        for column in table.columns[1:6]:
            column.justify = "right"
        longest = sorted(report.documents, key=lambda one: (-one.words, one.path))[:ROWS]
        for one in longest:
            table.add_row(
                Text(one.path),
                f"{one.words:,}",
                "–" if one.ease is None else f"{one.ease:.0f}",
                "–" if one.grade is None else f"{one.grade:.1f}",
                f"{one.headings}",
                f"{one.links}",
                Text(", ".join(keyword.word for keyword in one.keywords[:3])),
            )
        self._indented(table)
        rest = len(report.documents) - len(longest)
        shorter = f"… and {rest} shorter ones. " if rest else ""
        self.say(f"{shorter}Ease (Flesch): 100 is very easy, below 30 very hard. Grade: years of school.")
        self._console.print()
        dead = [f"{one.path}: {one.target}, {one.problem}" for one in report.links.dead]
        alike = [f"{one.similarity:.0%}: {one.first}, {one.second}" for one in report.duplicates]
        skipped = [f"{one.path}: {one.reason}, {one.detail}" for one in report.skipped]
        self.facts(
            ("words", f"{report.words:,} in {len(report.documents)} documents"),
            ("keywords", ", ".join(keyword.word for keyword in report.keywords) or "none"),
            ("dead links", _listed(f"{len(dead)} of {report.links.checked} between documents", dead)),
            ("duplicates", _listed(f"{_count(alike, 'pair')} with a fifth or more of the phrases in common", alike)),
            ("left out", _listed(_count(skipped, "file"), skipped)),
        )

    # -- watching --------------------------------------------------------------------------------------------------

    @contextmanager
    def bar(self, total: int) -> Generator["Bar", None, None]:
        """A bar of files read while one waits; nothing where there is no terminal."""
        progress = Progress(
            TextColumn("  reading"),
            BarColumn(40),
            MofNCompleteColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        with progress:
            yield Bar(progress, total)

    def _indented(self, what: Text | Table) -> None:
        self._console.print(Padding(what, (0, 0, 0, 2), expand=False))


class Bar:
    """How many files are read. Appears with the first one."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress = progress
        self._task = progress.add_task("reading", total=total, visible=False)

    def show(self, done: int) -> None:
        """The count now."""
        self._progress.update(self._task, completed=done, visible=True)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column in columns:
        table.add_column(column)
    return table


def _since(begin: datetime, moment: datetime | None) -> str:
    return "" if moment is None else f"{(moment - begin) / timedelta(seconds=1):.2f} s"


def _count(things: Sequence[object], name: str) -> str:
    return f"{len(things)} {name}{'' if len(things) == 1 else 's'}"


def _listed(text: str, examples: Sequence[str]) -> str:
    shown = "".join(f"\n{example}" for example in examples[:3])
    return text + shown + (f"\n… and {len(examples) - 3} more" if len(examples) > 3 else "")
