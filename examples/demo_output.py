"""What the demo prints."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import attrs
from document_analysis import Report
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from mainspring.ports.records import AttemptRecord, Job, StageRecord

ROWS = 12
"""Documents shown on the terminal; the report has all."""


@attrs.frozen(kw_only=True)
class Takeover:
    """One job of the killed worker: how it was lost and made again."""

    lost: Job  #: as it stood in the store when its worker was dead
    reaped: AttemptRecord
    done: StageRecord


class Output:
    """The demo's voice: rich on a terminal, plain lines elsewhere."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = paths
        self.console = Console(highlight=False)
        if not self.console.is_terminal:
            self.console = Console(highlight=False, width=110)

    def heading(self, text: str) -> None:
        """Begin a part."""
        self.console.print(f"\n[bold]{escape(text)}[/]")

    def say(self, text: str) -> None:
        """A line or more of plain text."""
        self.console.print(Padding(Text(text), (0, 0, 0, 2)))

    def facts(self, facts: Sequence[tuple[str, str]]) -> None:
        """Names and what there is to say of each."""
        table = Table.grid(padding=(0, 2))
        table.add_column(style="cyan", no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in facts:
            table.add_row(name, Text(value))
        self.console.print(Padding(table, (0, 0, 0, 2)))

    def good(self, text: str) -> None:
        """Something that was checked and holds."""
        self.console.print(f"[green]✓[/] {escape(text)}")

    def bad(self, text: str) -> None:
        """Something that is off."""
        self.console.print(f"[bold red]✗[/] {escape(text)}")

    @contextmanager
    def bar(self, total: int, done: int) -> Iterator["Bar"]:
        """A bar of files read; away from a terminal a line per quarter."""
        progress = Progress(
            TextColumn("  files read"),
            BarColumn(40),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
            refresh_per_second=20,
        )
        with progress:
            yield Bar(self, progress, total, done)

    def leases(self, jobs: Sequence[Job], now: datetime) -> None:
        """The rows of leased jobs, as the store has them."""
        table = _table("job", "file", "attempt", "worker", "lease id", "leased until (UTC)")
        for job in jobs:
            until = job.lease_until or now
            left = (until - now).total_seconds()
            table.add_row(
                _job(job.stage, job.index),
                Text(self._file(job.stage, job.index)),
                f"{job.attempt} of {job.max_attempts}",
                job.worker or "",
                (job.lease_id or "")[:8],
                f"{until:%H:%M:%S.%f}"[:-3] + f" (in {left:.1f} s)",
            )
        self.console.print(Padding(table, (0, 0, 0, 2)))

    def takeovers(self, takeovers: Sequence[Takeover], killed_at: datetime) -> None:
        """What became of each lost job, in seconds since the kill."""
        table = _table("job", "file", "lease ended", "reaped", "attempt", "begun", "recorded", "by")
        for one in takeovers:
            table.add_row(
                _job(one.lost.stage, one.lost.index),
                Text(self._file(one.lost.stage, one.lost.index)),
                _since(killed_at, one.lost.lease_until),
                _since(killed_at, one.reaped.ended_at),
                f"{one.done.attempt} of {one.lost.max_attempts}",
                _since(killed_at, one.done.started_at),
                _since(killed_at, one.done.finished_at),
                one.done.worker or "",
            )
        self.console.print(Padding(table, (0, 0, 0, 2)))

    def report(self, report: Report, root: Path) -> None:
        """The report: totals, the longest documents, what is wrong with them."""
        table = _table("document", "words", "ease", "grade", "headings", "links", "keywords")
        for column in table.columns[1:6]:
            column.justify = "right"
        table.columns[0].overflow = "fold"
        longest = sorted(report.documents, key=lambda one: (-one.words, one.path))[:ROWS]
        for one in longest:
            table.add_row(
                Text(one.path),
                f"{one.words:,}",
                "" if one.ease is None else f"{one.ease:.0f}",
                "" if one.grade is None else f"{one.grade:.1f}",
                str(one.headings),
                str(one.links),
                Text(", ".join(keyword.word for keyword in one.keywords[:3])),
            )
        self.console.print(Padding(table, (0, 0, 0, 2)))
        rest = len(report.documents) - len(longest)
        if rest:
            self.say(f"… and {rest} shorter ones. Ease: 100 very easy, below 30 very hard. Grade: years of school.")
        dead = [f"{one.path}: {one.target} ({one.problem})" for one in report.links.dead]
        alike = [f"{one.first} and {one.second}, {one.similarity:.0%} the same" for one in report.duplicates]
        self.facts(
            [
                ("documents", f"{len(report.documents):,} of {root}, {report.words:,} words"),
                ("keywords", ", ".join(keyword.word for keyword in report.keywords)),
                ("links", _with_examples(f"{len(dead)} dead of {report.links.checked} between documents", dead)),
                ("alike", _with_examples(f"{len(alike)} pairs of near-duplicates", alike)),
                (
                    "left out",
                    _with_examples(
                        f"{len(report.skipped)} files",
                        [f"{one.path}: {one.reason}, {one.detail}" for one in report.skipped],
                    ),
                ),
            ]
        )

    def _file(self, stage: str, index: int) -> str:
        return self._paths[index] if stage == "read" else ""


class Bar:
    """How many files are read."""

    def __init__(self, output: Output, progress: Progress, total: int, done: int) -> None:
        self._output = output
        self._progress = progress
        self._total = total
        self._task = progress.add_task("files", total=total, completed=done)
        self._said = done * 4 // total

    def show(self, done: int) -> None:
        """The count now."""
        self._progress.update(self._task, completed=done)
        quarter = done * 4 // self._total
        if not self._output.console.is_terminal and quarter > self._said:
            self._said = quarter
            self._output.say(f"  {done} of {self._total} files read")


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column in columns:
        table.add_column(column)
    return table


def _job(stage: str, index: int) -> str:
    return escape(f"{stage}[{index}]" if stage == "read" else stage)


def _since(begin: datetime, moment: datetime | None) -> str:
    return "" if moment is None else f"+{(moment - begin) / timedelta(seconds=1):.2f} s"


def _with_examples(text: str, examples: Sequence[str]) -> str:
    shown = "".join(f"\n{example}" for example in examples[:3])
    return text + shown + (f"\n… {len(examples) - 3} more" if len(examples) > 3 else "")
