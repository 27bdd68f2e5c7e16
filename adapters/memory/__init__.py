"""Every port in the memory of one process: first class, shipped, under the same contracts as the others.

Isolating and rolling back like the real ones; with scheduling points at which a test may crash, delay or interleave.
For the composition root, tests and simulations.
"""

from mainspring.adapters.memory.blob_store import MemoryBlobStore
from mainspring.adapters.memory.clock import ManualClock
from mainspring.adapters.memory.event_sink import MemoryEventSink
from mainspring.adapters.memory.faults import Fault, Passed, one_after_another
from mainspring.adapters.memory.ids import SeededIds
from mainspring.adapters.memory.job_transport import MemoryJobTransport
from mainspring.adapters.memory.persistence import MemoryPersistence
from mainspring.adapters.memory.points import Point
from mainspring.adapters.memory.row_locks import RowLocks
from mainspring.adapters.memory.run_feed import MemoryRunFeed
from mainspring.adapters.memory.scheduler import MemoryScheduler
from mainspring.adapters.memory.server import ServerPersistence
from mainspring.adapters.memory.store import MemoryStore
from mainspring.adapters.memory.tables import Committed, Watch, Written

__all__ = [
    "Committed",
    "Fault",
    "ManualClock",
    "MemoryBlobStore",
    "MemoryEventSink",
    "MemoryJobTransport",
    "MemoryPersistence",
    "MemoryRunFeed",
    "MemoryScheduler",
    "MemoryStore",
    "Passed",
    "Point",
    "RowLocks",
    "SeededIds",
    "ServerPersistence",
    "Watch",
    "Written",
    "one_after_another",
]
