from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring.adapters.rabbitmq.link import pause
from mainspring.adapters.rabbitmq.topology import LONGEST, UNIT, Declared, Way, job_topology, way


def matches(pattern: str, key: str) -> bool:
    """As a topic exchange does, for the patterns that are used here: ``*`` and ``#`` at the end."""
    words, found = pattern.removesuffix(".#").split("."), key.split(".")
    return len(found) >= len(words) and all(word in {"*", other} for word, other in zip(words, found, strict=False))


def waits(route: Way) -> timedelta:
    """How long a message is under way to the queue ``jobs``."""
    declared = job_topology("jobs")
    exchanges: dict[str, Declared] = {one.name: one for one in declared if one.kind == "topic"}
    queues: dict[str, Declared] = {one.name: one for one in declared if one.kind is None}
    waited, place = timedelta(0), route.exchange
    while place:
        exchange = exchanges[place]
        onwards = [name for name, pattern in exchange.exchanges if matches(pattern, route.key)]
        into = [name for name, pattern in exchange.queues if matches(pattern, route.key)]
        assert len(onwards) + len(into) == 1
        if onwards:
            place = onwards[0]
        elif into == ["jobs"]:
            return waited
        else:
            arguments = queues[into[0]].arguments
            waited += timedelta(milliseconds=arguments["x-message-ttl"])
            place = arguments["x-dead-letter-exchange"]
            assert place or arguments["x-dead-letter-routing-key"] == "jobs"
    return waited


@given(st.timedeltas(min_value=timedelta(microseconds=1), max_value=LONGEST))
def test_a_message_waits_as_long_as_it_shall_or_a_moment_longer(after: timedelta) -> None:
    assert after <= waits(way("jobs", after)) < after + UNIT


def test_what_is_due_goes_straight_into_the_queue_and_no_wait_is_longer_than_the_longest() -> None:
    assert way("jobs", timedelta(0)) == way("jobs", timedelta(seconds=-1)) == Way("", "jobs")
    assert waits(way("jobs", timedelta(days=1))) == LONGEST


@pytest.mark.fault(42)
def test_nothing_is_dropped_silently() -> None:
    for declared in job_topology("jobs"):
        if declared.kind is None and declared.name != "jobs.dead":
            assert declared.arguments["x-queue-type"] == "quorum"
            assert declared.arguments["x-dead-letter-strategy"] == "at-least-once"
            assert declared.arguments["x-overflow"] == "reject-publish"


def test_pauses_between_tries_begin_at_once_and_stay_short() -> None:
    assert pause(1, 2.0) <= 0.04
    assert all(pause(failures, 2.0) <= 2.0 for failures in range(1, 10_000, 97))
