"""What a worker may be told. Defaults are those of the documentation."""

from datetime import timedelta

import attrs

from mainspring.hosts.execution.parts import Timing
from mainspring.ports.errors import SettingsError


@attrs.frozen(kw_only=True)
class WorkerSettings:
    """Settings of one worker."""

    concurrency: int = 100  #: attempts at once
    name: str = "worker"  #: the readable part of the worker's id
    build: str = ""  #: told to operators; other code of the same shape
    timing: Timing = attrs.field(factory=Timing)
    max_stuck: int = 50  #: bodies that would not end, above which the worker drains and exits
    relay_batch: int = 500
    relay_poll: timedelta = timedelta(seconds=1)

    def __attrs_post_init__(self) -> None:
        """Refuse settings that cannot be followed."""
        timing = self.timing
        for good, text in (
            (1 <= self.concurrency <= 10_000, f"concurrency must be between 1 and 10,000, not {self.concurrency}"),
            (self.max_stuck >= 1, f"max_stuck must be at least 1, not {self.max_stuck}"),
            (
                timing.heartbeat * 2 <= timing.lease,
                f"the heartbeat ({timing.heartbeat}) must be at most half the lease ({timing.lease})",
            ),
            *[
                (getattr(timing, name) > timedelta(0), f"{name} must be positive, not {getattr(timing, name)}")
                for name in ("heartbeat", "reap", "sweep", "safety_poll", "attempt_maximum", "cancel_grace")
            ],
            *[
                (
                    (getattr(timing, name) or timedelta(0)) >= timedelta(0),
                    f"{name} must not be negative: {getattr(timing, name)}",
                )
                for name in ("collect", "retention", "answer_retention", "shutdown_grace")
            ],
            (self.relay_poll > timedelta(0), f"relay_poll must be positive, not {self.relay_poll}"),
            (self.relay_batch >= 1, f"relay_batch must be at least 1, not {self.relay_batch}"),
            (timing.lease >= timedelta(milliseconds=100), f"the lease must be at least 0.1 s, not {timing.lease}"),
        ):
            if not good:
                raise SettingsError(text)
