"""``mainspring dead-letters``: events that were given up on; look at them, have them published again, or drop them."""

from collections import Counter
from typing import Annotated, Any

import typer

from mainspring.engine import Mainspring
from mainspring.hosts.cli.asking import which, with_store
from mainspring.hosts.cli.events_commands import (
    EventOption,
    LimitOption,
    RunOption,
    SinkOption,
    TypeOption,
    event_document,
    show,
)
from mainspring.hosts.cli.options import AsJson, Database
from mainspring.hosts.cli.output import note, print_document
from mainspring.hosts.upkeep.replayer import replay
from mainspring.kernel.dispatcher import Dispatcher
from mainspring.ports.errors import SettingsError
from mainspring.ports.names import SinkName
from mainspring.ports.sinks import EVERY_EVENT, DeadLetter, EventFilter

app = typer.Typer(
    help="Events that no sink took: look at them, have them published again, or discard them.", no_args_is_help=True
)

SinceOption = Annotated[
    str | None, typer.Option("--since", metavar="MOMENT", help="Given up on then or later: 2026-03-01T12:00Z.")
]
BeforeOption = Annotated[str | None, typer.Option("--before", metavar="MOMENT", help="Given up on before then.")]


@app.command("list")
def list_letters(
    *,
    sink: SinkOption = None,
    run: RunOption = None,
    event: EventOption = None,
    types: TypeOption = None,
    since: SinceOption = None,
    before: BeforeOption = None,
    limit: LimitOption = 100,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """List dead letters with their last errors, the oldest first."""
    where = which(sink=sink, run=run, event=event, types=types, since=since, before=before)

    async def read(engine: Mainspring) -> list[DeadLetter]:
        return await engine.parts.store.dead_letters(limit, where)

    letters = with_store(database, read)
    _tell(letters, as_json=as_json)
    if letters and len(letters) == limit and not as_json:
        note(f"there may be more than {limit}: --limit")


@app.command("replay")
def replay_letters(
    *,
    sink: SinkOption = None,
    run: RunOption = None,
    event: EventOption = None,
    types: TypeOption = None,
    since: SinceOption = None,
    before: BeforeOption = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many; default: all.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be replayed.")] = False,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Have dead letters published again: all of them, or those that match every filter given.

    Each takes its old place, before later events of its run that still wait. Asked twice, or by two at once, each
    letter is replayed once.
    """
    where = which(sink=sink, run=run, event=event, types=types, since=since, before=before)
    if dry_run:
        _list(database, where, limit, as_json=as_json)
    else:
        _tell_moved(_moved(database, where, limit, discard=False), "replayed", as_json=as_json)


@app.command("discard")
def discard_letters(
    *,
    sink: SinkOption = None,
    run: RunOption = None,
    event: EventOption = None,
    types: TypeOption = None,
    since: SinceOption = None,
    before: BeforeOption = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many; default: all.")] = None,
    all_of_them: Annotated[
        bool, typer.Option("--all", help="Every dead letter there is; needed without a filter.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be discarded.")] = False,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Delete dead letters for good: those that match every filter given, or --all of them.

    A run that is old enough is only deleted once no dead letter of it is left.
    """
    where = which(sink=sink, run=run, event=event, types=types, since=since, before=before)
    if dry_run:
        _list(database, where, limit, as_json=as_json)
    elif where == EVERY_EVENT and not all_of_them:
        raise SettingsError("without a filter this would delete every dead letter for good; say --all if you mean it")
    else:
        _tell_moved(_moved(database, where, limit, discard=True), "discarded", as_json=as_json)


def _list(database: str | None, where: EventFilter, limit: int | None, *, as_json: bool) -> None:
    async def read(engine: Mainspring) -> list[DeadLetter]:
        return await engine.parts.store.dead_letters(limit or 10_000, where)

    _tell(with_store(database, read), as_json=as_json)


def _moved(database: str | None, where: EventFilter, limit: int | None, *, discard: bool) -> Counter[SinkName]:
    async def act(engine: Mainspring) -> Counter[SinkName]:
        parts = engine.parts
        dispatcher = Dispatcher(parts.store, parts.clock, parts.ids)
        return await replay(parts.store, dispatcher, where, limit, discard=discard)

    return with_store(database, act)


def _tell_moved(counts: Counter[SinkName], done: str, *, as_json: bool) -> None:
    if as_json:
        print_document({done: counts.total(), "sinks": dict(sorted(counts.items()))})
    else:
        told = ", ".join(f"{count:,} for {name}" for name, count in sorted(counts.items()))
        note(f"{done} {counts.total():,} dead letters{': ' + told if told else ''}")


def _tell(letters: list[DeadLetter], *, as_json: bool) -> None:
    if as_json:
        print_document({"dead_letters": [_document(letter) for letter in letters]})
    elif not letters:
        note("no dead letters match")
    else:
        lines = [
            [one.sink, one.event.id, one.event.type, f"{one.died_at:%Y-%m-%d %H:%M:%S}Z", one.error[:200]]
            for one in letters
        ]
        show(["sink", "event", "type", "given up", "last error"], lines)


def _document(letter: DeadLetter) -> dict[str, Any]:
    return {
        "sink": letter.sink,
        **event_document(letter.event),
        "died_at": letter.died_at.isoformat(),
        "error": letter.error,
    }
