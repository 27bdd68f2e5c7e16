"""Calls to AWS: boto3 in a bounded pool of threads, repeated when they fail in passing, errors in the ports' words.

botocore's own retries are off: how long a call may go on is decided here, with a sleep that tests can steer.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

import boto3  # type: ignore[import-untyped]
from botocore.config import Config  # type: ignore[import-untyped]
from botocore.exceptions import (  # type: ignore[import-untyped]
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
)
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from mainspring.adapters.aws.location import AwsLocation
from mainspring.ports.errors import MainspringError, SettingsError, UnavailableError

Sleep = Callable[[float], Awaitable[None]]

_POLLS = 4
"""Connections kept for calls in threads of their own."""

PASSING = frozenset(
    {
        "500", "502", "503", "504", "BadDigest", "BandwidthLimitExceeded", "InternalError",
        "InternalFailure", "InternalServerError", "KmsThrottled", "OperationAborted", "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException", "RequestThrottled", "RequestThrottledException", "RequestTimeout",
        "RequestTimeoutException", "ServiceUnavailable", "SlowDown", "ThrottledException", "Throttling",
        "ThrottlingException", "TooManyRequestsException", "TransientError",
    }
)  # fmt: skip
"""Codes of errors that the same call may not meet again a moment later."""


class ClosedError(UnavailableError):
    """The calls were closed meanwhile: no use in asking again."""


def make_client(service: str, location: AwsLocation, *, connections: int = 10, read_timeout: float = 30.0) -> Any:
    """A client of boto3 that repeats nothing by itself. Blocks for some hundredths of a second: it reads models.

    Raises:
        SettingsError: no region is known, the profile is unknown, or the endpoint is no URL.
    """
    shown = f"{service} {location.name!r}"
    config = Config(
        retries={"total_max_attempts": 1},
        connect_timeout=5.0,
        read_timeout=read_timeout,
        max_pool_connections=connections,
        user_agent_extra="mainspring",
        # Whoever needs a checksum asks for it; services that only speak like S3 often know no other way.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": "path"} if location.endpoint else None,
    )
    make: Any = boto3.client  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    try:
        return make(service, region_name=location.region, endpoint_url=location.endpoint, config=config)
    except NoRegionError as error:
        msg = f"{shown}: {error}; set region= in the URL, or AWS_DEFAULT_REGION"
        raise SettingsError(msg) from error
    except (BotoCoreError, ValueError) as error:
        msg = f"{shown}: {error}; check region= and endpoint= in the URL, and AWS_PROFILE"
        raise SettingsError(msg) from error


class AwsCalls:
    """Calls of one service, from up to ``threads`` threads at a time."""

    def __init__(
        self,
        service: str,
        location: AwsLocation,
        *,
        threads: int = 8,
        attempts: int = 5,
        read_timeout: float = 30.0,
        sleep: Sleep = asyncio.sleep,
        client: Any = None,
    ) -> None:
        """Blocks for some hundredths of a second, for botocore to read its models.

        Args:
            service: its name in boto3.
            location: where it is.
            threads: calls at a time; further ones stand in line.
            attempts: how often a call is made that fails in passing.
            read_timeout: seconds without an answer after which a call has failed.
            sleep: between two attempts.
            client: another than boto3's own, with the same methods.

        Raises:
            SettingsError: no region is known, or the endpoint is no URL.
        """
        self.shown = f"{service} {location.name!r}"
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=f"mainspring-{service}")
        self._detached = _Detached()
        self._closed = False
        self._client: Any = client or make_client(
            service, location, connections=threads + _POLLS, read_timeout=read_timeout
        )
        self._retrying = AsyncRetrying(
            sleep=sleep,
            wait=wait_random_exponential(multiplier=0.1, max=5.0),
            stop=stop_after_attempt(attempts),
            retry=retry_if_exception(is_passing),
            reraise=True,
        )

    async def call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """The answer of an operation by its name in boto3 (``send_message``), repeated while it fails in passing.

        Raises:
            ClientError: the service refused it; the code tells why. ``translated`` makes it a port's error.
            UnavailableError: it could not be reached.
            SettingsError: there are no credentials.
        """
        answer: dict[str, Any] = await self.repeat(lambda client: getattr(client, operation)(**parameters))
        return answer

    async def repeat(self, work: Callable[[Any], Any], *, detached: bool = False) -> Any:
        """As ``run``, repeated while it fails in passing.

        Raises:
            ClientError, UnavailableError, SettingsError: as ``call``.
        """
        return await self._retrying(self.run, work, detached=detached)

    async def run(self, work: Callable[[Any], Any], *, detached: bool = False) -> Any:
        """What ``work`` returns, called once with the client in a thread: for bodies that are read as a stream.

        ``detached``: in a thread of its own which neither takes another call's place nor keeps the process from
        ending; for calls that last long.

        Raises:
            ClientError, UnavailableError, SettingsError: as ``call``.
        """
        if self._closed:
            raise ClosedError(f"{self.shown} was closed")
        loop = asyncio.get_running_loop()
        threads: Executor = self._detached if detached else self._threads
        try:
            return await loop.run_in_executor(threads, work, self._client)
        except ClientError:
            raise
        except (BotoCoreError, OSError) as error:
            raise translated(error, self.shown) from error

    def close(self) -> None:
        """Let go of connections and threads; a call under way, or in line for a thread, ends by itself."""
        self._closed = True
        self._threads.shutdown(wait=False)
        self._client.close()


class _Detached(Executor):
    """Each call in a daemon thread of its own: the interpreter does not wait for it when it ends."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()  # who waits may give up; the call goes on

        def work() -> None:
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001  whoever waits for it is told
                future.set_exception(error)

        threading.Thread(target=work, daemon=True, name="mainspring-poll").start()
        return future


def code_of(error: BaseException) -> str:
    """The service's code for the error, or an empty text."""
    return str(_said(error).get("Error", {}).get("Code", ""))


def is_passing(error: BaseException) -> bool:
    """Whether the same call may succeed a moment later."""
    if isinstance(error, ClientError):
        status = int(_said(error).get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        return code_of(error) in PASSING or status >= 500
    return isinstance(error, UnavailableError) and not isinstance(error, ClosedError)


def is_outage(error: BaseException) -> bool:
    """Whether it tells of the service, its credentials or its target, and nothing of what was handed over."""
    return not isinstance(error, ClientError) or is_passing(error) or code_of(error).endswith(_NOT_OURS)


_NOT_OURS = (
    "AccessDenied", "AccessDeniedException", "AuthFailure", "AuthorizationError", "ExpiredToken",
    "ExpiredTokenException", "InvalidClientTokenId", "NonExistentQueue", "QueueDoesNotExist",
    "ResourceNotFoundException", "SignatureDoesNotMatch", "UnrecognizedClientException",
)  # fmt: skip


def _said(error: BaseException) -> dict[str, Any]:
    found: Any = getattr(error, "response", None)
    return found if isinstance(error, ClientError) else {}


def translated(error: Exception, shown: str) -> MainspringError:
    """The port's error, to be raised from it. Repeats the service's code, and its words, never a parameter of ours."""
    if isinstance(error, MainspringError):
        return error
    if isinstance(error, (NoCredentialsError, NoRegionError)):
        return SettingsError(f"{shown}: {error}; set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and a region, or a role")
    if isinstance(error, ParamValidationError):
        return SettingsError(f"{shown}: boto3 refused a parameter; check the name in the URL")
    if isinstance(error, ClientError):
        words = str(_said(error).get("Error", {}).get("Message", ""))[:300]
        return UnavailableError(f"{shown}: {code_of(error)}: {words}")
    return UnavailableError(f"{shown} cannot be reached: {type(error).__name__}")
