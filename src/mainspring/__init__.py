"""Mainspring: durable workflows for Python.

Define stages, put them together, start runs; whatever crashes, each run ends, and each stage's result is recorded once.
"""

from mainspring.client import Page
from mainspring.engine import Mainspring
from mainspring.handles import RunHandle, StageArtifact
from mainspring.kernel.context import Context
from mainspring.kernel.declare import stage, workflow
from mainspring.kernel.definition import Workflow
from mainspring.kernel.outlets import Outlet
from mainspring.kernel.pending import Pending
from mainspring.kernel.retry import NO_RETRY, NonRetryable, Retry
from mainspring.kernel.stage import Stage
from mainspring.ports.records import RunStatus
from mainspring.subscribers import Event, Subscriber, subscribe

__all__ = [
    "NO_RETRY",
    "Context",
    "Event",
    "Mainspring",
    "NonRetryable",
    "Outlet",
    "Page",
    "Pending",
    "Retry",
    "RunHandle",
    "RunStatus",
    "Stage",
    "StageArtifact",
    "Subscriber",
    "Workflow",
    "stage",
    "subscribe",
    "workflow",
]
