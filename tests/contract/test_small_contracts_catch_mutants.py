"""Each rule of the suites of the small ports is shown to fail when broken: see ``test_contracts_catch_mutants``."""

from collections.abc import AsyncIterator, Collection, Sequence
from datetime import timedelta
from typing import Any

import pytest

from mainspring.adapters.memory import MemoryBlobStore, MemoryEventSink, MemoryJobTransport, MemoryRunFeed
from mainspring.ports.blob_store import BlobStore
from mainspring.ports.contracts import job_transport, run_feed
from mainspring.ports.contracts.blob_store import BlobStoreContract
from mainspring.ports.contracts.event_sink import EventSinkContract
from mainspring.ports.contracts.job_transport import JobTransportContract
from mainspring.ports.contracts.run_feed import RunFeedContract
from mainspring.ports.event_sink import EventSink
from mainspring.ports.job_transport import JobTransport, RunFeed
from mainspring.ports.names import BlobKey, RunId
from mainspring.ports.records import Event, Hint, Pointer
from tests.contract.mutants import fails


class Blobs(BlobStoreContract):
    broken: type[MemoryBlobStore] = MemoryBlobStore

    async def open(self) -> BlobStore:
        self.store = self.broken()
        return self.store

    async def second(self) -> BlobStore:
        return self.store


class TakesAnyKey(MemoryBlobStore):
    async def put(self, key: BlobKey, content: bytes) -> None:
        self._blobs[key] = content


class CutsBytes(MemoryBlobStore):
    async def get(self, key: BlobKey) -> bytes:
        return (await super().get(key))[:1_000_000]


class ListsAsPut(MemoryBlobStore):
    async def list(self, prefix: str = "") -> AsyncIterator[BlobKey]:
        for key in self._blobs:
            if key.startswith(prefix):
                yield key


class ListsWholeSegmentsOnly(MemoryBlobStore):
    async def list(self, prefix: str = "") -> AsyncIterator[BlobKey]:
        for key in sorted(self._blobs):
            if not prefix or key == prefix or key.startswith(prefix.rstrip("/") + "/"):
                yield key


class InventsBytes(MemoryBlobStore):
    async def get(self, key: BlobKey) -> bytes:
        return self._blobs.get(key, b"")


class NeverDeletes(MemoryBlobStore):
    async def delete(self, key: BlobKey) -> None:
        pass


class Sink(EventSinkContract):
    broken: type[MemoryEventSink] = MemoryEventSink

    async def open(self) -> EventSink:
        self.sink = self.broken()
        return self.sink

    async def taken(self) -> list[Event]:
        return self.sink.published

    async def refuse(self, event_id: str) -> None:
        def refuses(event: Event) -> str | None:
            return "no" if event.id == event_id else None

        self.sink.refuses = refuses


class LetsEventsOvertake(MemoryEventSink):
    async def publish(self, events: Sequence[Event]) -> list[str | None]:
        return [answer for event in events for answer in await super(LetsEventsOvertake, self).publish([event])]


class HoldsUpAllRuns(MemoryEventSink):
    async def publish(self, events: Sequence[Event]) -> list[str | None]:
        answers = await super().publish(events)
        return answers if None not in answers[1:] or answers.count(None) == len(answers) else ["no"] * len(answers)


class Shuffles(MemoryEventSink):
    async def publish(self, events: Sequence[Event]) -> list[str | None]:
        return await super().publish(events[::-1])


class Transport(JobTransportContract):
    broken: type[MemoryJobTransport] = MemoryJobTransport

    async def open(self) -> JobTransport:
        return self.broken()


class LosesWhatNobodyWaitsFor(MemoryJobTransport):
    def _enqueue(self, pointers: Any) -> None:
        if self._receivers:
            super()._enqueue(pointers)


class WakesNobody(MemoryJobTransport):
    def _let_go(self, receivers: int) -> None:
        pass


class IgnoresTheLimit(MemoryJobTransport):
    def _take(self, limit: int) -> list[Hint]:
        return super()._take(1_000)


class TakesOneAndForgetsTheRest(MemoryJobTransport):
    def _take(self, limit: int) -> list[Hint]:
        return super()._take(1_000)[:limit]


class NeverAgain(MemoryJobTransport):
    async def settle(self, hint: Hint, again_after: timedelta | None = None) -> None:
        pass


class TellsTooEarly(MemoryJobTransport):
    async def send(self, pointers: Sequence[Pointer], after: timedelta = timedelta(0)) -> None:
        await super().send(pointers)


class NeverTells(MemoryJobTransport):
    async def send(self, pointers: Sequence[Pointer], after: timedelta = timedelta(0)) -> None:
        if not after:
            await super().send(pointers)


class Feed(RunFeedContract):
    broken: type[MemoryRunFeed] = MemoryRunFeed

    async def open(self) -> RunFeed:
        return self.broken()


class TellsNobody(MemoryRunFeed):
    async def ended(self, run_ids: Collection[RunId]) -> None:
        pass


class TellsOne(MemoryRunFeed):
    async def ended(self, run_ids: Collection[RunId]) -> None:
        for run_id in run_ids:
            for news in list(self._waiters.get(run_id, ()))[:1]:
                if not news.done():
                    news.set_result(None)


OTHER_MUTANTS: list[tuple[Any, type, str]] = [
    (Blobs, TakesAnyKey, "a_key_of_another_form_is_refused_and_nothing_is_stored"),
    (Blobs, CutsBytes, "bytes_come_back_as_they_were_put_to_everybody"),
    (Blobs, ListsAsPut, "keys_are_listed_in_ascending_order"),
    (Blobs, ListsWholeSegmentsOnly, "a_prefix_is_whole_segments_or_parts_of_them"),
    (Blobs, InventsBytes, "what_is_not_there_is_not_found"),
    (Blobs, NeverDeletes, "a_blob_exists_until_it_is_deleted"),
    (Sink, LetsEventsOvertake, "an_event_that_is_not_taken_holds_up_its_own_run_only"),
    (Sink, HoldsUpAllRuns, "an_event_that_is_not_taken_holds_up_its_own_run_only"),
    (Sink, Shuffles, "events_of_a_run_arrive_in_their_order"),
    (Transport, LosesWhatNobodyWaitsFor, "a_hint_sent_before_is_received"),
    (Transport, LosesWhatNobodyWaitsFor, "a_hint_sent_between_two_calls_is_not_lost"),
    (Transport, WakesNobody, "a_hint_wakes_a_waiting_receiver"),
    (Transport, WakesNobody, "closing_lets_waiting_receivers_go"),
    (Transport, IgnoresTheLimit, "no_more_hints_than_the_limit_come_at_once_and_none_is_lost"),
    (Transport, TakesOneAndForgetsTheRest, "no_more_hints_than_the_limit_come_at_once_and_none_is_lost"),
    (Transport, NeverAgain, "a_hint_put_off_comes_again"),
    (Transport, TellsTooEarly, "a_hint_of_a_job_due_later_comes_then_or_not_at_all"),
    (Transport, NeverTells, "a_hint_of_a_job_due_later_comes_then_or_not_at_all"),
    (Feed, TellsNobody, "who_waits_is_told_of_the_end"),
    (Feed, TellsOne, "everybody_who_waits_is_told"),
]


@pytest.mark.parametrize(("suite", "broken", "test"), OTHER_MUTANTS)
def test_the_other_suites_catch(suite: Any, broken: type, test: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for contract in (job_transport, run_feed):
        monkeypatch.setattr(contract, "_PATIENCE", 0.05)  # what never comes is given up on soon
    assert not fails(suite, test)
    monkeypatch.setattr(suite, "broken", broken)
    assert fails(suite, test)
