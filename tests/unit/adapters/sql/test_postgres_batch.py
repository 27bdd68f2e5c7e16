"""A batch as rows, and the text that writes them: what travels together, in which order, and under which guards."""

import itertools
import re
from enum import Enum, IntEnum

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring.adapters.sql.postgres_batch import rows_of, uses
from mainspring.adapters.sql.postgres_commit import MOST_APART, statement
from mainspring.adapters.sql.postgres_parts import PARTS
from mainspring.ports.batches import fits
from mainspring.ports.change import Change, EndJobs, JobMove, LeaseGuard, RunGuard, RunPatch, UnleasedGuard, Wake
from mainspring.ports.errors import InvalidValueError, PortError
from mainspring.ports.names import Fingerprint, LeaseId, Route, RunId, SignalId, StageId
from mainspring.ports.records import EventDraft, Graph, JobKey, Signal, StageStatus
from tests.unit.adapters.sql.moments import NOW

HELLO = StageId("hello")


def run_id(number: int) -> RunId:
    return RunId(f"019a0000-0000-7000-8000-{number:012x}")


def key(number: int) -> JobKey:
    return JobKey(run_id(number), HELLO)


def lease(number: int) -> LeaseGuard:
    return LeaseGuard(key=key(number), lease_id=LeaseId(run_id(number)))


def move(number: int) -> JobMove:
    return JobMove(key=key(number), stage=HELLO, index=0, route=Route("r"), available_at=NOW, attempt=1, max_attempts=3)


def event(number: int) -> EventDraft:
    return EventDraft(run_id=run_id(number), type="stage.progress", at=NOW, data="{}")


def wake(number: int) -> Change:
    return Change(wakes=(Wake(run_id=run_id(number), at=NOW),))


def signal(number: int, name: str) -> Change:
    return Change(signals=(Signal(id=SignalId(name), run_id=run_id(number), name="n", payload="1", sent_at=NOW),))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@pytest.mark.fault(57)
@given(st.permutations(range(12)))
def test_runs_and_jobs_are_locked_in_the_order_of_their_keys_whatever_the_order_of_the_changes(
    order: list[int],
) -> None:
    rows = rows_of([Change(run=RunPatch(run_id=run_id(n), revision=0), leases=(lease(n),)) for n in order])
    assert [row[1] for row in rows["rg"]] == [run_id(n) for n in range(12)]
    assert [row[1] for row in rows["lg"]] == [run_id(n) for n in range(12)]
    woken = rows_of([wake(n) for n in order])
    assert woken["wg"] == [(run_id(n),) for n in range(12)]


def test_an_entry_says_how_many_guards_must_be_found() -> None:
    changes = [
        Change(leases=(lease(1), lease(2))),
        Change(run=RunPatch(run_id=run_id(3), revision=7), events=(event(3), event(4))),
        Change(unleased=(UnleasedGuard(key=key(5), token=9),), run_guard=RunGuard(run_id=run_id(6), revision=1)),
        wake(7),
        Change(),
    ]
    rows = rows_of(changes)
    assert rows["entries"] == [(0, 2), (1, 2), (2, 2), (3, 0), (4, 0)]
    guards = [row[0] for name in ("rg", "lg") for row in rows[name] if name == "lg" or row[3]]
    assert sorted(guards) == [0, 0, 1, 1, 2, 2]


def test_a_patch_is_guarded_by_its_revision_and_leaves_another() -> None:
    rows = rows_of([Change(run=RunPatch(run_id=run_id(1), revision=4, bump=3), events=(event(1),))])
    assert rows["rg"] == [(0, run_id(1), 4, True)]
    ((_, _, revision, *_, events),) = rows["runs_set"]
    assert (revision, events) == (7, 1)


def test_events_are_numbered_per_run_in_the_order_they_were_told() -> None:
    rows = rows_of([Change(events=(event(1), event(2), event(1))), Change(events=(event(3),))])
    assert [(row[1], row[2], row[-1]) for row in rows["events_new"]] == [
        (run_id(1), 1, 0),
        (run_id(2), 1, 1),
        (run_id(1), 2, 2),
        (run_id(3), 1, 3),
    ]


def test_a_job_that_is_written_twice_is_refused() -> None:
    for change in (Change(job_moves=(move(1), move(1))), Change(job_moves=(move(1),), job_deletes=(key(1),))):
        with pytest.raises(PortError, match="twice"):
            rows_of([change])


def test_a_job_that_moves_and_whose_run_ends_only_ends() -> None:
    end = EndJobs(run_id=run_id(1), status=StageStatus.CANCELLED, at=NOW)
    rows = rows_of([Change(job_moves=(move(1), move(2)), end_jobs=end)])
    assert [row[1] for row in rows["jobs_moved"]] == [run_id(2)]
    assert [row[1] for row in rows["jobs_gone"]] == [run_id(1)]
    assert [(row[1], row[4]) for row in rows["stages_new"]] == [(run_id(1), "cancelled")]


def test_a_graph_that_is_known_does_not_travel() -> None:
    change = Change(graph=Graph(fingerprint=Fingerprint("f"), shape="{}"))
    assert "graphs_new" in rows_of([change])
    assert "graphs_new" not in rows_of([change], {"f"})


def test_what_one_statement_cannot_do_twice_stands_in_different_batches() -> None:
    apart = [
        (Change(events=(event(1),)), Change(events=(event(1),))),
        (signal(1, "a"), signal(1, "b")),
        (wake(1), wake(1)),
        (wake(1), Change(leases=(lease(2),))),
        (Change(run=RunPatch(run_id=run_id(1), revision=0)), Change(run=RunPatch(run_id=run_id(1), revision=0))),
    ]
    for one, other in apart:
        assert not fits(uses(one), uses(other))
        assert not fits(uses(other), uses(one))
    together = [
        (Change(events=(event(1),)), Change(events=(event(2),))),
        (signal(1, "a"), signal(2, "a")),
        (wake(1), wake(2)),
        (Change(leases=(lease(1),)), Change(leases=(lease(2),))),
    ]
    for one, other in together:
        assert fits(uses(one), uses(other))


FULL = Change(
    run=RunPatch(run_id=run_id(1), revision=0),
    leases=(lease(1),),
    job_moves=(move(1),),
    events=(event(1),),
)


def test_a_text_has_a_parameter_for_each_column_and_no_other() -> None:
    lone = ([FULL], [Change()], [wake(1)], [Change(leases=(lease(1),))], [signal(2, "a")])
    for changes in (*lone, [FULL, signal(2, "a")], [wake(1), wake(2)]):
        text, parameters = statement(rows_of(changes))
        asked = {int(number) for number in re.findall(rb"\$(\d+)", text)}
        assert asked == set(range(1, len(parameters) + 1))


def test_the_text_of_a_batch_depends_on_which_parts_there_are_and_not_on_what_they_hold() -> None:
    told = attrs.evolve(FULL, events=(event(1), event(1)))
    texts = {statement(rows_of(batch))[0] for batch in ([FULL, FULL], [FULL, told, told], [told] * 9)}
    assert len(texts) == 1


def test_a_change_that_is_alone_travels_value_by_value_unless_it_has_many_rows() -> None:
    def told(events: int) -> tuple[bytes, list[str | None]]:
        return statement(rows_of([attrs.evolve(FULL, events=(event(1),) * events)]))

    assert all(b"unnest" not in told(count)[0] for count in range(1, MOST_APART + 1))
    assert b"unnest" in told(MOST_APART + 1)[0]
    assert len({told(count)[0] for count in range(MOST_APART + 1, 20)}) == 1
    assert run_id(1) in told(1)[1]


class Word(str, Enum):  # noqa: UP042  what StrEnum does better
    """A text whose ``str()`` is another."""

    GREEN = "green"


def test_a_member_of_an_enumeration_travels_as_the_text_and_the_number_it_is() -> None:
    sent = signal(1, Word.GREEN)
    for batch in ([sent], [sent, FULL]):
        told = " ".join(parameter or "" for parameter in statement(rows_of(batch))[1])
        assert "green" in told
        assert "Word" not in told
    tries = attrs.evolve(FULL, job_moves=(attrs.evolve(move(1), max_attempts=Tries.MANY),))
    for batch in ([tries], [tries, FULL]):
        told = " ".join(parameter or "" for parameter in statement(rows_of(batch))[1])
        assert "777" in told
        assert "Tries" not in told


class Tries(IntEnum):
    """A number whose ``repr()`` is none."""

    MANY = 777


def test_what_is_no_id_is_refused_before_it_travels() -> None:
    for length in (0, 35, 37):
        with pytest.raises(InvalidValueError):
            statement(rows_of([Change(run=RunPatch(run_id=RunId("x" * length), revision=0))]))


@pytest.mark.fault("S3")
def test_no_value_stands_in_a_text() -> None:
    hostile = "'; drop table runs; --"
    move_there = attrs.evolve(move(1), stage=StageId(hostile), route=Route(hostile))
    change = attrs.evolve(FULL, job_moves=(move_there,), events=(attrs.evolve(event(1), data=hostile),))
    for batch in ([change], [change, FULL]):
        text, parameters = statement(rows_of(batch))
        assert b"drop table" not in text
        assert any(hostile in parameter for parameter in parameters if parameter is not None)


def test_every_part_locks_before_it_writes_and_writes_only_what_passed() -> None:
    for name, part in PARTS.items():
        if part.checks:
            assert re.search(r"insert|delete from|update \w+ \w+ set", part.text) is None, name
        else:
            assert "{ok}" in part.text, name


def test_every_guard_that_locks_locks_row_by_row_in_the_order_of_its_parameters() -> None:
    for name in ("rg", "lg", "og", "wg"):
        assert "cross join lateral" in PARTS[name].text, name
        assert "for no key update" in PARTS[name].text, name
    for name in ("lg", "wg"):
        assert "(select count(*) from rg) >= 0" in PARTS[name].text, "jobs wait for runs"


def test_a_part_that_looks_at_another_does_without_it_where_it_is_not_there() -> None:
    for chosen in itertools.product((False, True), repeat=3):
        changes = [
            change for change, there in zip((Change(leases=(lease(1),)), FULL, wake(9)), chosen, strict=True) if there
        ]
        if not changes:
            continue
        for batch in (changes, [*changes, Change()]):
            text = statement(rows_of(batch))[0].decode()
            for part in ("rg", "lg", "wg", "jobs_gone"):
                if f"from {part}" in text or f"join {part}" in text:
                    assert f"{part} as " in text
