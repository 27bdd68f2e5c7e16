"""A store that is there, opened for one question or one word, and closed again."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeVar

import typer

from mainspring.engine import Mainspring
from mainspring.hosts.cli.stores import open_existing
from mainspring.hosts.node_worker.logs import configure
from mainspring.ports.names import RunId, SinkName
from mainspring.ports.sinks import EventFilter, Sink

T = TypeVar("T")


def with_store(url: str | None, use: Callable[[Mainspring], Awaitable[T]]) -> T:
    """Open the store, use it, close it."""
    configure(level="error")

    async def main() -> T:
        async with Mainspring(parts=open_existing(url), worker=False) as engine:
            return await use(engine)

    return asyncio.run(main())


def which(
    *,
    sink: str | None,
    run: str | None,
    types: list[str] | None,
    event: str | None = None,
    since: str | None = None,
    before: str | None = None,
) -> EventFilter:
    """The filter that options name.

    Raises:
        typer.BadParameter: one of them says nothing.
        SettingsError: a type is none.
    """
    run_id, seq = run, None
    if event is not None:
        run_id, _, number = event.rpartition("/")
        if not run_id or not number.isdecimal() or run not in {None, run_id}:
            raise typer.BadParameter(f"an event's id is <run id>/<number>, and of the run that is asked for: {event}")
        seq = int(number)
    return EventFilter(
        sink=None if sink is None else SinkName(sink),
        run_id=None if run_id is None else RunId(run_id),
        seq=seq,
        types=Sink(types=tuple(types or ())).types,
        since=_moment(since),
        before=_moment(before),
    )


def _moment(text: str | None) -> datetime | None:
    """An aware moment; without an offset it is of this machine's time zone."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"a moment looks like 2026-03-01T12:00 or 2026-03-01T12:00Z, not {text!r}") from None
    return moment.astimezone() if moment.tzinfo is None else moment
