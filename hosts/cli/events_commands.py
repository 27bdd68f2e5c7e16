"""``mainspring events``: what waits to be published, and to whom. None of it needs the code of any workflow."""

from datetime import datetime
from typing import Annotated, Any

import typer

from mainspring.engine import Mainspring
from mainspring.hosts.cli.asking import which, with_store
from mainspring.hosts.cli.options import AsJson, Database
from mainspring.hosts.cli.output import note, out, print_document, safe
from mainspring.ports.names import SinkName
from mainspring.ports.records import Backlog, Event, SinkBacklog
from mainspring.ports.sinks import Sink, WaitingEvent

app = typer.Typer(help="What waits to be published, and for whom.")

SinkOption = Annotated[str | None, typer.Option("--sink", metavar="NAME", help="Of this sink.")]
RunOption = Annotated[str | None, typer.Option("--run", metavar="RUN", help="Of this run.")]
EventOption = Annotated[str | None, typer.Option("--event", metavar="ID", help="This event: RUN/NUMBER.")]
TypeOption = Annotated[
    list[str] | None, typer.Option("--type", metavar="TYPE", help="Of this type, or run.*; may be given several times.")
]
LimitOption = Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")]


@app.callback(invoke_without_command=True)
def events(
    context: typer.Context,
    *,
    run: RunOption = None,
    sink: SinkOption = None,
    types: TypeOption = None,
    limit: LimitOption = 100,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """List the events that wait to be published, by sink, the oldest first."""
    if context.invoked_subcommand is not None:
        return
    where = which(sink=sink, run=run, types=types)

    async def read(engine: Mainspring) -> list[WaitingEvent]:
        return await engine.parts.store.waiting_events(limit, where)

    waiting = with_store(database, read)
    if as_json:
        print_document({"events": [_document(one) for one in waiting]})
    elif not waiting:
        note("no event waits")
    else:
        show(["sink", "event", "type", "happened", "tries", "not before"], [_line(one) for one in waiting])
        if len(waiting) == limit:
            note(f"there may be more than {limit}: --limit")


@app.command("sinks")
def sinks(*, database: Database = None, as_json: AsJson = False) -> None:
    """List the sinks that the store writes events for, and how much waits for each."""

    async def read(engine: Mainspring) -> tuple[list[Sink], Backlog]:
        store = engine.parts.store
        return await store.sinks(), await store.backlog()

    known, backlog = with_store(database, read)
    counts = {told.sink: told for told in backlog.sinks}
    rows = [(sink, counts.get(sink.name, SinkBacklog(sink=sink.name))) for sink in known]
    if as_json:
        print_document({"sinks": [_sink_document(sink, told) for sink, told in rows]})
    elif not rows:
        note("there is no sink: the store writes no events")
    else:
        lines = [
            [sink.name, " ".join(sink.types) or "all", str(told.unpublished), _at(told.oldest_event), str(told.dead)]
            for sink, told in rows
        ]
        show(["sink", "types", "waiting", "the oldest", "dead letters"], lines)


@app.command("remove-sink")
def remove_sink(
    *,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The sink's name.", show_default=False)],
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Forget a sink: no events are written for it any more; those that wait and its dead letters are deleted.

    Processes that still serve it add it again when they start.
    """

    async def remove(engine: Mainspring) -> bool:
        store = engine.parts.store
        known = any(sink.name == name for sink in await store.sinks())
        await store.remove_sink(SinkName(name))
        return known

    known = with_store(database, remove)
    if as_json:
        print_document({"sink": name, "removed": known})
    else:
        note(f"sink {name}: {'removed' if known else 'there was none of that name'}")


def event_document(event: Event) -> dict[str, Any]:
    """An event without its data, for machines."""
    return {
        "id": event.id,
        "run": event.run_id,
        "seq": event.seq,
        "type": event.type,
        "at": event.at.isoformat(),
        "tries": event.tries,
    }


def show(heads: list[str], lines: list[list[str]]) -> None:
    """A table on stdout."""
    from rich.table import Table

    table = Table(box=None, header_style="bold")
    for head in heads:
        table.add_column(head, overflow="fold")
    for line in lines:
        table.add_row(*(safe(text) for text in line))
    out().print(table)


def _document(one: WaitingEvent) -> dict[str, Any]:
    until = None if one.until is None else one.until.isoformat()
    return {"sink": one.sink, **event_document(one.event), "not_before": until}


def _sink_document(sink: Sink, told: SinkBacklog) -> dict[str, Any]:
    oldest = None if told.oldest_event is None else told.oldest_event.isoformat()
    return {
        "sink": sink.name,
        "types": list(sink.types),
        "waiting": told.unpublished,
        "oldest": oldest,
        "dead": told.dead,
    }


def _line(one: WaitingEvent) -> list[str]:
    event = one.event
    return [one.sink, event.id, event.type, _at(event.at), str(event.tries), _at(one.until)]


def _at(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}Z"
