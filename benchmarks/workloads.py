"""The workflows that are measured. Bodies do nothing: what is measured is the engine."""

import json
from typing import Any

from mainspring import Context, Workflow, stage

Document = dict[str, str]


def document(number: int) -> Document:
    """A JSON object of exactly 200 bytes."""
    made = {"id": f"wf-{number:08d}", "data": ""}
    made["data"] = "x" * (200 - len(json.dumps(made)))
    return made


@stage
async def first(_: Context[None], value: Document) -> Document:
    return value


second, third = first.named("second"), first.named("third")


@stage
async def spread(_: Context[None], count: int) -> list[Document]:
    return [document(number) for number in range(count)]


@stage
async def joined(_: Context[None], values: list[Document]) -> int:
    return len(values)


@stage
async def gathered(_: Context[None], values: dict[str, Document]) -> int:
    return len(values)


NOOP3 = Workflow("noop3", version="1").pipe(first).pipe(second).pipe(third)
NOOP1 = Workflow("noop1", version="1").pipe(first)
MAPPED = Workflow("mapped", version="1").pipe(spread).map(first).pipe(joined)

WIDTH = 480
"""Stages of the widest group: a definition holds at most 500."""

GROUP = Workflow("group", version="1").parallel(*(first.named(f"s{number}") for number in range(WIDTH))).pipe(gathered)

ALL: tuple[Workflow[Any, Any], ...] = (NOOP3, NOOP1, MAPPED, GROUP)
BY_NAME = {str(workflow.workflow_id): workflow for workflow in ALL}
