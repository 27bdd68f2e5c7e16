"""Which adapter a URL means: of the transport, the blob store, the scheduler, a sink. Part of the composition root.

An adapter's library is imported when its URL is met, not before; where it is missing, the error says what to install.
"""

from collections.abc import Callable, Mapping
from typing import TypeVar

from mainspring.kernel.outlets import Outlet
from mainspring.ports.blob_store import BlobStore
from mainspring.ports.clock import Clock
from mainspring.ports.errors import SettingsError
from mainspring.ports.event_sink import EventSink
from mainspring.ports.job_transport import JobTransport
from mainspring.ports.names import SinkName
from mainspring.ports.scheduler import Scheduler
from mainspring.ports.sinks import Sink

T = TypeVar("T")


def open_transport(url: str) -> JobTransport:
    """The transport that a URL names: ``sqs://queue`` or ``amqp://user:password@host/vhost?queue=…``.

    Raises:
        SettingsError: the URL names none, or its library is not installed.
    """
    return _chosen("transport", url, {"sqs": _sqs_transport, "amqp": _rabbit_transport, "amqps": _rabbit_transport})


def open_blobs(place: str) -> BlobStore:
    """The blob store at a place: ``s3://bucket/prefix``, or the path of a directory.

    Raises:
        SettingsError: the URL names none, or its library is not installed.
    """
    if "://" in place:
        return _chosen("blob store", place, {"s3": _s3, "file": _directory})
    return _directory(f"file://{place}")


def open_scheduler(url: str, clock: Clock) -> Scheduler:
    """The scheduler that a URL names: ``scheduler://name?target=…&role=…``. It tells the past by the store's clock.

    Raises:
        SettingsError: the URL names none, or its library is not installed.
    """
    return _chosen("scheduler", url, {"scheduler": lambda url: _eventbridge_scheduler(url, clock)})


def open_sink(url: str) -> EventSink:
    """The sink that a URL names: ``jsonl:///path``, ``sqs://queue``, ``eventbridge://bus`` or ``amqp://…?exchange=…``.

    Raises:
        SettingsError: the URL names none, or its library is not installed.
    """
    known: dict[str, Callable[[str], EventSink]] = {
        "jsonl": _jsonl,
        "sqs": _sqs_sink,
        "eventbridge": _eventbridge,
        "amqp": _rabbit_sink,
        "amqps": _rabbit_sink,
    }
    return _chosen("sink", url, known)


def open_sinks(text: str) -> dict[SinkName, Outlet]:
    """The sinks that a text names, ``name=url`` each, with white space between them.

    Raises:
        SettingsError: a name stands twice or is none, a URL names no sink, or its library is not installed.
    """
    found: dict[SinkName, Outlet] = {}
    for word in text.split():
        name, separator, url = word.partition("=")
        if not separator or "://" in name:
            raise SettingsError("sinks are named like audit=jsonl:///var/log/events.jsonl, with spaces between them")
        sink = Sink(name=SinkName(name)).name
        if sink in found:
            raise SettingsError(f"two sinks go by the name {name!r}; give one of them another")
        found[sink] = Outlet(open_sink(url))
    return found


def _chosen(what: str, url: str, known: Mapping[str, Callable[[str], T]]) -> T:
    scheme, separator, _ = url.partition("://")
    opened = known.get(scheme) if separator else None
    if opened is None:
        found = f"begins with {scheme!r}" if separator else "has no scheme"
        msg = f"no {what} is known for a URL that {found}; known: {', '.join(f'{name}://' for name in sorted(known))}"
        raise SettingsError(msg)
    try:
        return opened(url)
    except ImportError as error:
        library, extra = _NEEDS.get(scheme, (scheme, "all"))
        raise SettingsError(f"{scheme}:// needs {library}; run: pip install 'mainspring[{extra}]'") from error


_NEEDS = {
    **dict.fromkeys(("sqs", "s3", "eventbridge", "scheduler"), ("boto3", "aws")),
    **dict.fromkeys(("amqp", "amqps"), ("aio-pika", "rabbitmq")),
}


def _sqs_transport(url: str) -> JobTransport:
    from mainspring.adapters.aws.sqs_job_transport import SqsJobTransport

    return SqsJobTransport(url)


def _rabbit_transport(url: str) -> JobTransport:
    from mainspring.adapters.rabbitmq.job_transport import RabbitJobTransport

    return RabbitJobTransport(url)


def _s3(url: str) -> BlobStore:
    from mainspring.adapters.aws.s3_blob_store import S3BlobStore

    return S3BlobStore(url)


def _directory(url: str) -> BlobStore:
    from mainspring.adapters.filesystem import FilesystemBlobStore

    return FilesystemBlobStore(url.removeprefix("file://"))


def _eventbridge_scheduler(url: str, clock: Clock) -> Scheduler:
    from mainspring.adapters.aws.eventbridge_scheduler import EventBridgeScheduler

    return EventBridgeScheduler(url, clock)


def _jsonl(url: str) -> EventSink:
    from mainspring.adapters.filesystem.jsonl_sink import JsonlEventSink

    return JsonlEventSink(url)


def _sqs_sink(url: str) -> EventSink:
    from mainspring.adapters.aws.sqs_event_sink import SqsEventSink

    return SqsEventSink(url)


def _eventbridge(url: str) -> EventSink:
    from mainspring.adapters.aws.eventbridge_sink import EventBridgeSink

    return EventBridgeSink(url)


def _rabbit_sink(url: str) -> EventSink:
    from mainspring.adapters.rabbitmq.event_sink import RabbitEventSink

    return RabbitEventSink(url)
