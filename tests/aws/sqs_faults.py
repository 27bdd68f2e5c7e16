"""A client of SQS that misbehaves as asked: what emulators do not do by themselves, and real queues do.

Rule: a fault happens to the next call of its operation, once for each time that it was asked for.
"""

from collections import Counter, deque
from collections.abc import Callable
from typing import Any

import attrs
from botocore.exceptions import (  # type: ignore[import-untyped]
    ClientError,
    ConnectionClosedError,
    EndpointConnectionError,
    NoCredentialsError,
)

Call = Callable[..., Any]
Fault = Callable[[Call, dict[str, Any]], Any]
"""Does to a call what it does: given the real call and its parameters, answers in its stead, or raises."""


class FaultySqs:
    """Stands before a client; counts its calls by their operation."""

    def __init__(self, client: Any) -> None:
        self.calls: Counter[str] = Counter()
        self._client = client
        self._faults: dict[str, deque[Fault]] = {}

    def next(self, operation: str, *faults: Fault) -> None:
        """These happen to the next calls of the operation, one to each."""
        self._faults.setdefault(operation, deque()).extend(faults)

    def close(self) -> None:
        """The client is somebody else's."""

    def __getattr__(self, operation: str) -> Call:
        real: Call = getattr(self._client, operation)

        def call(**parameters: Any) -> Any:
            self.calls[operation] += 1
            faults = self._faults.get(operation)
            return faults.popleft()(real, parameters) if faults else real(**parameters)

        return call


def throttled(_: Call, __: dict[str, Any]) -> Any:
    """The service has had enough of us for a moment."""
    raise ClientError({"Error": {"Code": "ThrottlingException", "Message": "Rate exceeded"}}, "some")


def denied(_: Call, __: dict[str, Any]) -> Any:
    """We have no right to that."""
    raise ClientError({"Error": {"Code": "AccessDenied", "Message": "not authorized"}}, "some")


def anonymous(_: Call, __: dict[str, Any]) -> Any:
    """Whoever gives out credentials does not answer."""
    raise NoCredentialsError


def down(_: Call, __: dict[str, Any]) -> Any:
    """Nobody is there."""
    raise EndpointConnectionError(endpoint_url="https://sqs.nowhere.test")


def cut_after(real: Call, parameters: dict[str, Any]) -> Any:
    """It was done, but nobody heard."""
    real(**parameters)
    raise ConnectionClosedError(endpoint_url="https://sqs.nowhere.test")


def lost(_: Call, parameters: dict[str, Any]) -> Any:
    """It was confirmed, and that was all."""
    return {"Successful": [{"Id": entry["Id"]} for entry in parameters["Entries"]]}


def doubled(real: Call, parameters: dict[str, Any]) -> Any:
    """Each message comes twice."""
    messages = real(**parameters).get("Messages", [])
    return {"Messages": [*messages, *messages]}


def reversed_(real: Call, parameters: dict[str, Any]) -> Any:
    """The last message comes first."""
    return {"Messages": real(**parameters).get("Messages", [])[::-1]}


@attrs.frozen
class Refused:
    """Entries of a batch that hold the text are refused, the others are done."""

    text: str
    code: str = "InternalError"
    senders_fault: bool = False

    def __call__(self, real: Call, parameters: dict[str, Any]) -> Any:
        entries: list[dict[str, Any]] = parameters["Entries"]
        bad = [entry for entry in entries if self.text in str(entry)]
        good = [entry for entry in entries if entry not in bad]
        answer: dict[str, Any] = real(**{**parameters, "Entries": good}) if good else {}
        told = {"Code": self.code, "SenderFault": self.senders_fault, "Message": "refused by a test"}
        return {**answer, "Failed": [*answer.get("Failed", ()), *({"Id": entry["Id"], **told} for entry in bad)]}


class Pauses:
    """A sleep that takes no time and remembers how long it should have."""

    def __init__(self) -> None:
        self.taken: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.taken.append(seconds)
