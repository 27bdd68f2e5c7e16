"""A connection to RabbitMQ that is kept up: made again after every loss, with what stands on it declared anew.

The connection is aio-pika's plain one, and what goes over it uses the channels beneath (its own package aiormq), which
tell of every closure and confirmation. Its robust connection is not relied on: it misses a queue that was deleted, and
a broker that keeps its connections open and answers nothing. Here one task owns the connection. Whatever looks wrong
(a closed channel, a consumer that was cancelled, an answer that does not come) ends the session, and the next one
begins from nothing. Rule: only that task asks the broker anything but to take messages; a channel does not survive a
question that was given up.
"""

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

import attrs
import structlog
from aio_pika.connection import Connection
from aiormq.abc import AbstractChannel, AbstractConnection
from aiormq.channel import Channel
from aiormq.connection import TCPTransportFactory, TLSTransportFactory, TransportFactory
from aiormq.exceptions import ConnectionClosed
from yarl import URL

from mainspring.adapters.rabbitmq.location import RabbitLocation
from mainspring.adapters.rabbitmq.troubles import LostError, waited
from mainspring.ports.errors import SettingsError, UnavailableError

logger = structlog.get_logger("mainspring.rabbitmq")

Sleep = Callable[[float], Awaitable[None]]


@attrs.frozen(kw_only=True)
class Timing:
    """Seconds."""

    patience: float = 5.0  #: for a message to be confirmed, the way there included
    answer: float = 5.0  #: for the broker to answer a question
    look: float = 5.0  #: between two looks whether everything stands
    idle: float = 0.25  #: after so long without a receiver nothing is consumed any more
    longest_pause: float = 2.0  #: between two tries to connect


class Session:
    """One connection, while it lasts."""

    def __init__(self, connection: AbstractConnection, channel: Channel) -> None:
        self.connection = connection
        self.channel = channel  #: confirms what is published, and raises for what no queue takes
        self._stirred = asyncio.Event()
        self._why: str | None = None
        on_close(connection, self._closed)
        on_close(channel, self._closed)

    @property
    def unconfirmed(self) -> int:
        """Messages that were published and that the broker has not confirmed."""
        return len(cast("Any", self.channel).confirmations)

    def stir(self) -> None:
        """Let ``rest`` return: there is something to do."""
        self._stirred.set()

    def lose(self, why: str) -> None:
        """End the session; safe to call at any time, and more than once."""
        self._why = self._why or why
        self._stirred.set()

    async def rest(self, seconds: float) -> None:
        """Return when stirred, or after that time.

        Raises:
            LostError: the session is over.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stirred.wait()
        self._stirred.clear()
        if self._why is not None:
            raise LostError(self._why)

    def _closed(self, error: BaseException | None) -> None:
        self.lose(f"the connection or a channel was closed: {error or 'without a reason'}")


def on_close(closable: AbstractConnection | AbstractChannel, call: Callable[[BaseException | None], None]) -> None:
    """Call it when the connection or channel is closed, with the reason."""

    def closed(closing: "asyncio.Future[Any]") -> None:
        call(None if closing.cancelled() else closing.exception())

    closing: asyncio.Future[Any] = cast("Any", closable).closing
    closing.add_done_callback(closed)


Attend = Callable[[Session], Awaitable[None]]


class Link:
    """The sessions with one broker, one after the other; the first begins when somebody asks for it.

    Args:
        location: of the broker.
        prepare: declares and checks what is used, when a session begins; a SettingsError is told to all who ask.
        attend: what is done while a session lasts; ends by raising, or by cancellation.
        sleep: between tries; for tests.
    """

    def __init__(
        self,
        location: RabbitLocation,
        *,
        prepare: Callable[[AbstractChannel], Awaitable[None]],
        attend: Attend,
        timing: Timing,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.shown = location.shown
        self.timing = timing
        self.sessions = 0  #: begun so far
        self._location = location
        self._prepare = prepare
        self._attend = attend
        self._sleep = sleep
        self._session: Session | None = None
        self._trouble: Exception | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._waiting: set[asyncio.Future[None]] = set()
        self._closed = False

    @property
    def current(self) -> Session | None:
        """The session, if there is one."""
        return self._session

    @property
    def failing(self) -> bool:
        """Whether there is no session, and the newest try to begin one failed."""
        return self._session is None and self._trouble is not None

    async def session(self, patience: float | None = None) -> Session:
        """The session; waits for one up to ``patience`` seconds.

        Raises:
            SettingsError: the broker, or what was found there, refuses us, and has never done otherwise. (A process
                that has worked goes on trying: somebody may be at work there.)
            UnavailableError: there was none for so long.
        """
        if self._session is not None:
            return self._session
        try:
            async with asyncio.timeout(self.timing.patience if patience is None else patience):
                return await self._awaited()
        except TimeoutError as error:
            raise self.unavailable() from error

    def unavailable(self) -> UnavailableError:
        """The error for who had no more patience."""
        why = self._trouble or "it does not answer"
        return UnavailableError(f"{self.shown} cannot be used for {self.timing.patience:g} s: {why}")

    def lose(self, session: Session, why: str) -> None:
        """This session is of no use any more: the next one is made, with all that stands on it."""
        session.lose(why)
        if self._session is session:
            self._session = None

    def begin(self) -> None:
        """Connect in the background, unless that is done already; anew if it was ended, as a function's host does."""
        if (self._keeper is None or self._keeper.done()) and not self._closed:
            if (theirs := logging.getLogger("aiormq")).level == logging.NOTSET:
                theirs.setLevel(logging.CRITICAL)  # each try to connect is an error there; it is told here, once
            self._keeper = asyncio.get_running_loop().create_task(self._keep(), name="mainspring rabbitmq")
            self._keeper.add_done_callback(lambda _: self._tell())  # who waits for a session must begin anew

    async def close(self) -> None:
        """Say goodbye to the broker. Closing twice does nothing."""
        self._closed = True
        self._tell()
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            await asyncio.wait([keeper])

    async def _awaited(self) -> Session:
        while self._session is None:
            if self._closed:
                raise UnavailableError(f"{self.shown}: it was closed")
            if isinstance(self._trouble, SettingsError) and not self.sessions:
                raise SettingsError(str(self._trouble)) from self._trouble
            self.begin()
            news: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.add(news)
            try:
                await news
            finally:
                self._waiting.discard(news)
        return self._session

    def _tell(self) -> None:
        for news in self._waiting:
            if not news.done():
                news.set_result(None)

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            began = loop.time()
            try:
                async with connected(self._location, self.timing) as connection:
                    session = await self._begun(connection)
                    if failures:
                        logger.info("rabbitmq_back", broker=self.shown)
                    await waited(self._attend(session), self.shown)
            except (UnavailableError, SettingsError, TimeoutError) as error:
                self._trouble = error if str(error) else LostError("an answer did not come in time")
            finally:
                self._session = None
            self._tell()
            if loop.time() - began > self.timing.look:
                failures = 0
            if not failures:
                logger.warning("rabbitmq_lost", broker=self.shown, error=str(self._trouble))
            failures += 1
            await self._sleep(pause(failures, self.timing.longest_pause))

    async def _begun(self, connection: AbstractConnection) -> Session:
        async with asyncio.timeout(4 * self.timing.answer):  # queues are made slowly where there are replicas
            channel = cast("Channel", await waited(connection.channel(on_return_raises=True), self.shown))
            await waited(self._prepare(channel), self.shown)
        session = Session(connection, channel)
        self.sessions += 1
        self._session, self._trouble = session, None
        self._tell()
        return session


def pause(failures: int, longest: float) -> float:
    """Seconds before the next try: none worth speaking of at first, doubling, never the same for a whole fleet."""
    return min(longest, 0.02 * 2.0 ** min(failures, 16)) * random.uniform(0.5, 1.0)  # noqa: S311  jitter


class _Kept(TransportFactory):
    """Remembers the writer: a connection that hangs is ended by its end."""

    writer: asyncio.StreamWriter | None = None

    async def create(self, url: URL, **kwargs: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        factory = TLSTransportFactory() if url.scheme == "amqps" else TCPTransportFactory()
        reader, self.writer = await factory.create(url, **kwargs)
        return reader, self.writer


@asynccontextmanager
async def connected(location: RabbitLocation, timing: Timing) -> AsyncGenerator[AbstractConnection]:
    """A connection, closed after the block, within a second even if the broker hangs.

    Raises:
        UnavailableError: there is none to be had.
        SettingsError: the broker refuses us.
    """
    kept = _Kept()
    try:
        try:
            async with asyncio.timeout(timing.answer):
                connection = Connection(URL(location.address), client_properties={"connection_name": "mainspring"})
                connection.kwargs["transport_factory"] = kept
                await waited(connection.connect(), location.shown)
        except TimeoutError as error:
            raise LostError(f"{location.shown} does not answer") from error
        if connection.transport is None:
            raise LostError(f"{location.shown} closed the connection at once")
        try:
            yield connection.transport.connection
        finally:
            with suppress(Exception):
                async with asyncio.timeout(1):
                    # Without a reason, whoever still waits for a confirmation would be cancelled.
                    await connection.close(ConnectionClosed(0, "closed"))
    finally:
        if kept.writer is not None:
            kept.writer.transport.abort()
