"""A way to the broker that can be made to swallow everything, as a network does whose route is gone."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit


class Proxy:
    """Passes on what comes; while it swallows, both sides stay connected and hear nothing."""

    def __init__(self, address: str) -> None:
        self._address = urlsplit(address)
        self._open = asyncio.Event()
        self._answers = asyncio.Event()
        self._held = asyncio.Event()
        self.pass_on()
        self.url = ""

    def swallow(self) -> None:
        """From now on nothing gets through: not on connections that are there, nor on new ones."""
        self._open.clear()

    def swallow_answers(self) -> None:
        """From now on nothing comes back from the broker; what is sent to it arrives."""
        self._answers.clear()

    def hold_answers(self) -> None:
        """From now on the broker's answers wait here."""
        self._held.clear()

    def pass_on(self) -> None:
        """Let new connections through, and what was held."""
        self._held.set()
        self._open.set()
        self._answers.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers = [writer]
        try:
            await self._open.wait()
            answers, to_broker = await asyncio.open_connection(self._address.hostname, self._address.port)
            writers.append(to_broker)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass(reader, to_broker, self._request_passes))
                both.create_task(self._pass(answers, writer, self._answer_passes))
        finally:
            for opened in writers:
                opened.transport.abort()
                with suppress(OSError):
                    await opened.wait_closed()

    async def _request_passes(self) -> bool:
        return self._open.is_set()

    async def _answer_passes(self) -> bool:
        await self._held.wait()
        return self._open.is_set() and self._answers.is_set()

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, passes: Callable[[], Awaitable[bool]]
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                if await passes():
                    writer.write(data)
                    await writer.drain()
        writer.close()


@asynccontextmanager
async def proxied(address: str) -> AsyncGenerator[Proxy]:
    """The way; ``url`` is the broker's by this way."""
    proxy = Proxy(address)
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(proxy.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    parts = urlsplit(address)
    proxy.url = parts._replace(netloc=f"{parts.username}:{parts.password}@127.0.0.1:{port}").geturl()
    yield proxy
    server.close()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
