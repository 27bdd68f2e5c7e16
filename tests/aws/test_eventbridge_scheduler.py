"""Wake-ups by EventBridge Scheduler: which moment is asked for, who replaces whom, and that one really comes."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from mainspring.adapters.aws.eventbridge_scheduler import SOON, EventBridgeScheduler
from mainspring.adapters.memory import ManualClock
from mainspring.adapters.system import SystemClock
from mainspring.ports.errors import SettingsError, UnavailableError
from tests.aws.buses import ROLE, arn_of, asked_at
from tests.aws.faulty import Call, Faulty, Mishap, Sleeps, cut, fails
from tests.aws.queues import Queue
from tests.aws.servers import AwsServer

NOW = datetime(2100, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


class Bench:
    """A schedule's name of its own, and those who ask under it."""

    def __init__(self, server: AwsServer) -> None:
        self.server = server
        self.name = server.name("schedule")
        self.queue = Queue.fresh(server)
        self.client = server.client("scheduler")
        self.clock = ManualClock()
        self.clock.set(NOW)
        self.opened: list[EventBridgeScheduler] = []

    def url(self, **options: str) -> str:
        return self.server.url("scheduler", self.name, **{"target": arn_of(self.queue), "role": ROLE, **options})

    def scheduler(self, **mishaps: list[Mishap]) -> tuple[EventBridgeScheduler, Faulty]:
        faulty = Faulty(self.client, mishaps)
        self.opened.append(EventBridgeScheduler(self.url(), self.clock, sleep=Sleeps(), client=faulty))
        return self.opened[-1], faulty

    def asked(self) -> datetime | None:
        return asked_at(self.server, self.name)


@pytest.fixture(params=["moto", "ministack"])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    made = Bench(request.getfixturevalue(request.param))
    yield made
    for scheduler in made.opened:
        await scheduler.close()


def meanwhile(act: Callable[[], object], code: str) -> Mishap:
    """Others are faster, and the service answers as it does then."""

    def mishap(call: Call) -> Any:
        act()
        return fails(code)(call)

    return mishap


async def test_a_moment_is_asked_for_to_the_second_never_early(bench: Bench) -> None:
    scheduler, _ = bench.scheduler()
    await scheduler.wake_at(LATER + timedelta(microseconds=1))
    assert bench.asked() == LATER + timedelta(seconds=1)
    await scheduler.wake_at(LATER.astimezone(timezone(timedelta(hours=5))))
    assert bench.asked() == LATER


@pytest.mark.parametrize("past", [timedelta(0), timedelta(days=365)])
async def test_a_moment_that_has_passed_is_asked_for_as_soon(bench: Bench, past: timedelta) -> None:
    scheduler, _ = bench.scheduler()
    await scheduler.wake_at(NOW - past)
    assert bench.asked() == NOW + SOON


async def test_what_is_asked_fires_once_and_says_that_it_is_a_tick(bench: Bench) -> None:
    scheduler, faulty = bench.scheduler()
    await scheduler.wake_at(LATER)
    ((_, asked),) = faulty.asked
    assert asked["ActionAfterCompletion"] == "DELETE"
    assert asked["FlexibleTimeWindow"] == {"Mode": "OFF"}
    assert asked["Target"]["Input"] == '{"mainspring": 1, "tick": "2100-01-01T01:00:00+00:00"}'


async def test_another_process_replaces_and_takes_back_the_same_ask(bench: Bench) -> None:
    (one, _), (other, _) = bench.scheduler(), bench.scheduler()
    await one.wake_at(LATER)
    await other.wake_at(LATER + timedelta(hours=1))
    assert bench.asked() == LATER + timedelta(hours=1)
    await one.cancel()
    assert bench.asked() is None
    await other.cancel()


async def test_many_who_ask_at_once_leave_one_ask(bench: Bench) -> None:
    asks = [(bench.scheduler()[0], LATER + timedelta(hours=number)) for number in range(8)]
    await asyncio.gather(*(scheduler.wake_at(moment) for scheduler, moment in asks))
    assert bench.asked() in [moment for _, moment in asks]


async def test_a_lost_answer_is_no_other_ask(bench: Bench) -> None:
    scheduler, faulty = bench.scheduler(create_schedule=[cut], delete_schedule=[cut])
    await scheduler.wake_at(LATER)
    assert bench.asked() == LATER
    await scheduler.cancel()
    assert bench.asked() is None
    assert faulty.calls == Counter(create_schedule=2, update_schedule=1, delete_schedule=2)


async def test_an_ask_that_fires_while_it_is_replaced_is_asked_anew(bench: Bench) -> None:
    (one, _) = bench.scheduler()
    await one.wake_at(LATER)

    def fire() -> None:
        bench.client.delete_schedule(Name=bench.name)

    other, faulty = bench.scheduler(update_schedule=[meanwhile(fire, "ResourceNotFoundException")])
    await other.wake_at(LATER + timedelta(hours=1))
    assert bench.asked() == LATER + timedelta(hours=1)
    assert faulty.calls == Counter(create_schedule=2, update_schedule=1)


async def test_asks_that_race_for_ever_are_told_as_unavailable(bench: Bench) -> None:
    scheduler, _ = bench.scheduler(
        create_schedule=[fails("ConflictException")] * 5, update_schedule=[fails("ResourceNotFoundException")] * 5
    )
    with pytest.raises(UnavailableError, match="at the same time"):
        await scheduler.wake_at(LATER)


async def test_a_group_that_is_not_there_and_a_wrong_target_are_settings(bench: Bench) -> None:
    scheduler, _ = bench.scheduler(
        create_schedule=[fails("ResourceNotFoundException", 404), fails("ValidationException")]
    )
    with pytest.raises(SettingsError, match="create the group 'default'"):
        await scheduler.wake_at(LATER)
    with pytest.raises(SettingsError, match="check target= and role="):
        await scheduler.wake_at(LATER)


async def test_a_busy_service_is_asked_again_and_then_unavailable(bench: Bench) -> None:
    scheduler, faulty = bench.scheduler(
        create_schedule=[fails("ThrottlingException", 429)], delete_schedule=[fails("ThrottlingException", 429)] * 5
    )
    await scheduler.wake_at(LATER)
    assert bench.asked() == LATER
    with pytest.raises(UnavailableError, match="ThrottlingException"):
        await scheduler.cancel()
    assert faulty.calls == Counter(create_schedule=2, delete_schedule=5)


async def test_a_schedule_stands_in_the_group_of_the_url(bench: Bench) -> None:
    group = bench.server.name("group")
    bench.client.create_schedule_group(Name=group)
    scheduler = EventBridgeScheduler(bench.url(group=group), bench.clock)
    bench.opened.append(scheduler)
    await scheduler.wake_at(LATER)
    assert asked_at(bench.server, bench.name, group) == LATER
    assert bench.asked() is None
    await scheduler.cancel()
    assert asked_at(bench.server, bench.name, group) is None


async def test_a_wake_up_arrives_in_the_queue_and_the_schedule_is_gone(ministack: AwsServer) -> None:
    bench = Bench(ministack)
    scheduler = EventBridgeScheduler(bench.url(), SystemClock())
    await scheduler.wake_at(datetime(2026, 1, 1, tzinfo=UTC))
    (message,) = await asyncio.to_thread(bench.queue.drain, 20)
    assert message["Body"].startswith('{"mainspring": 1, "tick": ')
    while bench.asked() is not None:
        await asyncio.sleep(0.05)
    await scheduler.cancel()
    await scheduler.close()


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("a b", {}, "Name"),
        ("x" * 65, {}, "Name"),
        ("name", {"group": "a/b"}, "GroupName"),
        ("name", {"target": "queue"}, "target='queue'"),
        ("name", {"role": "me"}, "role='me'"),
        ("name", {"target": "arn:aws:sqs:eu-central-1:123456789012:ticks.fifo"}, "FIFO"),
        ("name", {"every": "minute"}, "every"),
    ],
)
def test_a_url_of_another_form_is_refused(name: str, options: dict[str, str], told: str, aws_environment: None) -> None:
    target = "arn:aws:sqs:eu-central-1:123456789012:ticks"
    url = AwsServer("http://127.0.0.1:9").url("scheduler", name, **{"target": target, "role": ROLE, **options})
    with pytest.raises(SettingsError, match=told):
        EventBridgeScheduler(url, SystemClock())
