"""The status server of a worker's process: ``/healthz``, ``/readyz`` and ``/metrics`` over plain HTTP, if asked for.

It has threads of its own, so that a slow or broken client costs the loop nothing; only the answers are asked of the
loop, one at a time. Rule: it listens on a loopback address, or wants a bearer token for every path.
"""

import asyncio
import hmac
import socket
import sys
import threading
from asyncio import AbstractEventLoop
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as LateError
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address, IPv6Address, ip_address
from socketserver import TCPServer
from typing import Any, TypeVar

import attrs
import structlog
from typing_extensions import override

from mainspring.hosts.node_worker.health import Health
from mainspring.ports.errors import SettingsError
from mainspring.ports.observer import Exposition

logger = structlog.get_logger("mainspring.status")

T = TypeVar("T")

PATIENCE = 5.0
"""Seconds that the loop may take to answer, and a client to ask."""

MOST_CLIENTS = 16
SHORTEST_TOKEN = 16

Answer = tuple[HTTPStatus, str, bytes]

_PLAIN = "text/plain; charset=utf-8"


@attrs.frozen(kw_only=True)
class StatusSettings:
    """Where the status server listens, and what it wants to be shown."""

    port: int  #: 0: any that is free, which the log tells
    address: str = "127.0.0.1"
    token: str = attrs.field(default="", repr=False)  #: empty: none is wanted, on a loopback address only

    def __attrs_post_init__(self) -> None:
        """Refuse what would listen without asking who is there."""
        if not 0 <= self.port <= 65_535:
            raise SettingsError(f"the metrics port must be between 0 and 65,535, not {self.port}")
        sound = len(self.token) >= SHORTEST_TOKEN and self.token.isascii() and self.token.isprintable()
        if self.token and not sound:
            raise SettingsError(f"the metrics token must be at least {SHORTEST_TOKEN} printable ASCII characters")
        if not self.ip.is_loopback and not self.token:
            raise SettingsError(
                f"metrics on {self.address} could be read from other machines: set MAINSPRING_METRICS_TOKEN, or leave"
                " MAINSPRING_METRICS_ADDRESS out"
            )

    @property
    def ip(self) -> IPv4Address | IPv6Address:
        """The address.

        Raises:
            SettingsError: it is no IP address.
        """
        try:
            return ip_address(self.address)
        except ValueError:
            raise SettingsError(f"the metrics address must be an IP address, not {self.address!r}") from None


class StatusServer:
    """Listens from its making on; answers while ``serving`` lasts.

    Raises:
        SettingsError: the port cannot be had.
    """

    def __init__(self, settings: StatusSettings, exposition: Exposition) -> None:
        self.exposition = exposition
        self._token = settings.token.encode()
        self._asking = threading.Lock()
        self._ask: Callable[[Callable[[Health], Coroutine[Any, Any, Any]]], Any] | None = None
        try:
            self._server = _Server(settings, self._answer)
        except OSError as error:
            place = f"port {settings.port} of {settings.address}"
            raise SettingsError(f"metrics cannot be served on {place}: {error.strerror or error}") from error
        self.port: int = self._server.server_address[1]

    @contextmanager
    def serving(self, loop: AbstractEventLoop, health: Health) -> Generator[None]:
        """Answer from what the health, on its loop, tells. The port is given back at the end."""
        self._ask = lambda question: _asked(loop, question(health))
        thread = threading.Thread(target=self._server.serve_forever, name="mainspring status", daemon=True)
        thread.start()
        logger.info("status_served", address=str(self._server.server_address[0]), port=self.port)
        try:
            yield
        finally:
            self._server.shutdown()
            self._server.server_close()

    def _answer(self, path: str, authorization: str | None) -> Answer:
        if self._token and not hmac.compare_digest(_bearer(authorization), self._token):
            return HTTPStatus.UNAUTHORIZED, _PLAIN, b"a bearer token is required\n"
        match path.partition("?")[0]:
            case "/healthz":
                return self._told(_nothing)
            case "/readyz":
                return self._told(Health.trouble)
            case "/metrics":
                return self._metrics()
            case _:
                return HTTPStatus.NOT_FOUND, _PLAIN, b"known: /healthz, /readyz, /metrics\n"

    def _told(self, question: Callable[[Health], Coroutine[Any, Any, str | None]]) -> Answer:
        """Fine, or why not."""
        try:
            trouble = self._put(question)
        except LateError:
            trouble = "the event loop does not answer"
        status = HTTPStatus.OK if trouble is None else HTTPStatus.SERVICE_UNAVAILABLE
        return status, _PLAIN, f"{trouble or 'ok'}\n".encode()

    def _metrics(self) -> Answer:
        with self._asking:  # many who ask at once must not multiply the work for the store
            try:
                standing = self._put(Health.standing)
            except LateError:
                return HTTPStatus.SERVICE_UNAVAILABLE, _PLAIN, b"the event loop does not answer\n"
            return HTTPStatus.OK, self.exposition.content_type, self.exposition.page(standing)

    def _put(self, question: Callable[[Health], Coroutine[Any, Any, T]]) -> T:
        if self._ask is None:  # pragma: no cover - it answers while it is served only
            raise LateError
        answer: T = self._ask(question)
        return answer


async def _nothing(_: Health) -> None:
    """A loop that gets here is alive."""


def _asked(loop: AbstractEventLoop, question: Coroutine[Any, Any, T]) -> T:
    """The loop's answer.

    Raises:
        LateError: there was none in time.
    """
    try:
        future: Future[T] = asyncio.run_coroutine_threadsafe(question, loop)
    except RuntimeError:  # the loop has closed
        question.close()
        raise LateError from None
    try:
        return future.result(PATIENCE)
    except CancelledError:  # it closes just now
        raise LateError from None
    finally:
        future.cancel()


def _bearer(authorization: str | None) -> bytes:
    scheme, _, token = (authorization or "").partition(" ")
    return token.strip().encode("utf-8", "replace") if scheme.lower() == "bearer" else b""


class _Server(ThreadingHTTPServer):
    """A thread per client, of which there are few."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 4 * MOST_CLIENTS

    def __init__(self, settings: StatusSettings, answer: Callable[[str, str | None], Answer]) -> None:
        self.address_family = socket.AF_INET6 if settings.ip.version == 6 else socket.AF_INET
        self.answer = answer
        self._places = threading.BoundedSemaphore(MOST_CLIENTS)
        super().__init__((settings.address, settings.port), Handler)

    @override
    def server_bind(self) -> None:
        TCPServer.server_bind(self)  # and do not ask the network what this machine is called

    @override
    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    @override
    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    @override
    def handle_error(self, request: Any, client_address: Any) -> None:
        logger.debug("status_client_failed", error=repr(sys.exception()))


class Handler(BaseHTTPRequestHandler):
    """One request per connection."""

    timeout = PATIENCE
    server_version = "mainspring"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer."""
        assert isinstance(self.server, _Server)  # noqa: S101  nobody else makes handlers
        status, kind, body = self.server.answer(self.path, self.headers.get("Authorization"))
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        if status is HTTPStatus.UNAUTHORIZED:
            self.send_header("WWW-Authenticate", "Bearer")
        self.end_headers()
        self.wfile.write(body)

    @override
    def log_message(self, format: str, *args: Any) -> None:
        """Probes come every few seconds: nobody wants to read of them."""
