"""EventSink on EventBridge: events as CloudEvents in the ``detail`` of what a bus hands on.

Rules: a bus keeps no order, whatever is done here: its consumers go by ``detail.sequence``. What is promised is that
after an event that was refused no later one of its run was published. A call holds at most ten events and 256 KiB,
each event of another run.
"""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any, Final

import attrs
from botocore.exceptions import ClientError  # type: ignore[import-untyped]

from mainspring.adapters.aws.calls import AwsCalls, Sleep, is_outage, is_passing, translated
from mainspring.adapters.aws.location import locate
from mainspring.adapters.aws.rounds import PATIENCE, TOO_LONG, in_rounds
from mainspring.ports.errors import MainspringError, UnavailableError
from mainspring.ports.event_sink import Untried
from mainspring.ports.messages import write_event
from mainspring.ports.records import Event

MOST_ENTRIES: Final = 10
"""Events of one call: the service's limit."""

MOST_BYTES: Final = 256 * 1024
"""Bytes of one call, and so of one event: the service's limit."""

_TIME: Final = 14  # bytes that an entry's time counts for
_READ_TIMEOUT: Final = 10.0  # seconds: a relay's lease does not last long


@attrs.frozen
class _Entry:
    event: Event
    parameters: dict[str, Any]

    @property
    def size(self) -> int:
        """Bytes, as the service counts them."""
        return _TIME + sum(len(str(self.parameters[name]).encode()) for name in ("Source", "DetailType", "Detail"))


class EventBridgeSink:
    """Publishes to one bus, for one event loop at a time.

    ``source`` is the events' source there; ``detail-type`` is the event's type (``run.completed``), ``detail`` the
    CloudEvent, ``time`` when it was committed.

    Args:
        url: ``eventbridge://bus?region=…&endpoint=…``; the account's own bus is called ``default``.
        source: which Mainspring they come from.
        patience: seconds for a batch; what is not taken by then was not tried.
        sleep: between two attempts at a call.
        client: another than boto3's own, with the same methods.

    Raises:
        SettingsError: the URL names no bus, or no region is known.
    """

    def __init__(
        self,
        url: str,
        *,
        source: str = "mainspring",
        patience: float = PATIENCE,
        sleep: Sleep = asyncio.sleep,
        client: Any = None,
    ) -> None:
        location = locate(url, "eventbridge")
        self._bus = location.name
        self._source = source
        self._patience = patience
        self._calls = AwsCalls("events", location, read_timeout=_READ_TIMEOUT, sleep=sleep, client=client)

    async def publish(self, events: Sequence[Event]) -> list[str | None]:
        """As the port says. An event of more than 256 KiB is refused, whenever it comes."""
        return await in_rounds(events, self._round, self._patience)

    async def close(self) -> None:
        """Let go of threads and connections. Closing twice does nothing."""
        self._calls.close()

    async def _round(self, events: Sequence[Event], until: float) -> list[str | None]:
        entries = [_Entry(event, self._parameters(event)) for event in events]
        batches = list(_batches([entry for entry in entries if entry.size <= MOST_BYTES]))
        told = await asyncio.gather(*(self._put(batch, until) for batch in batches))
        answers = {event_id: answer for batch in told for event_id, answer in batch.items()}
        too_large = "event {} makes an entry of {} bytes; EventBridge takes at most {}"
        return [
            answers[entry.event.id]
            if entry.event.id in answers
            else too_large.format(entry.event.id, entry.size, MOST_BYTES)
            for entry in entries
        ]

    def _parameters(self, event: Event) -> dict[str, Any]:
        return {
            "EventBusName": self._bus,
            "Source": self._source,
            "DetailType": event.type,
            "Detail": write_event(event, self._source),
            "Time": event.at,
        }

    async def _put(self, entries: Sequence[_Entry], until: float) -> dict[str, str | None]:
        """For each event's id: None when it was taken, else why not. Those refused in passing are sent again."""
        left = list(entries)
        answers: dict[str, str | None] = {}

        def once(client: Any) -> None:
            said = client.put_events(Entries=[entry.parameters for entry in left])["Entries"]
            again: list[_Entry] = []
            for entry, one in zip(tuple(left), said, strict=True):
                answers[entry.event.id] = None
                if one.get("ErrorCode"):
                    refusal = {"Code": one["ErrorCode"], "Message": one.get("ErrorMessage", "")}
                    error = ClientError({"Error": refusal}, "PutEvents")
                    answers[entry.event.id] = str(translated(error, self._calls.shown))
                    again += [entry] if is_passing(error) else []
            left[:] = again
            if left:
                raise UnavailableError(f"{self._calls.shown} did not take {len(left)} of {len(said)} events")

        try:
            async with asyncio.timeout_at(until):
                await self._calls.repeat(once)
        except TimeoutError:  # a call may go on in its thread: what it writes down is not looked at
            return {entry.event.id: TOO_LONG for entry in entries}
        except (ClientError, MainspringError) as error:
            reason = str(translated(error, self._calls.shown))
            for entry in left:  # what is left was refused in passing, or not at all
                told = answers.get(entry.event.id) or reason
                answers[entry.event.id] = Untried(told) if is_outage(error) else told
        return answers


def _batches(entries: Sequence[_Entry]) -> Iterator[list[_Entry]]:
    """The entries in their order, in batches that the service takes."""
    batch: list[_Entry] = []
    room = MOST_BYTES
    for entry in entries:
        if batch and (len(batch) == MOST_ENTRIES or entry.size > room):
            yield batch
            batch, room = [], MOST_BYTES
        batch.append(entry)
        room -= entry.size
    if batch:
        yield batch
