"""Settings from the environment: ``MAINSPRING_*``. What is given as an argument wins over them."""

import os
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import environ

from mainspring.hosts.execution.parts import Timing
from mainspring.hosts.node_worker.settings import WorkerSettings
from mainspring.ports.errors import SettingsError


def _seconds(text: str) -> timedelta:
    return timedelta(seconds=float(text))


def _number(text: str) -> int:
    return int(text)


@environ.config(prefix="MAINSPRING", frozen=True)
class Settings:
    """What the environment may say. Durations are in seconds."""

    database: str = environ.var(default="sqlite:///mainspring.db", help="The store's URL.")
    blobs: str = environ.var(default="", help="Directory for large payloads; empty: beside the database.")
    concurrency: int = environ.var(default=100, converter=_number, help="Attempts at once per worker.")
    worker_name: str = environ.var(default="worker", help="The readable part of the worker's id.")
    build: str = environ.var(default="", help="Told to operators with the worker.")
    lease: timedelta = environ.var(default="30", converter=_seconds, help="How long a claim holds without a heartbeat.")
    heartbeat: timedelta | None = environ.var(
        default=None, converter=lambda text: None if text is None else _seconds(text), help="Default: a third of the lease."
    )
    reap: timedelta = environ.var(default="5", converter=_seconds, help="Between two looks for dead workers' jobs.")
    safety_poll: timedelta = environ.var(default="5", converter=_seconds, help="Between two looks, should hints be lost.")
    attempt_maximum: timedelta = environ.var(default="3600", converter=_seconds, help="Longest attempt without a time-out.")
    cancel_grace: timedelta = environ.var(default="5", converter=_seconds, help="For a body that was told to end.")
    shutdown_grace: timedelta = environ.var(default="30", converter=_seconds, help="For bodies at a shutdown.")
    max_stuck: int = environ.var(default=50, converter=_number, help="Stuck bodies above which a worker exits.")

    def worker(self, **given: Any) -> WorkerSettings:
        """The worker's settings; ``given`` wins, where it is not None."""
        said = {name: value for name, value in given.items() if value is not None}
        heartbeat = self.heartbeat if self.heartbeat is not None else self.lease / 3
        timing = Timing(
            lease=self.lease,
            heartbeat=heartbeat,
            reap=self.reap,
            safety_poll=self.safety_poll,
            attempt_maximum=self.attempt_maximum,
            cancel_grace=self.cancel_grace,
            shutdown_grace=self.shutdown_grace,
        )
        own = {
            "concurrency": self.concurrency,
            "name": self.worker_name,
            "build": self.build,
            "max_stuck": self.max_stuck,
            "timing": timing,
        }
        return WorkerSettings(**{**own, **said})


def from_environment(environment: Mapping[str, str] | None = None) -> Settings:
    """The settings the environment tells.

    Raises:
        SettingsError: a variable cannot be understood; the message names it.
    """
    said = os.environ if environment is None else environment
    try:
        return environ.to_config(Settings, environ=said)
    except (ValueError, TypeError, OverflowError) as error:
        known = {name: value for name, value in said.items() if name.startswith("MAINSPRING_")}
        for name, value in known.items():
            try:
                environ.to_config(Settings, environ={name: value})
            except (ValueError, TypeError, OverflowError) as wrong:
                msg = f"{name}={value!r}: expected a number; {wrong}"
                raise SettingsError(msg) from error
        raise SettingsError(str(error)) from error
