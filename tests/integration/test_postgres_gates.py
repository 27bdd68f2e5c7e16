"""How statements grow with the store, told by plans and page counts: what must not depend on how much there is."""

from collections.abc import Generator
from typing import Any
from uuid import uuid4

import pytest

from mainspring.adapters.sql import postgres_backlog, postgres_outbox
from mainspring.adapters.sql import postgres_statements as sql
from mainspring.adapters.sql.moments import span
from mainspring.adapters.sql.postgres_arrays import ids, numbers, texts
from mainspring.adapters.sql.postgres_batch import rows_of
from mainspring.adapters.sql.postgres_commit import statement
from mainspring.adapters.sql.postgres_connections import Connections
from mainspring.adapters.sql.postgres_location import locate
from mainspring.ports.change import Change
from tests.integration.postgres_batches import BATCHES
from tests.integration.postgres_plans import FILLED, PUSHED, Plan, explained, planning, run_id
from tests.integration.postgres_stores import rows
from tests.postgres.databases import Databases

BIG = ("jobs", "runs", "stages")
pushed = pytest.mark.parametrize("push", PUSHED, ids=lambda push: ",".join(push) or "as it is")


@pytest.fixture(scope="module")
def filled(databases: Databases) -> Generator[str]:
    """A store in which much is waiting, sleeping, held and leased."""
    with databases.fresh() as url:
        rows(url, FILLED)
        yield url


def settings(url: str) -> dict[str, str]:
    return dict(Connections(locate(url))._settings)  # pyright: ignore[reportPrivateUsage]


def plan(url: str, push: dict[str, str], asked: bytes, *parameters: Any) -> Plan:
    with planning(url, settings(url) | push) as connection:
        return explained(connection, asked, parameters)


def claim(limit: int, *routes: str) -> tuple[Any, ...]:
    return ("worker", 30_000_000, limit, texts(sorted(routes)))


@pushed
@pytest.mark.fault(60, 61)
def test_a_claim_reads_what_it_takes_and_nothing_else(filled: str, push: dict[str, str]) -> None:
    found = plan(filled, push, sql.CLAIM, *claim(100, "served"))
    assert found.scans(BIG) == []
    assert found.nodes[0]["Actual Rows"] == 100
    assert "jobs_leased" not in found.text
    assert found.discarded() <= 300
    assert found.buffers <= 6_000


@pushed
def test_an_empty_claim_costs_a_few_pages_whatever_sleeps_and_whatever_others_serve(
    filled: str, push: dict[str, str]
) -> None:
    found = plan(filled, push, sql.CLAIM, *claim(100, "not served", "nor this"))
    assert found.nodes[0]["Actual Rows"] == 0
    assert found.scans(BIG) == []
    assert found.buffers <= 40


def test_a_claim_of_all_that_is_due_does_not_look_at_what_sleeps(filled: str) -> None:
    found = plan(filled, {}, sql.CLAIM, *claim(6_000, "served"))
    assert found.nodes[0]["Actual Rows"] == sql.MOST_CLAIMED
    assert found.discarded() <= 300


def test_no_step_of_a_claim_touches_many_more_rows_than_it_takes(filled: str) -> None:
    """A join that reads a table whole is an index scan too, with all of its rows."""
    found = plan(filled, {}, sql.CLAIM, *claim(100, "served"))
    touched = [node["Actual Rows"] * node["Actual Loops"] for node in found.nodes if node.get("Relation Name") in BIG]
    assert max(touched) <= 200


def test_a_claim_of_one_does_not_look_at_the_rest(filled: str) -> None:
    assert plan(filled, {}, sql.CLAIM, *claim(1, "served")).buffers <= 150


@pushed
@pytest.mark.parametrize("name", sorted(BATCHES))
def test_a_batch_probes_keys_and_scans_nothing(filled: str, push: dict[str, str], name: str) -> None:
    text, parameters = statement(rows_of(BATCHES[name](filled)))
    found = plan(filled, push, text, *parameters)
    assert found.nodes[0]["Actual Rows"] == 0, "a Change was refused: the plan is not that of a write"
    assert found.scans(BIG) == []
    assert "jobs_leased" not in found.bitmaps()
    assert found.discarded() <= 400
    assert found.buffers <= 12_000


@pushed
@pytest.mark.parametrize("name", sorted(BATCHES))
def test_a_change_that_is_alone_probes_keys_and_scans_nothing(filled: str, push: dict[str, str], name: str) -> None:
    for change in BATCHES[name](filled)[:2]:
        text, parameters = statement(rows_of([change]))
        found = plan(filled, push, text, *parameters)
        assert found.nodes[0]["Actual Rows"] == 0, "the Change was refused: the plan is not that of a write"
        assert found.scans(BIG) == []
        assert "jobs_leased" not in found.bitmaps()
        assert found.discarded() <= 10
        assert found.buffers <= 300


@pushed
def test_reads_of_a_run_probe_keys(filled: str, push: dict[str, str]) -> None:
    one = run_id(5)
    reads: list[tuple[bytes, tuple[Any, ...], int]] = [
        (sql.RUN, (one,), 10),
        (sql.RUN_BY_KEY, ("greet", "no such"), 10),
        (sql.RUN_STATE, (one,), 30),
        (sql.RUNS_FINISHED, (ids([run_id(n) for n in range(1, 101)]),), 600),
        (sql.JOBS, (one,), 12),
        (sql.JOB, (one, "hello", 0), 12),
        (sql.STAGES, (one,), 12),
        (sql.STAGES_ONLY, (one, texts(["one"])), 12),
        (sql.ATTEMPTS, (one,), 12),
        (sql.INBOX, (one,), 12),
        (sql.LEASES_EXPIRED, (100,), 40),
        (sql.RUNS_OVERDUE, (100,), 40),
        (sql.NEXT_UPKEEP, (), 400),  # dead heartbeats lie in its way
        (sql.NEXT_DUE, (texts(["served"]),), 120),
        (postgres_outbox.UNPUBLISHED, (100, "default"), 80),
    ]
    for asked, parameters, most in reads:
        found = plan(filled, push, asked, *parameters)
        assert found.scans(BIG) == [], asked
        assert "jobs_leased" not in found.bitmaps(), asked
        assert found.buffers <= most, asked


@pushed
def test_heartbeats_probe_keys(filled: str, push: dict[str, str]) -> None:
    held = rows(filled, "select run_id::text, lease_id::text from jobs where lease_id is not null order by 1 limit 100")
    parameters = (
        span_of_a_lease(),
        numbers(list(range(100))),
        ids([row[0] for row in held]),
        texts(["hello"] * 100),
        numbers([0] * 100),
        ids([row[1] for row in held]),
    )
    found = plan(filled, push, sql.EXTEND, *parameters)
    assert found.nodes[0]["Actual Rows"] == 100
    assert found.scans(BIG) == []
    assert "jobs_leased" not in found.bitmaps()
    assert found.buffers <= 10_000


def span_of_a_lease() -> int:
    from datetime import timedelta

    return span(timedelta(seconds=30))


def test_what_waits_is_counted_to_a_bound(filled: str) -> None:
    some, more = (plan(filled, {}, postgres_backlog.BACKLOG, most) for most in (10, 100))
    assert some.scans(BIG) == more.scans(BIG) == []
    assert some.buffers <= 8_000


def test_what_is_leased_by_another_refuses_the_change_and_not_its_neighbours(filled: str) -> None:
    from mainspring.ports.change import LeaseGuard
    from mainspring.ports.names import LeaseId, RunId, StageId
    from mainspring.ports.records import JobKey

    wrong = Change(
        leases=(LeaseGuard(key=JobKey(RunId(run_id(20_001)), StageId("hello")), lease_id=LeaseId(str(uuid4()))),)
    )
    text, parameters = statement(rows_of([*BATCHES["hand-overs"](filled), wrong]))
    assert plan(filled, {}, text, *parameters).nodes[0]["Actual Rows"] == 1
