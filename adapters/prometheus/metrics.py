"""Figures kept by prometheus-client, in a registry of their own: a program's other metrics are left alone.

Rule: labels come from definitions (workflow, stage, route, sink), never from runs: their number is bounded.
"""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from time import monotonic

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from mainspring.adapters.prometheus.standing import StandingFigures
from mainspring.ports.names import SinkName, WorkflowId
from mainspring.ports.observer import Standing
from mainspring.ports.records import Job, Lease, Run

_LATENCY = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_SIZES = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
_ATTEMPTS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0, 300.0, 1800.0, 3600.0)


class PrometheusMetrics:
    """An exposition of one worker's figures."""

    content_type = CONTENT_TYPE_PLAIN_0_0_4

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self._registry = registry
        self._claim_seconds = Histogram(
            "mainspring_claim_seconds", "How long claims took.", buckets=_LATENCY, registry=registry
        )
        self._claim_size = Histogram(
            "mainspring_claim_size", "Jobs that one claim gave.", buckets=_SIZES, registry=registry
        )
        self._commit_seconds = Histogram(
            "mainspring_commit_seconds",
            "How long it took to decide and write what ended.",
            buckets=_LATENCY,
            registry=registry,
        )
        self._commit_size = Histogram(
            "mainspring_commit_size", "Ends of attempts that one Change wrote.", buckets=_SIZES, registry=registry
        )
        self._attempts = Counter(
            "mainspring_attempts", "Attempts that are over.", ("workflow", "stage", "outcome"), registry=registry
        )
        self._attempt_seconds = Histogram(
            "mainspring_attempt_seconds",
            "How long attempts took, their record included.",
            ("workflow", "stage"),
            buckets=_ATTEMPTS,
            registry=registry,
        )
        self._retries = Counter("mainspring_retries", "Attempts that failed and will be repeated.", registry=registry)
        self._lost = Counter(
            "mainspring_lease_losses", "Attempts that were not recorded: their lease was gone.", registry=registry
        )
        self._events = Counter(
            "mainspring_relayed_events", "Events the relays settled.", ("sink", "answer"), registry=registry
        )
        self._started = Counter("mainspring_starts", "Runs this process was asked to start.", registry=registry)

    @contextmanager
    def starting(self, workflow: WorkflowId, count: int) -> Generator[str | None]:  # noqa: ARG002  no label is needed
        self._started.inc(count)
        yield None

    def claimed(self, leases: Sequence[Lease], seconds: float) -> None:
        self._claim_seconds.observe(seconds)
        self._claim_size.observe(len(leases))

    def attempting(self, run: Run, job: Job) -> "Attempt":
        return Attempt(self, run.workflow, job.stage)

    def committed(self, finishes: int, seconds: float) -> None:
        self._commit_seconds.observe(seconds)
        self._commit_size.observe(finishes)

    def relayed(self, sink: SinkName, published: int, postponed: int, dead: int) -> None:
        for answer, count in (("published", published), ("postponed", postponed), ("dead", dead)):
            self._events.labels(sink, answer).inc(count)

    def ended(self, workflow: str, stage: str, outcome: str, seconds: float) -> None:
        """Count an attempt that is over."""
        self._attempts.labels(workflow, stage, outcome).inc()
        self._attempt_seconds.labels(workflow, stage).observe(seconds)
        if outcome == "retrying":
            self._retries.inc()
        elif outcome == "lease_lost":
            self._lost.inc()

    def page(self, standing: Standing) -> bytes:
        moment = CollectorRegistry()
        moment.register(StandingFigures(standing))
        return generate_latest(self._registry) + generate_latest(moment)


class Attempt:
    """One attempt's time."""

    def __init__(self, metrics: PrometheusMetrics, workflow: str, stage: str) -> None:
        self._metrics = metrics
        self._workflow = workflow
        self._stage = stage
        self._began = monotonic()

    def committing(self) -> None:
        """The record counts as part of the attempt."""

    def ended(self, outcome: str) -> None:
        self._metrics.ended(self._workflow, self._stage, outcome, monotonic() - self._began)
