"""The conditions of the partial indexes, said once.

A partial index serves a query only if the query repeats its condition literally, so these texts stand both in the
tables and in the statements. The statuses in them come from the records' enums, never from literals.
"""

from collections.abc import Iterable
from datetime import timedelta
from enum import StrEnum

from mainspring.ports.persistence import ANNOUNCED_AFTER, SELDOMEST
from mainspring.ports.records import TERMINAL_RUN_STATUSES, JobPhase, RunStatus, StageStatus


def _listed(values: Iterable[StrEnum]) -> str:
    return ", ".join(f"'{value.value}'" for value in sorted(values))


#: A job that may be claimed once it is due.
JOB_IS_READY = f"lease_id is null and phase = '{JobPhase.READY.value}' and available_at is not null"

#: How long after it is due a job is announced, in microseconds: ``announce_at`` is ``available_at`` and this, until the
#: job is announced.
UNHEARD = ANNOUNCED_AFTER // timedelta(microseconds=1)
#: The longest gap between two announcements, likewise.
LONGEST_GAP = SELDOMEST // timedelta(microseconds=1)

JOB_IS_LEASED = "lease_until is not null"

#: A job that nothing but a decision makes ready.
JOB_IS_HELD = f"phase <> '{JobPhase.READY.value}'"

RUN_HAS_KEY = "key is not null"

#: A run that is not terminal and must end by a moment.
RUN_IS_ACTIVE = f"deadline is not null and status not in ({_listed(TERMINAL_RUN_STATUSES)})"

#: Any status but the one that nearly all runs end with: what people list runs by.
RUN_IS_NOTABLE = f"status <> '{RunStatus.COMPLETED.value}'"

#: How many ended instances of a stage have each status, in this order.
STAGE_COUNTS = ", ".join(
    f"count(case when status = '{status.value}' then 1 end)"
    for status in (StageStatus.COMPLETED, StageStatus.FAILED, StageStatus.CANCELLED, StageStatus.SKIPPED)
)
#: How many jobs of a stage are active (a blocked one is: it is there, and not beyond a bound), and how many are parked.
JOB_COUNTS = ", ".join(f"count(case when phase {sign} '{JobPhase.PARKED.value}' then 1 end)" for sign in ("<>", "="))

#: A swept run's tombstone is the answer that is remembered of its sweep, under its id.
TOMBSTONE = "retention.sweep"

RUN_HAS_PARENT = "parent_run is not null"

RUN_IS_RERUN = "rerun_of is not null"

RUN_IS_TERMINAL = f"status in ({_listed(TERMINAL_RUN_STATUSES)})"
