"""Files that stages leave beside their outputs: stored as they come, recorded with the stage's end."""

from typing import Any

import pytest

from mainspring import Context, Retry, StageArtifact, Workflow, stage
from mainspring.errors import NotFoundError, RunFailedError
from mainspring.hosts.upkeep.collector import Collector
from mainspring.ports.codec import Limits
from mainspring.testing import TestEngine

PDF = b"%PDF-1.7 \x00\xff"


@stage
async def render(ctx: Context, text: str) -> str:
    await ctx.artifact("report.pdf", PDF, media_type="application/pdf")
    await ctx.artifact("notes ü.txt", b"first")
    await ctx.artifact("notes ü.txt", text.encode(), media_type="text/plain; charset=utf-8")
    return text


@stage
def draw(ctx: Context, text: str) -> str:
    ctx.artifact("picture.png", bytearray(b"png"), media_type="image/png")
    return text


flow = Workflow("reports", version="1").pipe(render).pipe(draw)


async def test_artifacts_of_async_and_plain_bodies_are_listed_and_read() -> None:
    async with TestEngine(flow) as engine:
        run = await engine.start(flow, "grüße")
        await engine.finish(run)
        assert await run.artifacts() == [
            StageArtifact(stage=draw.id, index=0, name="picture.png", size=3, media_type="image/png"),
            StageArtifact(stage=render.id, index=0, name="notes ü.txt", size=7, media_type="text/plain; charset=utf-8"),
            StageArtifact(stage=render.id, index=0, name="report.pdf", size=len(PDF), media_type="application/pdf"),
        ]
        assert await run.artifact("render", "notes ü.txt") == "grüße".encode()
        assert await run.artifact(draw, "picture.png") == b"png"
        with pytest.raises(NotFoundError, match=r"there are: 'notes ü\.txt' of render"):
            await run.artifact(render, "other")
        with pytest.raises(NotFoundError, match="no run"):
            await engine.client.handle("019a0000-0000-7000-8000-000000000001").artifacts()


async def test_each_instance_of_a_map_has_its_own() -> None:
    wide = Workflow("wide", version="1").map(draw)
    async with TestEngine(wide) as engine:
        run = await engine.start(wide, ["a", "b"])
        await engine.finish(run)
        assert [(one.index, one.name) for one in await run.artifacts()] == [(0, "picture.png"), (1, "picture.png")]
        assert await run.artifact(draw, "picture.png", index=1) == b"png"


async def test_only_the_attempt_that_completes_the_stage_leaves_its_artifacts_and_the_rest_is_collected() -> None:
    @stage(retry=Retry(max_attempts=3))
    async def tries(ctx: Context) -> int:
        await ctx.artifact(f"try {ctx.attempt}", b"%d" % ctx.attempt)
        if ctx.attempt < 3:
            raise ValueError("again")
        return ctx.attempt

    trying = Workflow("trying", version="1").pipe(tries)
    async with TestEngine(trying) as engine:
        run = await engine.start(trying, None)
        await engine.finish(run)
        assert [one.name for one in await run.artifacts()] == ["try 3"]
        blobs = engine.parts.blobs
        await Collector(engine.parts.store, blobs).round()
        assert len([key async for key in blobs.list()]) == 1
        assert await run.artifact(tries, "try 3") == b"3"


async def test_what_is_not_awaited_is_stored_all_the_same_before_the_stage_ends() -> None:
    @stage
    async def hasty(ctx: Context) -> None:
        ctx.artifact("late", b"late")

    flow = Workflow("hasty", version="1").pipe(hasty)
    async with TestEngine(flow) as engine:
        run = await engine.start(flow, None)
        await engine.finish(run)
        assert await run.artifact(hasty, "late") == b"late"


@pytest.mark.parametrize(
    ("name", "content", "media_type", "told"),
    [
        ("", b"", "text/plain", r"\$.name"),
        ("x" * 201, b"", "text/plain", r"\$.name"),
        ("../up", b"", "text/plain", r"\$.name"),
        ("..", b"", "text/plain", r"\$.name"),
        ("a\\b", b"", "text/plain", r"\$.name"),
        ("a\nb", b"", "text/plain", r"\$.name"),
        (" a", b"", "text/plain", r"\$.name"),
        (7, b"", "text/plain", r"\$.name"),
        ("a", "text", "text/plain", r"\$.content: must be bytes"),
        ("a", 5, "text/plain", r"\$.content: must be bytes"),
        ("a", b"x" * 11, "text/plain", r"\$.content: at most 10 bytes, found 11"),
        ("a", b"", "text", r"\$.media_type"),
        ("a", b"", "text/plain\n", r"\$.media_type"),
        ("a", b"", None, r"\$.media_type"),
    ],
)
async def test_what_cannot_be_kept_is_refused(name: Any, content: Any, media_type: Any, told: str) -> None:
    @stage(retry=Retry(max_attempts=1))
    async def wrong(ctx: Context) -> None:
        await ctx.artifact(name, content, media_type=media_type)

    flow = Workflow("wrong", version="1").pipe(wrong)
    async with TestEngine(flow, limits=Limits(artifact=10)) as engine:
        with pytest.raises(RunFailedError, match=told):
            await engine.run(flow, None)
        assert [key async for key in engine.parts.blobs.list()] == []


async def test_an_attempt_leaves_so_many_at_most() -> None:
    @stage(retry=Retry(max_attempts=1))
    def many(ctx: Context, count: int) -> None:
        for number in range(count):
            ctx.artifact(f"{number % 3}", b"x")
        if count > 3:
            ctx.artifact("one more", b"x")

    flow = Workflow("many", version="1").pipe(many)
    async with TestEngine(flow, limits=Limits(artifacts=3)) as engine:
        await engine.run(flow, 3)
        with pytest.raises(RunFailedError, match="at most 3 artifacts"):
            await engine.run(flow, 9)
