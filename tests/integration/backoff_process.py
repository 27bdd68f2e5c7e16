"""A worker that fails a stage and waits an hour: ``python -m tests.integration.backoff_process URL``."""

import asyncio
import sys

from mainspring import Mainspring
from tests.integration.chaos_process import say_ready
from tests.integration.test_store_faults import QUICK, patient


async def main(url: str) -> None:
    """Work until killed."""
    async with Mainspring(url, workflows=[patient], settings=QUICK):
        say_ready()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
