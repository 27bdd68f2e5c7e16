"""The ids, moments and payload text that every record is made of.

Ids are distinct string types, so that a run's id cannot be handed over where a stage's is meant.
Moments are aware UTC datetimes, durations are timedeltas.
"""

from typing import NewType

RunId = NewType("RunId", str)
"""A run's id: a UUIDv7 in its 36-character text form, so ids sort by creation time."""

WorkflowId = NewType("WorkflowId", str)
"""A workflow's name, unique among the definitions of a process together with its version."""

Version = NewType("Version", str)
"""A workflow's version as its author writes it; a run keeps the one it started with."""

Fingerprint = NewType("Fingerprint", str)
"""Hash of a graph's shape (stages and edges, never code): 16 hexadecimal digits."""

StageId = NewType("StageId", str)
"""A stage's id, unique in its workflow."""

Route = NewType("Route", str)
"""What a worker must serve to take a job: ``queue/workflow@version#fingerprint``."""

WorkerId = NewType("WorkerId", str)
"""A process that holds leases: its configured name and a random part of its own life."""

LeaseId = NewType("LeaseId", str)
"""Random (UUIDv4) name of one claim of one job; what every later write of the attempt is guarded by."""

SignalId = NewType("SignalId", str)
"""The sender's id of a message; the same id is delivered once."""

SinkName = NewType("SinkName", str)
"""A sink's name in its store: letters, digits, ``.``, ``_`` and ``-``, at most 100 of them."""

BlobKey = NewType("BlobKey", str)
"""Where a blob store keeps some bytes: segments of ``[A-Za-z0-9._~%-]``, separated by ``/``."""

Payload = NewType("Payload", str)
"""Canonical JSON text, or a reference to a blob that holds it: ``@<blob key>``, with which no JSON text can begin."""
