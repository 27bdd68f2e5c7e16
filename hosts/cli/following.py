"""Following a run on a terminal: its graph, drawn anew until it has ended."""

import asyncio

from mainspring.hosts.cli.drawing import drawn_graph
from mainspring.hosts.cli.output import err, safe
from mainspring.hosts.cli.reading import RunView, read_run
from mainspring.hosts.execution.parts import Parts
from mainspring.ports.errors import PortError
from mainspring.ports.names import RunId

_EVERY = 0.1  # seconds


async def follow(parts: Parts, run_id: RunId) -> None:
    """Draw the run on stderr until it has ended, and leave the last drawing there. A failing store is waited for."""
    from rich.console import Group
    from rich.live import Live

    def drawn(view: RunView) -> Group:
        head = f"{view.run.workflow}@{view.run.version}  run {run_id}  {view.run.status}"
        return Group(safe(head, "dim"), drawn_graph(view))

    with Live(console=err(), auto_refresh=False) as live:
        while True:
            try:
                view = await read_run(parts.store, run_id)
            except PortError:
                await asyncio.sleep(_EVERY)
                continue
            live.update(drawn(view), refresh=True)
            if view.ended:
                return
            await asyncio.sleep(_EVERY)
