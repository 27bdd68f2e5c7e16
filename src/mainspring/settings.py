"""Settings from the environment: ``MAINSPRING_*``. What is given as an argument wins over them."""

import os
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import environ

from mainspring.hosts.execution.parts import Timing
from mainspring.hosts.node_worker.settings import WorkerSettings
from mainspring.ports.errors import SettingsError

if TYPE_CHECKING:
    from mainspring.hosts.node_worker.status import StatusSettings


def _seconds(said: str | timedelta) -> timedelta:
    """A text's seconds; a duration passes, for attrs.evolve converts every field again."""
    return said if isinstance(said, timedelta) else timedelta(seconds=float(said))


def _or_none(text: str | None) -> timedelta | None:
    return None if text is None else _seconds(text)


def _port(said: str | int | None) -> int | None:
    return None if said is None or said == "" else int(said)


def _flag(said: str | bool) -> bool:  # noqa: FBT001  attrs.evolve converts again
    return bool(int(said))


class Secret(str):
    """A text that a representation of the settings does not show."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'…'" if self else "''"


def _var(default: str | None, meaning: str, converter: Callable[[Any], Any] | None = None) -> Any:
    return environ.var(default=default, converter=converter, help=meaning)  # pyright: ignore[reportUnknownMemberType]


@environ.config(prefix="MAINSPRING", frozen=True)
class Settings:
    """What the environment may say. Durations are in seconds."""

    database: str = _var("sqlite:///mainspring.db", "The store's URL.")
    blobs: str = _var("", "Directory for large payloads, or s3://bucket/prefix; empty: beside the database.")
    transport: str = _var("", "What carries the jobs' pointers: sqs://… or amqp://…; empty: the store.", Secret)
    sinks: str = _var("", "Where events go: name=url, several with spaces between them; empty: nowhere.", Secret)
    scheduler: str = _var("", "Whom functions ask for their next tick: scheduler://…; empty: nobody.")
    concurrency: int = _var("100", "Attempts at once per worker.", int)
    worker_name: str = _var("worker", "The readable part of the worker's id.")
    build: str = _var("", "Told to operators with the worker.")
    lease: timedelta = _var("30", "How long a claim holds without a heartbeat.", _seconds)
    heartbeat: timedelta | None = _var(None, "Default: a third of the lease.", _or_none)
    reap: timedelta = _var("5", "Between two looks for dead workers' jobs.", _seconds)
    safety_poll: timedelta = _var("5", "Between two looks for work, should every hint be lost.", _seconds)
    attempt_maximum: timedelta = _var("3600", "Longest attempt of a stage without a time-out.", _seconds)
    cancel_grace: timedelta = _var("5", "For a body that was told to end.", _seconds)
    shutdown_grace: timedelta = _var("30", "For bodies at a shutdown.", _seconds)
    collect: timedelta = _var("3600", "Between two looks for large payloads that nothing names; 0: never.", _seconds)
    retention: timedelta = _var("0", "Runs that ended so long ago are deleted; 0: never.", _seconds)
    answer_retention: timedelta | None = _var(None, "Likewise remembered answers. Default: as runs.", _or_none)
    max_stuck: int = _var("50", "Stuck bodies above which a worker exits.", int)
    metrics_port: int | None = _var(None, "Where a worker tells operators how it is. Default: nowhere.", _port)
    metrics_address: str = _var("127.0.0.1", "The address of that port.")
    metrics_token: str = _var("", "Wanted of whoever asks there; needed for an address that is not loopback.", Secret)
    tracing: bool = _var("0", "1: make OpenTelemetry spans.", _flag)

    def worker(
        self, *, concurrency: int | None = None, name: str | None = None, lease: timedelta | None = None
    ) -> WorkerSettings:
        """The worker's settings; what is given here wins. A lease given here brings a heartbeat of a third of it.

        Raises:
            SettingsError: they cannot be followed together.
        """
        length = self.lease if lease is None else lease
        heartbeat = length / 3 if lease is not None or self.heartbeat is None else self.heartbeat
        timing = Timing(
            lease=length,
            heartbeat=heartbeat,
            reap=self.reap if lease is None else min(self.reap, length / 4),
            collect=self.collect,
            retention=self.retention,
            answer_retention=self.answer_retention,
            safety_poll=self.safety_poll,
            attempt_maximum=self.attempt_maximum,
            cancel_grace=self.cancel_grace,
            shutdown_grace=self.shutdown_grace,
        )
        return WorkerSettings(
            concurrency=self.concurrency if concurrency is None else concurrency,
            name=name or self.worker_name,
            build=self.build,
            max_stuck=self.max_stuck,
            timing=timing,
        )

    def status(self, port: int | None = None) -> "StatusSettings | None":
        """Where a worker tells operators how it is, if at all; a port given here wins.

        Raises:
            SettingsError: it would listen where it must not, or nowhere.
        """
        chosen = self.metrics_port if port is None else port
        if chosen is None:
            return None
        from mainspring.hosts.node_worker.status import StatusSettings  # a web server, which few want

        return StatusSettings(port=chosen, address=self.metrics_address, token=str(self.metrics_token))


def from_environment(environment: Mapping[str, str] | None = None) -> Settings:
    """The settings the environment tells.

    Raises:
        SettingsError: a variable cannot be understood; the message names it.
    """
    said = dict(os.environ if environment is None else environment)
    try:
        return environ.to_config(Settings, environ=said)
    except (ValueError, TypeError, OverflowError) as error:
        raise SettingsError(_culprit(said, error)) from error


def _culprit(said: dict[str, str], error: Exception) -> str:
    for name in (f"MAINSPRING_{field.upper()}" for field in Settings.__annotations__):
        if name in said:
            try:
                environ.to_config(Settings, environ={name: said[name]})
            except (ValueError, TypeError, OverflowError):
                return f"{name}={said[name]!r} is not a number"
    return str(error)
