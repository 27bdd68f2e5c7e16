"""Subscribers: functions of this program that are called for committed events.

Each subscriber is a sink of its own, by its name: it has its own queue, order, retries and dead letters, and is not
called again because a neighbour failed. It is called at least once per event: what it does twice for one ``event.id``
must do no harm. Its name is kept in the store; one that is no more is removed with ``mainspring events remove-sink``.
"""

import asyncio
import inspect
import json
import threading
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextvars import copy_context
from datetime import datetime, timedelta
from typing import Any, TypeAlias

import attrs
import structlog

from mainspring.kernel.outlets import PUBLISHING, Outlet
from mainspring.kernel.retry import Retry
from mainspring.ports import records
from mainspring.ports.errors import SettingsError
from mainspring.ports.event_sink import UNTRIED, EventSink, Hopeless, Untried
from mainspring.ports.names import RunId, SinkName
from mainspring.ports.sinks import DEFAULT_SINK, Sink

PATIENCE = timedelta(seconds=15)
"""For a batch, and less than a relay's. What is not done by then has failed. No call begins in its second half, so each
has half of it at least; what was not begun waits for the next batch.
"""

AT_ONCE = 10
"""So many events of different runs are handled at once; those of one run one after the other."""

logger = structlog.get_logger("mainspring.subscribers")


@attrs.frozen(kw_only=True)
class Event:
    """A committed event, as a subscriber gets it."""

    id: str  #: the same however often it comes
    run_id: RunId
    seq: int  #: 1, 2, 3 … of the run, in which a subscriber that wants some types only sees gaps
    type: str
    at: datetime
    data: Mapping[str, Any]
    tries: int  #: failed calls so far


Handler: TypeAlias = Callable[[Event], Awaitable[None]] | Callable[[Event], None]
"""``async def on(event: Event) -> None``, or a plain ``def``, which is called in a daemon thread of its own."""


@attrs.frozen
class Subscriber:
    """A function, and what it is called for. Calling it calls the function."""

    handler: Handler
    name: SinkName = attrs.field(kw_only=True)
    types: tuple[str, ...] = attrs.field(default=(), kw_only=True)
    retry: Retry = attrs.field(default=PUBLISHING, kw_only=True)

    def __call__(self, event: Event) -> Awaitable[None] | None:
        """Call the function."""
        return self.handler(event)


def subscriber(
    handler: Handler, types: Iterable[str] = (), *, name: str | None = None, retry: Retry = PUBLISHING
) -> Subscriber:
    """The function as a subscriber.

    Args:
        handler: the function.
        types: which events: exact types, or ``run.*``; none: all.
        name: what the store knows it by; default: the function's name.
        retry: what becomes of an event that the function raises for, before it is a dead letter.

    Raises:
        SettingsError: the name or a type is none, or the name is the default sink's.
    """
    chosen = name if name is not None else getattr(handler, "__name__", type(handler).__name__)
    if chosen == DEFAULT_SINK:
        raise SettingsError(f"{chosen!r} is the name of the sink that sink= gives; call the subscriber something else")
    sink = Sink(name=SinkName(chosen), types=tuple(types))
    return Subscriber(handler, name=sink.name, types=sink.types, retry=retry)


def subscribe(*types: str, name: str | None = None, retry: Retry = PUBLISHING) -> Callable[[Handler], Subscriber]:
    """Decorate a function that is to be called for events of these types; hand it over as ``subscribers=``.

    ::

        @subscribe("run.completed", "run.failed")
        async def tell(event: Event) -> None: ...

    Raises:
        SettingsError: as of ``subscriber``.
    """
    if types and callable(types[0]):
        raise SettingsError("write @subscribe(), with brackets, for a subscriber to all events")
    return lambda handler: subscriber(handler, types, name=name, retry=retry)


def outlets(
    sinks: Mapping[str, EventSink | Outlet] | None, subscribers: Iterable[Subscriber]
) -> dict[SinkName, Outlet]:
    """All of these, by name.

    Raises:
        SettingsError: two go by one name, or a name is none.
    """
    found: dict[SinkName, Outlet] = {}
    for name, sink in (sinks or {}).items():
        outlet = sink if isinstance(sink, Outlet) else Outlet(sink)
        found[Sink(name=SinkName(name), types=outlet.types).name] = outlet
    for one in subscribers:
        if one.name in found:
            raise SettingsError(f"two sinks or subscribers go by the name {one.name!r}; give one of them another name=")
        found[one.name] = Outlet(SubscriberSink(one), types=one.types, retry=one.retry)
    return found


class SubscriberSink:
    """The EventSink port on a function.

    Args:
        subscriber: whose function.
        patience: for one batch.
        at_once: how many runs' events are handled side by side. Calls of a plain function that were given up on and
            have not returned count among them: once they are so many, none is begun until one returns.
    """

    def __init__(self, subscriber: Subscriber, *, patience: timedelta = PATIENCE, at_once: int = AT_ONCE) -> None:
        self._subscriber = subscriber
        self._patience = patience.total_seconds()
        self._at_once = at_once
        self._lock = threading.Lock()
        self._in_threads = 0  # calls that have not returned, whether or not anybody waits for them

    async def publish(self, events: Sequence[records.Event]) -> list[str | None]:
        """Call the function for each; runs side by side, the events of one in their order."""
        free = self._at_once - self._in_threads
        if free <= 0:
            return [Untried(f"{self._in_threads} calls of the subscriber do not return")] * len(events)
        by_run: dict[RunId, list[int]] = {}
        for place, event in enumerate(events):
            by_run.setdefault(event.run_id, []).append(place)
        answers: list[str | None] = [UNTRIED] * len(events)
        began = asyncio.get_running_loop().time()
        slots = asyncio.Semaphore(free)

        async def handle(places: list[int]) -> None:
            async with slots:
                for place in places:
                    if asyncio.get_running_loop().time() >= began + self._patience / 2:
                        return
                    answers[place] = await self._answer(events[place], began + self._patience)
                    if answers[place] is not None:
                        return

        async with asyncio.TaskGroup() as group:
            for places in by_run.values():
                group.create_task(handle(places))
        return answers

    async def _answer(self, event: records.Event, until: float) -> str | None:
        try:
            async with asyncio.timeout_at(until):
                await self._call(_told(event))
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            return "the subscriber was cancelled"
        except TimeoutError:
            told = f"the subscriber took longer than what was left of {self._patience:g} s for its batch"
            return f"{told}, or ran into a time-out of its own"
        except Exception as error:
            told = f"{type(error).__name__}: {error}"
            logger.warning("subscriber_failed", subscriber=self._subscriber.name, event_id=event.id, exc_info=error)
            return Hopeless(told) if self._subscriber.retry.refuses(error) else told
        return None

    async def _call(self, event: Event) -> None:
        handler = self._subscriber.handler
        if inspect.iscoroutinefunction(handler):
            await handler(event)
            return
        made = await self._in_a_thread(lambda: handler(event))
        if inspect.isawaitable(made):  # an object that is called, or a function that hands on to another
            await made

    async def _in_a_thread(self, call: Callable[[], Any]) -> Any:
        """What it returns, or raises: called in a thread of its own, which keeps neither us nor the process waiting."""
        returned: Future[tuple[Any, BaseException | None]] = Future()
        returned.set_running_or_notify_cancel()  # who waits may give up; the call goes on
        context = copy_context()

        def work() -> None:
            result: Any = None
            error: BaseException | None = None
            try:
                result = context.run(call)
            except BaseException as raised:  # noqa: BLE001  whoever waits is told
                error = raised
            with self._lock:
                self._in_threads -= 1
            returned.set_result((result, error))

        with self._lock:
            self._in_threads += 1
        threading.Thread(target=work, name=f"mainspring {self._subscriber.name}", daemon=True).start()
        result, error = await asyncio.wrap_future(returned)
        if error is None:
            return result
        if isinstance(error, Exception) and not isinstance(error, StopIteration):
            raise error
        raise RuntimeError(f"{type(error).__name__}: {error}") from error  # it would end more than this call


def _told(event: records.Event) -> Event:
    data: Any = json.loads(event.data)
    return Event(
        id=event.id,
        run_id=event.run_id,
        seq=event.seq,
        type=event.type,
        at=event.at,
        data=data if isinstance(data, dict) else {"value": data},  # pyright: ignore[reportUnknownArgumentType]
        tries=event.tries,
    )
