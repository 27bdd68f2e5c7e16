"""One shipped suite per port: what every adapter must prove. Plain asserts, run by whatever awaits methods.

To certify an adapter, subclass its suite, say how to make one, and close what was opened after each test:

    class TestMyPersistence(PersistenceContract):
        def new_clock(self) -> ManualClock:
            return ManualClock()

        async def open(self, clock: SteerableClock) -> Persistence:
            return MyPersistence(...)

        async def second(self, clock: SteerableClock) -> Persistence:
            return MyPersistence(...)  # as another process would open the same store

        @pytest.fixture(autouse=True)
        async def _finished(self) -> AsyncIterator[None]:
            yield
            await self.finish()

Real differences between adapters are capability attributes of a suite, never a question which adapter it is.
The suites may import asyncio, for nothing else makes two callers race; no adapter and no test tool.
"""
