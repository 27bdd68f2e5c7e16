"""One module per command: the command, its result, ``load`` (reads only), ``decide`` (pure).

``HANDLERS`` binds each command to its module; the dispatcher knows no other way in.
"""

from collections.abc import Mapping
from typing import Any

from mainspring.kernel.commands import (
    attempt_report,
    attempt_start,
    dead_letter_replay,
    job_release,
    lease_reap,
    outbox_settle,
    run_cancel,
    run_create,
    run_expire,
    run_rerun,
    run_signal,
)
from mainspring.kernel.decision import Command, Handler

HANDLERS: Mapping[type[Command[Any]], Handler[Any]] = {
    run_create.CreateRun: run_create.HANDLER,
    run_rerun.RerunRun: run_rerun.HANDLER,
    run_signal.SignalRun: run_signal.HANDLER,
    run_cancel.CancelRun: run_cancel.HANDLER,
    run_expire.ExpireRun: run_expire.HANDLER,
    job_release.ReleaseJob: job_release.HANDLER,
    attempt_start.StartAttempt: attempt_start.HANDLER,
    attempt_report.ReportProgress: attempt_report.HANDLER,
    lease_reap.ReapLease: lease_reap.HANDLER,
    outbox_settle.SettleOutbox: outbox_settle.HANDLER,
    dead_letter_replay.ReplayDeadLetters: dead_letter_replay.HANDLER,
}
"""Every command but ``attempt.finish``, which is decided in folds: see ``kernel.fold``."""
