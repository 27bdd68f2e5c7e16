"""What stands at the broker for a queue of jobs, and how long a message may be made to wait there.

    jobs                 quorum queue; what is refused or came back 20 times goes to jobs.dead
    jobs.dead            fanout exchange and quorum queue; nobody reads it but people
    jobs.wait-250        topic exchange and quorum queue whose messages wait 250 ms; likewise 500 … 256000

A message that shall come after 1.75 s goes through wait-1000, wait-500 and wait-250: the bits of its delay, in quarters
of a second, are the words of its routing key. Each exchange sends it into its queue where its bit is 1, and straight
on to the next lower exchange where it is 0; what has waited is dead-lettered to that same exchange. So any delay is
kept to a quarter of a second, and no message stands behind one that waits longer (messages of one queue all wait
equally long; RabbitMQ looks only at a queue's head).
"""

from collections.abc import Iterator
from datetime import timedelta
from math import ceil
from typing import Any

import attrs
from aiormq.abc import AbstractChannel

UNIT = timedelta(milliseconds=250)
LEVELS = 11
LONGEST = UNIT * (2**LEVELS - 1)
"""Eight and a half minutes: the longest that a message can be made to wait."""

DELIVERIES = 20
"""After so many deliveries without an answer a message is dead-lettered; RabbitMQ 4 has no other default."""


@attrs.frozen
class Declared:
    """A queue with its arguments, or an exchange (``kind``), with where it is bound."""

    name: str
    kind: str | None = None
    arguments: dict[str, Any] = attrs.field(factory=dict[str, Any])
    queues: tuple[tuple[str, str], ...] = ()  #: bound to this exchange: queue and key
    exchanges: tuple[tuple[str, str], ...] = ()  #: likewise exchanges


@attrs.frozen
class Way:
    """Where a message is published."""

    exchange: str
    key: str


def quorum(**arguments: Any) -> dict[str, Any]:
    """The arguments of a quorum queue; ``_`` in a name stands for ``-``."""
    return {"x-queue-type": "quorum"} | {f"x-{name.replace('_', '-')}": value for name, value in arguments.items()}


def job_topology(queue: str) -> list[Declared]:
    """All of it, in an order in which it can be declared."""
    careful: dict[str, Any] = {"dead_letter_strategy": "at-least-once", "overflow": "reject-publish"}
    dead = f"{queue}.dead"
    return [
        Declared(dead, arguments=quorum()),
        Declared(dead, kind="fanout", queues=((dead, ""),)),
        Declared(queue, arguments=quorum(delivery_limit=DELIVERIES, dead_letter_exchange=dead, **careful)),
        *_levels(queue, careful),
    ]


def _levels(queue: str, careful: dict[str, Any]) -> Iterator[Declared]:
    for level in range(LEVELS):
        name, lower = _level(queue, level), _level(queue, level - 1)
        after = (
            {"dead_letter_exchange": lower} if level else {"dead_letter_exchange": "", "dead_letter_routing_key": queue}
        )
        ttl = (UNIT * 2**level) // timedelta(milliseconds=1)
        one, none = (f"{'*.' * (LEVELS - 1 - level)}{bit}.#" for bit in "10")
        yield Declared(name, arguments=quorum(message_ttl=ttl, **after, **careful))
        if level:
            yield Declared(name, kind="topic", queues=((name, one),), exchanges=((lower, none),))
        else:
            yield Declared(name, kind="topic", queues=((name, one), (queue, none)))


def _level(queue: str, level: int) -> str:
    return f"{queue}.wait-{(UNIT * 2**level) // timedelta(milliseconds=1)}" if level >= 0 else ""


def way(queue: str, after: timedelta) -> Way:
    """The way of a message that shall come after that time, at most ``LONGEST``, or up to ``UNIT`` later."""
    if after <= timedelta(0):
        return Way("", queue)
    units = ceil(min(after, LONGEST) / UNIT)
    return Way(_level(queue, units.bit_length() - 1), ".".join(f"{units:0{LEVELS}b}"))


async def declare(channel: AbstractChannel, declared: Declared) -> None:
    """Make it, or find it as it should be. Raises aiormq's errors."""
    if declared.kind is None:
        await channel.queue_declare(declared.name, durable=True, arguments=declared.arguments)
        return
    await channel.exchange_declare(
        declared.name, exchange_type=declared.kind, durable=True, arguments=declared.arguments
    )
    for queue, key in declared.queues:
        await channel.queue_bind(queue, declared.name, routing_key=key)
    for exchange, key in declared.exchanges:
        await channel.exchange_bind(destination=exchange, source=declared.name, routing_key=key)
