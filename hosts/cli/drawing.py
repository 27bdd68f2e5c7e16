"""Drawings of runs for a terminal: the list, and one run's graph with what each stage is doing.

Rule: takes what was read, gives rich renderables; every text of others goes through ``safe``.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from mainspring.hosts.cli.output import safe
from mainspring.hosts.cli.reading import Instance, RunView, StageView
from mainspring.ports.records import AttemptRecord, Failure, Run

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

_STYLES = {
    "completed": ("✓", "green"),
    "failed": ("✗", "bold red"),
    "cancelled": ("⊘", "yellow"),
    "cancelling": ("⊘", "yellow"),
    "skipped": ("–", "dim"),
    "running": ("▶", "cyan"),
    "retrying": ("↻", "yellow"),
    "blocked": ("■", "red"),
    "queued": ("·", "blue"),
    "pending": ("·", "blue"),
    "scheduled": ("◷", "blue"),
    "suspended": ("◷", "blue"),
    "parked": ("·", "dim"),
}
_OTHER = (" ", "dim")


def drawn_list(runs: Sequence[Run], now: datetime) -> "Table":
    """Runs, one per line."""
    from rich.table import Table

    columns: dict[str, list[Text]] = {
        "run": [safe(run.id) for run in runs],
        "workflow": [safe(f"{run.workflow}@{run.version}") for run in runs],
        "status": [_status(run) for run in runs],
        "created": [safe(f"{span(run.created_at, now)} ago") for run in runs],
        "took": [safe(took(run, now)) for run in runs],
        "key": [safe(run.key or "") for run in runs],
        "tags": [safe(", ".join(run.tags), "dim") for run in runs],
    }
    table = Table(box=None, pad_edge=False, header_style="dim")
    shown = {heading: cells for heading, cells in columns.items() if any(cells)}
    for heading in shown:
        table.add_column(heading, no_wrap=heading not in {"key", "tags"}, overflow="fold")
    for row in zip(*shown.values(), strict=True):
        table.add_row(*row)
    return table


def drawn_run(view: RunView) -> "RenderableType":
    """One run: its graph with the states of its stages, and what went wrong."""
    from rich.console import Group

    parts: list[RenderableType] = [*_head(view), "", drawn_graph(view)]
    told = [*_failures(view), *_tries(view), *_artifacts(view)]
    return Group(*parts, "", *told) if told else Group(*parts)


def drawn_graph(view: RunView) -> "Table":
    """A line per stage, in topological order; stages that may run side by side are bracketed."""
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    for _ in range(5):
        table.add_column(overflow="fold")
    for bracket, stage in _bracketed(view.stages):
        mark, style = _STYLES.get(stage.state, _OTHER)
        name = safe(f"{bracket}{mark} ", style)
        name.append_text(safe(stage.id, "bold" if stage.state == "running" else ""))
        name.append_text(safe(_edges(stage, view.stages), "dim"))
        table.add_row(
            name,
            safe(_state(stage) + ", taken over" * stage.taken_over, style),
            safe(_attempts(stage)),
            safe(span(stage.started_at, stage.finished_at or (None if view.ended else view.at))),
            safe(_doing(stage, view.at), "dim"),
        )
    return table


def span(begin: datetime | None, end: datetime | None) -> str:
    """How long it was, in the unit that suits."""
    if begin is None or end is None:
        return ""
    seconds = max(0.0, (end - begin).total_seconds())
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def took(run: Run, now: datetime) -> str:
    """How long the run took, or has taken so far."""
    return span(run.started_at, run.finished_at or now)


def _status(run: Run) -> "Text":
    mark, style = _STYLES.get(str(run.status), _OTHER)
    return safe(f"{mark} {run.status}", style)


def _head(view: RunView) -> Iterator["RenderableType"]:
    run = view.run
    name = safe(f"{run.workflow}@{run.version}  ", "bold")
    yield name.append_text(_status(run)).append_text(safe(f"  {took(run, view.at)}"))
    yield safe(f"run {run.id}, created {run.created_at:%Y-%m-%d %H:%M:%S} UTC", "dim")
    about = [
        ("key", run.key),
        ("tags", ", ".join(run.tags)),
        ("starts at", None if view.ended or run.started_at or run.start_at is None else run.start_at.isoformat()),
        ("deadline", None if view.ended or run.deadline is None else run.deadline.isoformat()),
        ("cancelled because", run.cancel_reason),
    ]
    told = ", ".join(f"{name} {value}" for name, value in about if value)
    if told:
        yield safe(told, "dim")
    if run.rerun_of is not None:
        yield safe(f"rerun of {run.rerun_of} from stage {run.rerun_from}", "dim")
    if view.reruns:
        yield safe(f"rerun as {', '.join(view.reruns)}", "dim")


def _bracketed(stages: Sequence[StageView]) -> Iterator[tuple[str, StageView]]:
    for place, stage in enumerate(stages):
        before = place > 0 and stages[place - 1].level == stage.level
        behind = place + 1 < len(stages) and stages[place + 1].level == stage.level
        match before, behind:
            case False, False:
                yield "", stage
            case False, True:
                yield "┌ ", stage
            case True, True:
                yield "├ ", stage
            case _:
                yield "└ ", stage


def _edges(stage: StageView, stages: Sequence[StageView]) -> str:
    """What the order of the lines does not say: edges that are not from all of the level before."""
    above = {other.id for other in stages if other.level == stage.level - 1}
    return f" ← {', '.join(stage.after)}" if set(stage.after) != above else ""


def _state(stage: StageView) -> str:
    if not stage.mapped or not stage.counts:
        return f"{stage.state}, nothing to map" if stage.mapped and stage.state == "completed" else stage.state
    width = sum(stage.counts.values())
    others = [f"{count} {name}" for name, count in stage.counts.items() if name != "completed"]
    return ", ".join([f"{stage.counts.get('completed', 0)} of {width}", *others])


def _attempts(stage: StageView) -> str:
    if stage.mapped:
        return f"{len(stage.tries)} tries more" if stage.tries else ""
    if not stage.instances or not stage.instances[0].attempt:
        return ""
    one = stage.instances[0]
    return f"attempt {one.attempt}" + (f" of {one.max_attempts}" if one.max_attempts else "")


def _doing(stage: StageView, now: datetime) -> str:
    """What an active stage's holder tells: of a mapped one, who holds how many."""
    active = [one for one in stage.instances if one.finished_at is None]
    if stage.mapped:
        holders: dict[str, int] = {}
        for one in active:
            if one.worker is not None:
                holders[one.worker] = holders.get(one.worker, 0) + 1
        return ", ".join(f"{worker}: {count}" for worker, count in holders.items())
    return "" if not active else ", ".join(_told(active[0], now))


def _told(one: Instance, now: datetime) -> Iterator[str]:
    if one.progress is not None:
        done, total = one.progress.done, one.progress.total
        yield f"{done:g}" if total is None else f"{done:g} of {total:g}" + (f" ({done / total:.0%})" if total else "")
        if one.progress.message:
            yield one.progress.message
    if one.worker is not None:
        yield f"on {one.worker}"
    if one.lease_until is not None:
        left = one.lease_until >= now
        yield f"lease {span(now, one.lease_until)} left" if left else f"lease ran out {span(one.lease_until, now)} ago"
    waits = one.polling
    due = None if one.available_at is None or one.available_at <= now else span(now, one.available_at)
    if waits is not None:
        times = "once" if waits.checks == 1 else f"{waits.checks} times"
        yield f"checked {times}, every {span(now, now + waits.every)}"
        if waits.until is not None:
            yield f"until {waits.until:%Y-%m-%d %H:%M:%S} UTC"
    if due is not None:
        yield f"next in {due}" if waits is not None else f"in {due}"


def _failures(view: RunView) -> Iterator["RenderableType"]:
    failure = view.run.failure
    if failure is None:
        return
    where = f" in stage {failure.stage}" if failure.stage else ""
    yield safe(f"failed{where}: {_why(failure)}", "red")
    for line in (failure.traceback or "").splitlines():
        yield safe(f"  {line}", "dim")


def _tries(view: RunView) -> Iterator["RenderableType"]:
    most = 20
    tries: list[AttemptRecord] = sorted(
        (one for stage in view.stages for one in stage.tries), key=lambda one: one.started_at
    )
    mapped = {stage.id for stage in view.stages if stage.mapped}
    for one in tries[-most:]:
        name = f"{one.stage}[{one.index}]" if one.stage in mapped else one.stage
        why = "given back" if one.failure is None else _why(one.failure)
        yield safe(f"{name} attempt {one.attempt} on {one.worker}, {span(one.started_at, one.ended_at)}: {why}", "dim")
    if len(tries) > most:
        yield safe(f"… and {len(tries) - most} earlier tries", "dim")


def _artifacts(view: RunView) -> Iterator["RenderableType"]:
    most = 20
    found = [(stage, one, left) for stage in view.stages for one in stage.instances for left in one.artifacts]
    for stage, one, left in found[:most]:
        name = f"{stage.id}[{one.index}]" if stage.mapped else stage.id
        yield safe(f"{name} left {left.name}, {left.size:,} bytes, {left.media_type}", "dim")
    if len(found) > most:
        yield safe(f"… and {len(found) - most} more artifacts", "dim")


def _why(failure: Failure) -> str:
    return f"{failure.code}: {failure.type + ': ' if failure.type else ''}{failure.message}"
