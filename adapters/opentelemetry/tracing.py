"""Spans by OpenTelemetry: a start, and under it, in whatever process, each claim and attempt of the run.

Where the spans go is the program's choice: without its SDK the API makes none. A run carries the W3C ``traceparent`` of
its start; one that carries none gets a trace per attempt. Under an attempt stand its commit and the body's own spans.

Rule: attributes come from definitions and counts, never from payloads.
"""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from time import time_ns

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from mainspring.ports.names import SinkName, WorkflowId
from mainspring.ports.records import Job, Lease, Run, StageStatus
from mainspring.ports.trace import trace_of

_FIELD = "traceparent"
_FORMAT = TraceContextTextMapPropagator()
_WRONG = frozenset({StageStatus.FAILED.value, "retrying", "lease_lost", "out_of_time", "crashed"})


class OpenTelemetryTracing:
    """An observer that makes spans.

    Args:
        tracer: default: that of the program's tracer provider, whenever it sets one.
    """

    def __init__(self, tracer: Tracer | None = None) -> None:
        self._tracer = tracer or trace.get_tracer("mainspring")

    @contextmanager
    def starting(self, workflow: WorkflowId, count: int) -> Generator[str | None]:
        attributes: dict[str, str | int] = {"mainspring.workflow": workflow, "mainspring.runs": count}
        name = f"start {workflow}"
        with self._tracer.start_as_current_span(name, kind=SpanKind.PRODUCER, attributes=attributes):
            carrier: dict[str, str] = {}
            _FORMAT.inject(carrier)
            yield carrier.get(_FIELD)

    def claimed(self, leases: Sequence[Lease], seconds: float) -> None:
        began = time_ns() - int(seconds * 1e9)
        for lease in leases:
            if trace_of(lease.run) is not None:
                attributes = {**_attributes(lease.run, lease.job), "mainspring.claimed": len(leases)}
                self._tracer.start_span("claim", _context(lease.run), attributes=attributes, start_time=began).end()

    def attempting(self, run: Run, job: Job) -> "AttemptSpan":
        name = f"stage {run.workflow}/{job.stage}"
        above = _context(run)
        span = self._tracer.start_span(name, above, kind=SpanKind.CONSUMER, attributes=_attributes(run, job))
        return AttemptSpan(self._tracer, span, trace.set_span_in_context(span, above))

    def committed(self, finishes: int, seconds: float) -> None:
        """Each attempt's commit is a span of its own."""

    def relayed(self, sink: SinkName, published: int, postponed: int, dead: int) -> None:
        """Events are of many runs."""


class AttemptSpan:
    """One attempt's span, current while it lasts."""

    def __init__(self, tracer: Tracer, span: Span, context: Context) -> None:
        self._tracer = tracer
        self._span = span
        self._context = context
        self._commit: Span | None = None
        self._token = otel_context.attach(context)

    def committing(self) -> None:
        self._commit = self._tracer.start_span("commit", self._context)

    def ended(self, outcome: str) -> None:
        if self._commit is not None:
            self._commit.end()
        otel_context.detach(self._token)
        self._span.set_attribute("mainspring.outcome", outcome)
        if outcome in _WRONG:
            self._span.set_status(Status(StatusCode.ERROR, outcome))
        self._span.end()


def _context(run: Run) -> Context:
    """What a run's spans stand under; nothing of the process that happens to make them."""
    told = trace_of(run)
    return Context() if told is None else _FORMAT.extract({_FIELD: told}, Context())


def _attributes(run: Run, job: Job) -> dict[str, str | int]:
    return {
        "mainspring.workflow": run.workflow,
        "mainspring.run": run.id,
        "mainspring.stage": job.stage,
        "mainspring.index": job.index,
        "mainspring.attempt": job.attempt,
    }
