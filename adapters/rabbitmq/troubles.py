"""What goes wrong at RabbitMQ, in the ports' words. Rule: a broker's text is repeated, never an address or a message.

Some futures of aiormq end as cancelled, or with a bare ``Exception``, when their connection does: ``waited`` tells such
an end from a real cancellation.
"""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from aiormq.exceptions import (
    AuthenticationError,
    ChannelAccessRefused,
    ChannelPreconditionFailed,
    ConnectionNotAllowed,
    DeliveryError,
    ProbableAuthenticationError,
    PublishError,
)

from mainspring.ports.errors import MainspringError, SettingsError, UnavailableError

T = TypeVar("T")


class LostError(UnavailableError):
    """The connection, the channel or the queue is gone; what was not confirmed may have arrived all the same."""


class UnroutableError(UnavailableError):
    """No queue takes the message: the broker gave it back."""


class RefusedError(UnavailableError):
    """The broker would not keep the message."""


async def waited(answer: Awaitable[T], shown: str) -> T:
    """The broker's answer.

    Raises:
        LostError: there will be none.
        UnroutableError, RefusedError: a message was not taken.
        SettingsError: the broker refuses what it was asked for, and will again.
    """
    try:
        return await answer
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise LostError(f"{shown}: the connection was lost") from error
    except TimeoutError:
        raise
    except Exception as error:
        raise translated(error, shown) from error


def translated(error: Exception, shown: str) -> MainspringError:
    """The port's error, to be raised from it."""
    if isinstance(error, MainspringError):
        return error
    if isinstance(error, (AuthenticationError, ProbableAuthenticationError)):
        return SettingsError(f"{shown}: user or password is wrong")
    if isinstance(error, (ConnectionNotAllowed, ChannelAccessRefused)):
        return SettingsError(f"{shown}: {_words(error)}; check the virtual host and the user's rights in it")
    if isinstance(error, ChannelPreconditionFailed) and "inequivalent arg" in _words(error):
        remedy = "use another name, or delete it once it is empty: it is declared anew"
        return SettingsError(f"{shown}: it exists with other properties: {_words(error)}; {remedy}")
    if isinstance(error, PublishError):
        return UnroutableError(f"{shown}: no queue takes the message")
    if isinstance(error, DeliveryError):
        return RefusedError(f"{shown}: the broker would not keep the message (a limit, or replicas are missing)")
    if isinstance(error, OSError):
        return LostError(f"{shown}: {error.strerror or type(error).__name__}")
    return LostError(f"{shown}: {_words(error) or type(error).__name__}")


def _words(error: Exception) -> str:
    return " ".join(str(word) for word in error.args)[:400]
