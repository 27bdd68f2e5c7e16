"""Scheduler on EventBridge Scheduler: one schedule by one name, which fires once, wakes a function or tells a queue.

Rules: whoever asks replaces what was asked before, also by another process; what has fired is deleted by the service. A
schedule fires within a minute of its moment. The queue is one of its own: what arrives there is no pointer to a job.
"""

import asyncio
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from botocore.exceptions import ClientError  # type: ignore[import-untyped]

from mainspring.adapters.aws.calls import AwsCalls, Sleep, code_of, translated
from mainspring.adapters.aws.location import AwsLocation, locate
from mainspring.ports.clock import Clock
from mainspring.ports.errors import MainspringError, SettingsError, UnavailableError

SOON: Final = timedelta(seconds=5)
"""From now: what a moment that has passed is taken for. Clocks differ, and one that is over may never come."""

_GROUP: Final = "default"
_NAME: Final = re.compile(r"[0-9a-zA-Z._-]{1,64}")
_ARN: Final = re.compile(r"arn:[^:]+:[^:]+:[^:]*:[^:]*:.+")
_TRIES: Final = 5  # when the schedule fires, or others ask, between two calls
_TOO_LATE: Final = 3600  # seconds after which the service gives a tick up: another was asked for by then

_THERE: Final = "ConflictException"
_MISSING: Final = "ResourceNotFoundException"
_WRONG: Final = "ValidationException"


class EventBridgeScheduler:
    """One wake-up at a time, for one event loop at a time.

    Args:
        url: ``scheduler://name?target=…&role=…&group=…&region=…&endpoint=…``: the schedule's name, the ARN of the
            function or standard queue, the ARN of the role by which the service may reach it, the schedule's group
            (``default``).
        clock: tells which moments have passed.
        sleep: between two attempts at a call.
        client: another than boto3's own, with the same methods.

    Raises:
        SettingsError: the URL lacks one of these, or no region is known.
    """

    def __init__(self, url: str, clock: Clock, *, sleep: Sleep = asyncio.sleep, client: Any = None) -> None:
        location = locate(url, "scheduler", known=("target", "role", "group"))
        self._schedule = _schedule(location)
        self._target = _target(location)
        self._clock = clock
        self._calls = AwsCalls("scheduler", location, sleep=sleep, client=client)

    async def wake_at(self, moment: datetime) -> None:
        """As the port says, to the second.

        Raises:
            SettingsError: the service knows no such group, or refuses target or role.
            UnavailableError: it was not asked.
        """
        at = _whole_second(max(moment, self._clock.now() + SOON))
        asked = {
            **self._schedule,
            "ScheduleExpression": f"at({at:%Y-%m-%dT%H:%M:%S})",
            "ScheduleExpressionTimezone": "UTC",
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "ActionAfterCompletion": "DELETE",
            "Target": {**self._target, "Input": json.dumps({"mainspring": 1, "tick": at.isoformat()})},
        }
        for _ in range(_TRIES):
            if await self._done("create_schedule", asked, unless=_THERE):
                return
            if await self._done("update_schedule", asked, unless=_MISSING):  # it fired meanwhile, or was cancelled
                return
        raise UnavailableError(f"{self._calls.shown}: others ask and cancel at the same time; ask again")

    async def cancel(self) -> None:
        """As the port says.

        Raises:
            UnavailableError: the ask may still be there.
        """
        await self._done("delete_schedule", self._schedule, unless=_MISSING)

    async def close(self) -> None:
        """Let go of threads and connections. Closing twice does nothing."""
        self._calls.close()

    async def _done(self, operation: str, asked: dict[str, Any], *, unless: str) -> bool:
        """Whether the service did it; False if it answers that code."""
        try:
            await self._calls.call(operation, **asked)
        except (ClientError, MainspringError) as error:
            code = code_of(error)
            if code == unless:
                return False
            told = str(translated(error, self._calls.shown))
            if code == _MISSING:
                raise SettingsError(f"{told}; create the group {self._schedule['GroupName']!r}") from error
            if code == _WRONG:
                raise SettingsError(f"{told}; check target= and role= of the URL") from error
            raise translated(error, self._calls.shown) from error
        return True


def _schedule(location: AwsLocation) -> dict[str, str]:
    found = {"Name": location.name, "GroupName": location.options.get("group", _GROUP)}
    for what, name in found.items():
        if _NAME.fullmatch(name) is None:
            msg = f"a schedule's {what} is 1 to 64 of A-Z a-z 0-9 . _ -; found {name!r}"
            raise SettingsError(msg)
    return found


def _target(location: AwsLocation) -> dict[str, Any]:
    found: dict[str, str] = {}
    for option in ("target", "role"):
        found[option] = location.options.get(option, "")
        if _ARN.fullmatch(found[option]) is None:
            msg = f"expected scheduler://name?target=…&role=…, both of them ARNs; found {option}={found[option]!r}"
            raise SettingsError(msg)
    if found["target"].endswith(".fifo"):
        raise SettingsError("a schedule's target is a function or a standard queue: a FIFO queue swallows repeats")
    return {
        "Arn": found["target"],
        "RoleArn": found["role"],
        "RetryPolicy": {"MaximumEventAgeInSeconds": _TOO_LATE, "MaximumRetryAttempts": 185},
    }


def _whole_second(moment: datetime) -> datetime:
    """The first whole second that is not before the moment, in UTC."""
    return (moment + timedelta(seconds=1, microseconds=-1)).astimezone(UTC).replace(microsecond=0)
