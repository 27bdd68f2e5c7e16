"""dead_letter.replay: have events that were given up on wait again, each at its old place; or have them discarded.

Guard: they are still dead.

So a replay that comes twice, or beside another, moves each letter once; whoever comes later is told of what it moved
itself. An event tells all there is to tell of it: whether its run is still there does not matter.
"""

from typing import ClassVar

import attrs

from mainspring.kernel.decision import Command, Decision, Facts, Handler, Repeat
from mainspring.ports.change import Change, Replayed
from mainspring.ports.persistence import RunStore
from mainspring.ports.sinks import DeadLetter, EventFilter

MOST = 500
"""As many letters as one command replays at most."""


@attrs.frozen(kw_only=True)
class LettersReplayed:
    """What will be published again, or is gone."""

    letters: tuple[DeadLetter, ...]  #: as they were


@attrs.frozen(kw_only=True)
class ReplayDeadLetters(Command[LettersReplayed]):
    """Replays or discards the oldest letters that match, up to ``MOST``; none left is no error."""

    name: ClassVar[str] = "dead_letter.replay"

    where: EventFilter = attrs.field(factory=EventFilter)
    limit: int = MOST
    discard: bool = False


async def load(command: ReplayDeadLetters, store: RunStore, facts: Facts, repeat: Repeat) -> list[DeadLetter]:
    """The letters, as they are now."""
    return await store.dead_letters(min(command.limit, MOST), command.where)


def decide(command: ReplayDeadLetters, letters: list[DeadLetter], facts: Facts) -> Decision[LettersReplayed]:
    """Move all of them back, or drop them."""
    result = LettersReplayed(letters=tuple(letters))
    if not letters:
        return Decision(result)
    back = (
        Replayed(sink=one.sink, run_id=one.event.run_id, seq=one.event.seq, discarded=command.discard)
        for one in letters
    )
    return Decision(result, Change(replays=tuple(back)))


HANDLER: Handler[LettersReplayed] = Handler(load=load, decide=decide)
