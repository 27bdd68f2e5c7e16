"""``mainspring events`` and ``mainspring dead-letters``: what waits, what was given up on, and publishing it again."""

import attrs
import pytest

from mainspring import Mainspring
from mainspring.adapters.memory.event_sink import MemoryEventSink
from mainspring.hosts.upkeep.relay import Relay
from mainspring.kernel.dispatcher import Dispatcher
from mainspring.kernel.retry import NO_RETRY
from mainspring.ports.names import LeaseId, RunId, SinkName
from mainspring.ports.records import Event
from mainspring.ports.sinks import Sink
from tests.hosts.cli import flows
from tests.hosts.cli.conftest import CommandLine

AUDIT = SinkName("audit")


@attrs.frozen
class Site:
    """A store with two sinks, and two runs whose creation both are to hear of."""

    first: RunId
    second: RunId

    def id(self, number: int = 1) -> str:
        return f"{self.first}/{number}"


@pytest.fixture
def site(cli: CommandLine) -> Site:
    async def begin(engine: Mainspring) -> Site:
        for name in ("default", "audit"):
            await engine.parts.store.add_sink(Sink(name=SinkName(name), types=("run.*",) if name == "audit" else ()))
        first, second = [await engine.start(flows.waiting, None) for _ in range(2)]
        return Site(first.id, second.id)

    return cli.ask(begin)


def bury(cli: CommandLine, run: RunId | None = None) -> None:
    """Have the audit give up on all events that wait, or on those of a run."""

    def refuses(event: Event) -> str | None:
        return "no \x1b[31m use" if run in {None, event.run_id} else None

    async def publish(engine: Mainspring) -> None:
        sink, lease_id = MemoryEventSink(refuses=refuses), LeaseId("0" * 8 + "-0000-4000-8000-" + "0" * 12)
        parts = engine.parts
        dispatcher = Dispatcher(parts.store, parts.clock, parts.ids)
        relay = Relay(parts.store, dispatcher, sink, lease_id, name=AUDIT, retry=NO_RETRY)
        await relay.tick()
        await relay.close()

    cli.ask(publish)


def test_what_waits_is_listed_by_sink_and_run(cli: CommandLine, site: Site) -> None:
    found = cli.document("events")["events"]
    assert [(one["sink"], one["run"], one["seq"], one["type"]) for one in found] == [
        ("audit", site.first, 1, "run.created"),
        ("audit", site.second, 1, "run.created"),
        ("default", site.first, 1, "run.created"),
        ("default", site.second, 1, "run.created"),
    ]
    assert [one["sink"] for one in cli.document("events", "--run", site.second)["events"]] == ["audit", "default"]
    assert [one["run"] for one in cli.document("events", "--sink", "audit", "--limit", "1")["events"]] == [site.first]
    assert cli.document("events", "--type", "stage.*")["events"] == []
    lines = cli("events").stdout.splitlines()
    assert len(lines) == 5
    assert site.id() in lines[1]


def test_sinks_are_listed_with_what_waits_for_them_and_removed_with_it(cli: CommandLine, site: Site) -> None:
    bury(cli, site.first)
    found = {one["sink"]: one for one in cli.document("events", "sinks")["sinks"]}
    assert (found["audit"]["types"], found["audit"]["waiting"], found["audit"]["dead"]) == (["run.*"], 0, 1)
    assert (found["default"]["types"], found["default"]["waiting"], found["default"]["dead"]) == ([], 2, 0)
    assert "run.*" in cli("events", "sinks").stdout
    assert cli.document("events", "remove-sink", "audit") == {"sink": "audit", "removed": True}
    assert cli.document("events", "remove-sink", "audit") == {"sink": "audit", "removed": False}
    assert [one["sink"] for one in cli.document("events", "sinks")["sinks"]] == ["default"]
    assert cli.document("dead-letters", "list")["dead_letters"] == []


def test_dead_letters_are_listed_and_their_errors_move_no_cursor(cli: CommandLine, site: Site) -> None:
    bury(cli)
    found = cli.document("dead-letters", "list")["dead_letters"]
    assert [(one["sink"], one["id"], one["error"]) for one in found] == [
        ("audit", f"{site.first}/1", "no \x1b[31m use"),
        ("audit", f"{site.second}/1", "no \x1b[31m use"),
    ]
    shown = cli("dead-letters", "list").stdout
    assert site.id() in shown
    assert "\x1b[31m" not in shown


@pytest.mark.fault(47)
def test_a_replay_asked_for_twice_replays_once(cli: CommandLine, site: Site) -> None:
    bury(cli)
    dry = cli.document("dead-letters", "replay", "--event", site.id(), "--dry-run")
    assert [one["id"] for one in dry["dead_letters"]] == [site.id()]
    assert cli.document("dead-letters", "replay", "--event", site.id()) == {"replayed": 1, "sinks": {"audit": 1}}
    assert cli.document("dead-letters", "replay", "--event", site.id()) == {"replayed": 0, "sinks": {}}
    assert [one["run"] for one in cli.document("events", "--sink", "audit")["events"]] == [site.first]
    assert "replayed 1 dead letters: 1 for audit" in cli("dead-letters", "replay").stderr
    assert cli.document("dead-letters", "list")["dead_letters"] == []


def test_what_is_discarded_is_gone_for_good(cli: CommandLine, site: Site) -> None:
    bury(cli)
    dry = cli.document("dead-letters", "discard", "--run", site.first, "--dry-run")
    assert [one["id"] for one in dry["dead_letters"]] == [site.id()]
    assert cli.document("dead-letters", "discard", "--run", site.first) == {"discarded": 1, "sinks": {"audit": 1}}
    assert [one["run"] for one in cli.document("dead-letters", "list")["dead_letters"]] == [site.second]
    refused = cli("dead-letters", "discard")
    assert refused.exit_code == 2
    assert "--all" in refused.stderr
    assert "discarded 1 dead letters: 1 for audit" in cli("dead-letters", "discard", "--all").stderr
    assert cli.document("dead-letters", "discard", "--all") == {"discarded": 0, "sinks": {}}
    assert cli.document("events", "--sink", "audit")["events"] == []


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        (("--sink", "default"), 0),
        (("--sink", "audit", "--type", "run.*"), 2),
        (("--type", "stage.failed"), 0),
        (("--limit", "1"), 1),
        (("--before", "2020-01-01"), 0),
        (("--since", "2020-01-01T00:00Z", "--before", "2999-01-01T12:00+02:00"), 2),
    ],
)
def test_a_replay_is_of_what_matches_every_filter(
    cli: CommandLine, site: Site, filters: tuple[str, ...], count: int
) -> None:
    bury(cli)
    assert cli.document("dead-letters", "replay", *filters)["replayed"] == count
    assert len(cli.document("dead-letters", "list")["dead_letters"]) == 2 - count


@pytest.mark.parametrize(
    "wrong",
    [("--event", "no number"), ("--event", "a/1", "--run", "b"), ("--since", "yesterday"), ("--type", "anything")],
)
def test_a_filter_that_says_nothing_is_refused(cli: CommandLine, site: Site, wrong: tuple[str, ...]) -> None:
    result = cli("dead-letters", "replay", *wrong)
    assert result.exit_code == 2, result.output
