"""URLs that name a queue or an exchange at RabbitMQ: ``amqp://user:password@host:5672/vhost?queue=mainspring``.

``amqps://`` speaks TLS; ``cafile``, ``certfile`` and ``keyfile`` name its files. Rule: the password never leaves
:attr:`RabbitLocation.address`; whatever is shown, shows ``shown``.
"""

import re
from collections.abc import Collection
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

import attrs

from mainspring.ports.errors import SettingsError

FORM = "amqp://user:password@host:5672/vhost?queue=mainspring"
_ENCODED = "in a password write / as %2F and @ as %40; the virtual host / is written as nothing, or as %2F"
_FILES = frozenset({"cafile", "capath", "certfile", "keyfile"})
_OURS = frozenset({"heartbeat"})
_NAME = re.compile(r"[A-Za-z0-9._:~-]{1,200}")
_HEARTBEATS = range(1, 601)


@attrs.frozen(kw_only=True)
class RabbitLocation:
    """A virtual host of a broker, and the options behind it."""

    address: str = attrs.field(repr=False)  #: what aiormq connects with, the password included
    heartbeat: int  #: seconds; a connection that is silent for three of them is given up by either side
    options: dict[str, str]  #: those that the adapter knows
    shown: str  #: the URL as it may be shown


def locate(url: str, *, known: Collection[str]) -> RabbitLocation:
    """Read a URL. ``known`` are the names of the adapter's own options.

    Raises:
        SettingsError: it is none of RabbitMQ, or has an option that is not known, or a wrong one.
    """
    try:
        parts = urlsplit(url)
        given = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
        host, port = parts.hostname, parts.port
    except ValueError:  # its words may quote the password
        raise SettingsError(f"RabbitMQ's URL cannot be read; expected {FORM}; {_ENCODED}") from None
    if parts.scheme not in {"amqp", "amqps"} or not host:
        raise SettingsError(f"RabbitMQ's URL begins with amqp:// or amqps:// and names a host; expected {FORM}")
    if "@" in parts.path or "/" in parts.path[1:] or parts.fragment:
        raise SettingsError(f"RabbitMQ's URL has an @, / or # behind its virtual host; expected {FORM}; {_ENCODED}")
    allowed = {*known, *_OURS, *(_FILES if parts.scheme == "amqps" else ())}
    unknown = sorted(set(given) - allowed)
    if unknown:
        raise SettingsError(f"{parts.scheme}:// knows no option {unknown[0]!r}; known: {', '.join(sorted(allowed))}")
    heartbeat = _heartbeat(given.get("heartbeat", "10"))
    vhost = quote(unquote(parts.path[1:]) or "/", safe="")
    place = f"{host if ':' not in host else f'[{host}]'}:{port or (5671 if parts.scheme == 'amqps' else 5672)}"
    user = quote(unquote(parts.username or "guest"), safe="")
    password = quote(unquote(parts.password or "guest"), safe="")
    theirs = {name: value for name, value in given.items() if name in _FILES} | {"heartbeat": str(heartbeat)}
    return RabbitLocation(
        address=f"{parts.scheme}://{user}:{password}@{place}/{vhost}?{urlencode(theirs, quote_via=quote)}",
        heartbeat=heartbeat,
        options={name: value for name, value in given.items() if name in known},
        shown=f"{parts.scheme}://{user}@{place}/{vhost}",
    )


def named(options: dict[str, str], option: str, default: str) -> str:
    """The name of a queue or exchange.

    Raises:
        SettingsError: RabbitMQ or an operator would stumble over it.
    """
    name = options.get(option, default)
    if not _NAME.fullmatch(name) or name.startswith("amq."):
        raise SettingsError(f"{option}={name!r} is no name here: letters, digits and . _ : ~ -, at most 200, not amq.…")
    return name


def switched(options: dict[str, str], option: str, *, default: bool) -> bool:
    """Whether the option is on.

    Raises:
        SettingsError: it is neither true nor false.
    """
    value = options.get(option, str(default).lower())
    if value not in {"true", "false"}:
        raise SettingsError(f"{option}={value!r} may be true or false")
    return value == "true"


def _heartbeat(value: str) -> int:
    if not value.isascii() or not value.isdigit() or int(value) not in _HEARTBEATS:
        raise SettingsError(f"heartbeat={value!r} may be a number of seconds from 1 to {_HEARTBEATS[-1]}")
    return int(value)
