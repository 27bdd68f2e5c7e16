"""The suite of Persistence: all five of its protocols, on one store seen by two processes."""

from collections.abc import Awaitable, Callable

from mainspring.ports.change import Change
from mainspring.ports.contracts.commit_gates import CommitGatesContract
from mainspring.ports.contracts.commit_guards import CommitGuardsContract
from mainspring.ports.contracts.commit_writes import CommitWritesContract
from mainspring.ports.contracts.lease_store import LeaseStoreContract
from mainspring.ports.contracts.outbox_store import OutboxStoreContract
from mainspring.ports.contracts.races import RacesContract
from mainspring.ports.contracts.retention_races import SweepRacesContract
from mainspring.ports.contracts.retention_store import RetentionStoreContract
from mainspring.ports.contracts.run_store import RunListingContract, RunStoreContract
from mainspring.ports.contracts.suite import PersistenceSuite
from mainspring.ports.contracts.upkeep_store import UpkeepStoreContract
from mainspring.ports.contracts.wakes import WakesContract
from mainspring.ports.errors import UnavailableError


class ClosingContract(PersistenceSuite):
    """What is closed stays closed; the store does not."""

    async def test_a_closed_client_is_unavailable_and_the_other_goes_on(self) -> None:
        world = await self.world()
        run = await world.created()
        await world.store.close()
        await world.store.close()
        calls: list[Callable[[], Awaitable[object]]] = [
            world.store.now,
            lambda: world.store.run(run.id),
            lambda: world.store.commit(Change(create=world.run())),
        ]
        for call in calls:
            try:
                await call()
            except UnavailableError:
                continue
            raise AssertionError("a closed client answered")
        assert await world.other.run(run.id) == run
        await world.other.commit(Change(create=world.run()))


class PersistenceContract(
    CommitGuardsContract,
    CommitGatesContract,
    CommitWritesContract,
    WakesContract,
    RacesContract,
    RunStoreContract,
    RunListingContract,
    LeaseStoreContract,
    UpkeepStoreContract,
    OutboxStoreContract,
    RetentionStoreContract,
    SweepRacesContract,
    ClosingContract,
):
    """All that an adapter of Persistence must prove."""
