"""Publishing with confirms. Rule: a message counts as sent when the broker says that a queue keeps it, never before.

Confirmations are awaited side by side: any number of calls share one channel, and each waits for its own only.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import attrs
from aiormq.channel import Channel
from pamqp.commands import Basic

from mainspring.adapters.rabbitmq.link import Link
from mainspring.adapters.rabbitmq.topology import Way
from mainspring.adapters.rabbitmq.troubles import LostError, UnroutableError, waited

_PERSISTENT = 2
_MOST_AT_ONCE = 1000  # messages on their way: what the broker has not confirmed is kept in memory


@attrs.frozen
class Message:
    """What is published, and where."""

    way: Way
    body: bytes
    properties: dict[str, Any] = attrs.field(factory=dict[str, Any])
    mandatory: bool = True  #: a message that no queue takes is an error, not forgotten


async def publish(channel: Channel, message: Message, shown: str) -> None:
    """Publish, and wait for the broker's word.

    Raises:
        UnroutableError, RefusedError: it was not taken.
        LostError: nobody knows.
    """
    publishing = channel.basic_publish(
        message.body,
        exchange=message.way.exchange,
        routing_key=message.way.key,
        properties=Basic.Properties(delivery_mode=_PERSISTENT, **message.properties),
        mandatory=message.mandatory,
        wait=False,
    )
    await waited(publishing, shown)


async def publish_all(link: Link, messages: Sequence[Message]) -> None:
    """Publish all, repeating what was not confirmed while there is patience: a message may arrive more than once.

    Raises:
        UnavailableError: not all were confirmed in time.
        SettingsError: the broker refuses us.
    """
    for begin in range(0, len(messages), _MOST_AT_ONCE):
        left = messages[begin : begin + _MOST_AT_ONCE]
        try:
            async with asyncio.timeout(link.timing.patience):
                while left:
                    left = await _tried(link, left)
        except TimeoutError as error:
            raise link.unavailable() from error


async def _tried(link: Link, messages: Sequence[Message]) -> Sequence[Message]:
    """Those that are to be tried once more."""
    session = await link.session()
    if len(messages) == 1:  # nearly always: no task for it
        answers: list[BaseException | None] = [await _answer(session.channel, messages[0], link.shown)]
    else:
        answers = await asyncio.gather(*(_answer(session.channel, message, link.shown) for message in messages))
    left: list[Message] = []
    for message, error in zip(messages, answers, strict=True):
        if isinstance(error, (LostError, UnroutableError)):
            link.lose(session, str(error))
            left.append(message)
        elif error is not None:
            raise error
    return left


async def _answer(channel: Channel, message: Message, shown: str) -> Exception | None:
    try:
        await publish(channel, message, shown)
    except TimeoutError:
        raise
    except Exception as error:  # noqa: BLE001  one that is not taken must not stop the others
        return error
    return None
