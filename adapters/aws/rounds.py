"""Publishing to what answers for each event of a batch by itself, and promises nothing of their order.

Rule: a round holds one event of a run at most, so that one that is refused lets no later one of its run by.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from mainspring.ports.event_sink import UNTRIED, Untried
from mainspring.ports.names import RunId
from mainspring.ports.records import Event

PATIENCE: Final = 15.0
"""Seconds for all rounds: less than a relay's, which would not hear what was published until then."""

TOO_LONG: Final = Untried("the service did not answer in time")
"""The answer for an event whose call was given up."""

Round = Callable[[Sequence[Event], float], Awaitable[Sequence[str | None]]]
"""Publishes events of different runs until then, by the loop's clock; for each None, or why not. Raises nothing."""


async def in_rounds(events: Sequence[Event], publish: Round, patience: float = PATIENCE) -> list[str | None]:
    """What ``EventSink.publish`` answers."""
    loop = asyncio.get_running_loop()
    until = loop.time() + patience
    answers: list[str | None] = [UNTRIED] * len(events)
    waiting: dict[RunId, deque[int]] = {}
    for place, event in enumerate(events):
        waiting.setdefault(event.run_id, deque()).append(place)
    while waiting and loop.time() < until:
        places = [run.popleft() for run in waiting.values()]
        told = await publish([events[place] for place in places], until)
        for place, answer in zip(places, told, strict=True):
            answers[place] = answer
            run = waiting[events[place].run_id]
            while answer is not None and run:
                answers[run.popleft()] = f"held up by event {events[place].id}, which was refused"
        waiting = {run_id: run for run_id, run in waiting.items() if run}
    return answers
