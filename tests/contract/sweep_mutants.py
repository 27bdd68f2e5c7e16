"""Broken sweeps, each with the tests of the suite that must then fail."""

from collections.abc import Callable, Collection, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from mainspring.adapters.memory import guards, sweeping
from mainspring.adapters.memory.store import MemoryStore
from mainspring.adapters.memory.sweeping import Found
from mainspring.adapters.memory.tables import Transaction
from mainspring.ports.change import Change
from mainspring.ports.names import RunId
from mainspring.ports.records import TERMINAL_RUN_STATUSES, Answer, Run
from tests.contract.mutants import Break, replaced

ORIGINAL_ENDED = sweeping._ended  # pyright: ignore[reportPrivateUsage]
ORIGINAL_GIVEN = sweeping._given  # pyright: ignore[reportPrivateUsage]
ORIGINAL_NEEDED = sweeping._is_needed  # pyright: ignore[reportPrivateUsage]
ORIGINAL_FOUND = sweeping.found
ORIGINAL_TOMBSTONES = sweeping.tombstones
ORIGINAL_NEW = guards.run_is_new


def too_soon(store: MemoryStore, now: datetime, age: timedelta) -> Iterator[Run]:
    return ORIGINAL_ENDED(store, now, min(age, timedelta(days=9999)) - timedelta(seconds=1))


def whatever_has_an_end(store: MemoryStore, now: datetime, age: timedelta) -> Iterator[Run]:
    return (run for run in store.runs.rows() if run.finished_at is not None and now - run.finished_at >= age)


def the_newest_first(store: MemoryStore, now: datetime, age: timedelta) -> Iterator[Run]:
    return iter(list(ORIGINAL_ENDED(store, now, age))[::-1])


def answers_of_any_age(store: MemoryStore, now: datetime, age: timedelta) -> Iterator[Answer]:
    return ORIGINAL_GIVEN(store, now, timedelta())


def without_limit(
    store: MemoryStore, runs: timedelta | None, answers: timedelta | None, limit: int, *take: sweeping.Take
) -> Found:
    return ORIGINAL_FOUND(store, runs, answers, 1_000)


def needed_but_for(what: str) -> Callable[[MemoryStore, Run], bool]:
    """Leaves one reason to stay out."""

    def is_needed(store: MemoryStore, run: Run) -> bool:
        parent = None if run.parent_run is None else store.runs.get(run.parent_run)
        reasons = {
            "job": bool(store.job_index.of(run.id)),
            "event": store.outbox_index.waits(run.id),
            "dead letter": any(buried.letter.event.run_id == run.id for buried in store.dead_letters.rows()),
            "parent": parent is not None and parent.status not in TERMINAL_RUN_STATUSES,
            "child": any(
                child.parent_run == run.id and child.status not in TERMINAL_RUN_STATUSES for child in store.runs.rows()
            ),
        }
        assert any(reasons.values()) is ORIGINAL_NEEDED(store, run)
        return any(holds for reason, holds in reasons.items() if reason != what)

    return is_needed


def stand_in_the_way(
    store: MemoryStore, runs: timedelta | None, answers: timedelta | None, limit: int, *take: sweeping.Take
) -> Found:
    """The limit is taken before it is known what must stay."""
    if runs is None:
        return ORIGINAL_FOUND(store, runs, answers, limit)
    first = list(ORIGINAL_ENDED(store, store.clock.now(), runs))[:limit]
    return Found(runs=[run for run in first if not ORIGINAL_NEEDED(store, run)], answers=[])


def leaving(*tables: str) -> Callable[[MemoryStore, Run, Transaction], None]:
    """Rows of these tables stay."""
    original = sweeping._delete  # pyright: ignore[reportPrivateUsage]

    class Sparing(Transaction):
        def put(self, table: Any, key: Any, row: Any) -> None:
            if table.name not in tables:
                super().put(table, key, row)

    def delete(store: MemoryStore, run: Run, transaction: Transaction) -> None:
        original(store, run, Sparing())

    return delete


def of_any_age(store: MemoryStore, age: timedelta, limit: int) -> list[RunId]:
    return ORIGINAL_TOMBSTONES(store, timedelta(), limit)


def all_of_them(store: MemoryStore, run_ids: Collection[RunId]) -> None:
    with store.transaction() as transaction:
        for tombstone in store.tombstones.rows():
            transaction.put(store.tombstones, tombstone.run_id, None)


def new_despite_a_tombstone(store: MemoryStore, change: Change) -> str | None:
    taken = change.create is not None and store.runs.get(change.create.id) is not None
    return "it exists" if taken else None


def other_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    gates = tuple(new_despite_a_tombstone if gate is ORIGINAL_NEW else gate for gate in guards.GATES)
    monkeypatch.setattr(guards, "GATES", gates)


SWEEP_MUTANTS: dict[str, tuple[Break, str]] = {
    "sweeps too soon": (
        replaced(sweeping, "_ended", too_soon),
        "a_run_goes_when_it_ended_long_enough_ago_by_the_stores_time",
    ),
    "sweeps active runs": (
        replaced(sweeping, "_ended", whatever_has_an_end),
        "every_terminal_status_goes_and_no_other_does",
    ),
    "sweeps the newest first": (
        replaced(sweeping, "_ended", the_newest_first),
        "the_first_to_end_go_first_and_no_more_than_the_limit",
    ),
    "sweeps without limit": (
        replaced(sweeping, "found", without_limit),
        (
            "the_first_to_end_go_first_and_no_more_than_the_limit"
            " old_answers_go_by_the_time_they_were_given_and_no_more_than_the_limit"
        ),
    ),
    "forgets answers of any age": (
        replaced(sweeping, "_given", answers_of_any_age),
        ("old_answers_go_by_the_time_they_were_given_and_no_more_than_the_limit"),
    ),
    "sweeps runs with jobs": (replaced(sweeping, "_is_needed", needed_but_for("job")), "a_run_with_a_job_stays"),
    "sweeps what is not published": (
        replaced(sweeping, "_is_needed", needed_but_for("event")),
        (
            "a_run_with_an_event_that_waits_stays a_run_is_never_swept_while_the_relay_gives_up_its_event"
            " all_rows_of_a_run_go_with_it_and_those_of_others_stay kept_runs_do_not_stand_in_the_way_of_others"
        ),
    ),
    "sweeps dead letters' runs": (
        replaced(sweeping, "_is_needed", needed_but_for("dead letter")),
        "a_run_with_a_dead_letter_stays a_run_is_never_swept_while_the_relay_gives_up_its_event",
    ),
    "sweeps children that are waited for": (
        replaced(sweeping, "_is_needed", needed_but_for("parent")),
        "parent_and_child_stay_while_the_other_goes_on",
    ),
    "sweeps parents of active runs": (
        replaced(sweeping, "_is_needed", needed_but_for("child")),
        "parent_and_child_stay_while_the_other_goes_on",
    ),
    "kept runs stand in the way": (
        replaced(sweeping, "found", stand_in_the_way),
        "kept_runs_do_not_stand_in_the_way_of_others",
    ),
    **{
        f"leaves {table}": (
            replaced(sweeping, "_delete", leaving(table)),
            "a_run_created_anew_under_the_id_of_a_swept_one_has_nothing_of_it",
        )
        for table in ("stages", "attempts", "signals", "counters")
    },
    "leaves no tombstone": (
        replaced(sweeping, "_delete", leaving("tombstones")),
        (
            "a_swept_run_leaves_a_tombstone_of_its_age"
            " a_swept_run_is_not_created_again_while_its_tombstone_stands tombstones_are_no_answers"
        ),
    ),
    "tombstones of any age": (
        replaced(sweeping, "tombstones", of_any_age),
        "a_swept_run_leaves_a_tombstone_of_its_age",
    ),
    "lifts all tombstones": (
        replaced(sweeping, "lift", all_of_them),
        "only_the_tombstones_asked_for_are_lifted",
    ),
    "tombstones refuse nothing": (other_gate, "a_swept_run_is_not_created_again_while_its_tombstone_stands"),
}
