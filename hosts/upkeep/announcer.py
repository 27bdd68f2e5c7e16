"""The announcer: tells again of jobs that are due and that nobody took. For transports that carry pointers.

A message that told of a job may be lost, come too early, or never have been sent: the process that committed the job
died, or the moment was too far away for the transport. The job row is the truth; it is looked at here.
"""

from collections.abc import Callable
from datetime import timedelta

import structlog

from mainspring.ports.errors import MainspringError
from mainspring.ports.job_transport import JobTransport
from mainspring.ports.persistence import UpkeepStore
from mainspring.ports.records import Pointer

logger = structlog.get_logger("mainspring.upkeep")

AGAIN = timedelta(minutes=1)
"""A job that still waits so long after it was announced is announced once more; an old one less and less often."""

BATCH = 100
MOST_BATCHES = 20


class Announcer:
    """Announces for one host; any number of hosts may, each job is given to one of them."""

    def __init__(self, store: UpkeepStore, transport: JobTransport) -> None:
        self._store = store
        self._transport = transport
        self._unsent: list[Pointer] = []  #: counts as announced, and was not

    async def tick(self, go_on: Callable[[], bool] = lambda: True) -> int:
        """Announce what is due; how many jobs that were. What could not be sent comes first at the next tick.

        ``go_on`` is asked before each batch: whether there is time left.

        Raises:
            MainspringError: the store or the transport failed.
        """
        announced = 0
        for _ in range(MOST_BATCHES):
            if not go_on():
                break
            pointers = self._unsent = self._unsent or await self._store.announce(BATCH, AGAIN)
            if pointers:
                try:
                    await self._transport.send(pointers)
                except MainspringError as error:
                    logger.warning("jobs_not_announced", jobs=len(pointers), error=str(error))
                    raise
            self._unsent = []
            announced += len(pointers)
            if len(pointers) < BATCH:
                break
        return announced
