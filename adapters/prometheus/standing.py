"""Gauges made of one ``Standing``: how a worker and its store stand at the moment of a scrape."""

from collections.abc import Iterator
from datetime import datetime

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from mainspring.ports.observer import Standing
from mainspring.ports.records import Backlog, JobPhase


class StandingFigures(Collector):
    """Gives one page's gauges. What the store did not tell is left out, never shown as zero."""

    def __init__(self, standing: Standing) -> None:
        self._standing = standing

    def collect(self) -> Iterator[GaugeMetricFamily]:
        standing = self._standing
        yield GaugeMetricFamily("mainspring_ready", "Whether this worker takes work.", value=float(standing.ready))
        yield GaugeMetricFamily("mainspring_bodies_running", "Attempts under way here.", value=standing.bodies)
        yield GaugeMetricFamily("mainspring_slots", "Attempts there may be here at once.", value=standing.slots)
        yield GaugeMetricFamily("mainspring_bodies_stuck", "Bodies here that would not end.", value=standing.stuck)
        told = standing.backlog is not None
        yield GaugeMetricFamily("mainspring_store_up", "Whether the store told what waits.", value=float(told))
        if standing.backlog is not None:
            yield from _of_the_store(standing, standing.backlog)


def _of_the_store(standing: Standing, backlog: Backlog) -> Iterator[GaugeMetricFamily]:
    jobs = GaugeMetricFamily(
        "mainspring_jobs", "Jobs in the store; none is counted further than 1,000.", labels=("route", "state")
    )
    oldest = GaugeMetricFamily(
        "mainspring_oldest_due_seconds", "How long the job that is due longest has been.", labels=("route",)
    )
    unclaimable = GaugeMetricFamily(
        "mainspring_unclaimable_jobs", "Due jobs of routes that no live worker serves.", labels=("route",)
    )
    for one in backlog.routes:
        jobs.add_metric((one.route, "due"), one.ready_due)
        jobs.add_metric((one.route, "later"), one.ready_later)
        jobs.add_metric((one.route, "leased"), one.leased)
        jobs.add_metric((one.route, JobPhase.PARKED.value), one.parked)
        jobs.add_metric((one.route, JobPhase.BLOCKED.value), one.blocked)
        oldest.add_metric((one.route,), _age(one.oldest_due, backlog.at))
        if one.route in standing.unserved:
            unclaimable.add_metric((one.route,), one.ready_due)
    yield from (jobs, oldest, unclaimable)
    events = GaugeMetricFamily(
        "mainspring_outbox_events", "Events that wait; not counted further than 1,000.", labels=("sink",)
    )
    lag = GaugeMetricFamily("mainspring_outbox_lag_seconds", "Age of the oldest event that waits.", labels=("sink",))
    dead = GaugeMetricFamily(
        "mainspring_dead_letters", "Events given up on; not counted further than 1,000.", labels=("sink",)
    )
    for told in backlog.sinks:
        events.add_metric((told.sink,), told.unpublished)
        lag.add_metric((told.sink,), _age(told.oldest_event, backlog.at))
        dead.add_metric((told.sink,), told.dead)
    yield from (events, lag, dead)


def _age(moment: datetime | None, now: datetime) -> float:
    return 0.0 if moment is None else max(0.0, (now - moment).total_seconds())
