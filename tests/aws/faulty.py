"""A client of boto3 that has mishaps, as a network and a busy service have them; and a sleep that takes no time."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import attrs
from botocore.exceptions import ClientError, ConnectionClosedError  # type: ignore[import-untyped]

Call = Callable[[], Any]
"""The real call, with its parameters."""

Mishap = Callable[[Call], Any]
"""What happens instead; it may make the real call."""


@attrs.define
class Faulty:
    """Passes every call on, but for the mishaps that wait for its operation: one call each, in their order."""

    client: Any
    mishaps: dict[str, list[Mishap]]
    calls: Counter[str] = attrs.field(factory=Counter[str])
    asked: list[tuple[str, dict[str, Any]]] = attrs.field(factory=list[tuple[str, dict[str, Any]]])

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        def call(**parameters: Any) -> Any:
            self.calls[operation] += 1
            self.asked.append((operation, parameters))

            def real() -> Any:
                return getattr(self.client, operation)(**parameters)

            waiting = self.mishaps.get(operation)
            return waiting.pop(0)(real) if waiting else real()

        return call

    def close(self) -> None:
        """The real client is others'."""


def fails(code: str, status: int = 400) -> Mishap:
    """The service refuses, and does nothing."""

    def mishap(_: Call) -> Any:
        raise refusal(code, status)

    return mishap


def cut(call: Call) -> Any:
    """The service does it, and the connection is gone before it can say so."""
    call()
    raise ConnectionClosedError(endpoint_url="http://somewhere")


def cut_before(_: Call) -> Any:
    """The connection is gone before the service has read it."""
    raise ConnectionClosedError(endpoint_url="http://somewhere")


def refusal(code: str, status: int = 400) -> Exception:
    error: Exception = ClientError(
        {"Error": {"Code": code, "Message": "said so"}, "ResponseMetadata": {"HTTPStatusCode": status}}, "operation"
    )
    return error


class Sleeps:
    """Takes no time, and notes how much it should have."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
