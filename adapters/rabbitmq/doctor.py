"""Examining a queue of jobs at RabbitMQ: whether it keeps what it confirms, and nothing piles up unseen.

Rule: nothing is made that is not there. What is there is declared once more as it should be: an equal declaration does
nothing, and another one is refused with the words of what differs. How often a message may come back before it is
dead-lettered may also be limited by a policy, which AMQP does not tell.
"""

import asyncio
from collections.abc import Sequence

from aiormq.abc import AbstractConnection
from aiormq.exceptions import ChannelNotFoundEntity

from mainspring.adapters.rabbitmq.link import Timing, connected
from mainspring.adapters.rabbitmq.location import locate, named
from mainspring.adapters.rabbitmq.topology import DELIVERIES, LONGEST, Declared, declare, job_topology
from mainspring.adapters.rabbitmq.troubles import translated
from mainspring.ports.diagnosis import Check, failed, passed, warned
from mainspring.ports.errors import MainspringError

_OLDEST = (3, 10)  # the first whose quorum queues know how long a message may wait
_MADE = "the first worker that uses this URL makes it"


def examine_rabbitmq(url: str) -> list[Check]:
    """Look at a queue of jobs. Blocks for some round trips; not to be called where an event loop runs.

    Args:
        url: as for :class:`mainspring.adapters.rabbitmq.job_transport.RabbitJobTransport`.

    Raises:
        SettingsError: the URL names no queue.
    """
    location = locate(url, known={"queue"})
    queue = named(location.options, "queue", "mainspring")

    async def examined() -> list[Check]:
        try:
            async with connected(location, Timing()) as connection:
                return [passed("reachable", location.shown), *await _examined(connection, queue)]
        except MainspringError as error:
            remedy = "check host, port, virtual host, user and password, and whether the broker runs"
            return [failed("reachable", str(error), remedy)]

    return asyncio.run(examined())


async def _examined(connection: AbstractConnection, queue: str) -> list[Check]:
    dead, dead_exchange, jobs, *waits = job_topology(queue)
    kept = f"quorum, dead-lettered to {dead.name} after {DELIVERIES} deliveries"
    return [
        _server(connection),
        await _stands(connection, "queue", [jobs], kept),
        await _stands(connection, "dead letters", [dead, dead_exchange], "kept"),
        await _stands(connection, "wait queues", waits, f"up to {LONGEST.total_seconds():g} s"),
        await _buried(connection, dead.name),
    ]


def _server(connection: AbstractConnection) -> Check:
    product, found = (str(connection.server_properties.get(name, "0")) for name in ("product", "version"))
    told = f"{product} {found}"
    numbers = tuple(int(part) if part.isdigit() else 0 for part in found.split(".")[:2])
    if numbers < _OLDEST:
        return failed("server", told, f"upgrade it to {_OLDEST[0]}.{_OLDEST[1]} or newer")
    return passed("server", told)


async def _stands(connection: AbstractConnection, name: str, expected: Sequence[Declared], told: str) -> Check:
    missing = [declared.name for declared in expected if not await _there(connection, declared)]
    if missing:
        return warned(name, f"{', '.join(dict.fromkeys(missing))}: not there", _MADE)
    channel = await connection.channel()
    for declared in expected:
        try:
            await declare(channel, declared)
        except Exception as error:  # noqa: BLE001  whatever it is, it is told
            return failed(name, str(translated(error, declared.name)), "mend it: workers do not start on it")
    await channel.close()
    return passed(name, told)


async def _there(connection: AbstractConnection, declared: Declared) -> bool:
    channel = await connection.channel()
    try:
        if declared.kind is None:
            await channel.queue_declare(declared.name, passive=True)
        else:
            await channel.exchange_declare(declared.name, passive=True)
    except ChannelNotFoundEntity:
        return False
    await channel.close()
    return True


async def _buried(connection: AbstractConnection, dead: str) -> Check:
    channel = await connection.channel()
    try:
        count = (await channel.queue_declare(dead, passive=True)).message_count or 0
    except ChannelNotFoundEntity:
        return passed("refused messages", "none")
    await channel.close()
    if count:
        remedy = f"see who else publishes here; read them, then purge {dead}: jobs themselves do not depend on them"
        return warned("refused messages", f"{count} in {dead}", remedy)
    return passed("refused messages", "none")
