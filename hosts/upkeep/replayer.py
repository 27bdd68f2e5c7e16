"""Replaying or discarding dead letters until none of those that were there is left; what dies meanwhile stays."""

from collections import Counter
from datetime import timedelta

import attrs

from mainspring.kernel.commands.dead_letter_replay import MOST, ReplayDeadLetters
from mainspring.kernel.dispatcher import Dispatcher
from mainspring.ports.names import SinkName
from mainspring.ports.persistence import RunStore
from mainspring.ports.sinks import EventFilter

_TICK = timedelta(microseconds=1)


async def replay(
    store: RunStore,
    dispatcher: Dispatcher,
    where: EventFilter,
    limit: int | None = None,
    *,
    discard: bool = False,
    batch: int = MOST,
) -> Counter[SinkName]:
    """Have the letters that match wait again, or drop them, the oldest first; how many this call moved, by sink.

    Raises:
        PortError: the store failed; what was moved until then stays so, and asking again goes on.
    """
    until = await store.now() + _TICK
    asked = attrs.evolve(where, before=until if where.before is None else min(where.before, until))
    moved: Counter[SinkName] = Counter()
    while limit is None or moved.total() < limit:
        most = batch if limit is None else min(batch, limit - moved.total())
        answer = await dispatcher.dispatch(ReplayDeadLetters(where=asked, limit=most, discard=discard))
        moved.update(letter.sink for letter in answer.letters)
        if len(answer.letters) < most:
            break
    return moved
