"""The first durable workflow: `mainspring run examples/hello.py --input '"world"'`."""

from mainspring import Context, Workflow, stage


@stage
def greet(ctx: Context, name: str) -> str:
    ctx.log("greeting")
    return f"Hello, {name}!"


@stage
async def shout(ctx: Context, greeting: str) -> str:
    ctx.progress(1, 1, "shouting")
    return greeting.upper()


hello = Workflow("hello", version="1").pipe(greet).pipe(shout)
