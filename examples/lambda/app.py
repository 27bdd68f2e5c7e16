from mainspring import Context, workflow
from mainspring.serverless import serverless


@workflow(version="1")
async def greeting(ctx: Context, name: str) -> str:
    ctx.log("greeting")
    return f"hello {name}"


app = serverless(workflows=[greeting])
sqs_handler, tick_handler, direct_handler = app.sqs, app.tick, app.direct
