"""URLs that name a thing at AWS: ``sqs://queue``, ``s3://bucket/prefix``, ``eventbridge://bus``.

Two options may follow, as ``?region=eu-central-1&endpoint=http%3A%2F%2F127.0.0.1%3A4566``. Credentials never stand in a
URL: they come from where boto3 looks for them (environment, profile, role).
"""

from collections.abc import Collection
from urllib.parse import parse_qsl, unquote, urlsplit

import attrs

from mainspring.ports.errors import SettingsError


@attrs.frozen(kw_only=True)
class AwsLocation:
    """What such a URL says."""

    name: str  #: of the queue, bucket or bus
    path: str = ""  #: what follows the name, without slashes at its ends
    region: str | None = None  #: None: boto3's own choice
    endpoint: str | None = None  #: another address of the service: an emulator, a private one
    options: dict[str, str] = attrs.field(factory=dict[str, str])  #: those that the service's own adapter knows


def locate(url: str, scheme: str, *, known: Collection[str] = (), path: bool = False) -> AwsLocation:
    """Read the URL. ``known`` are the names of the adapter's own options.

    Raises:
        SettingsError: another scheme, no name, credentials in it, an unknown or empty option, a path where none may be.
    """
    try:
        parts = urlsplit(url)
    except ValueError as error:
        msg = f"expected a URL like {scheme}://name; found one with brackets that are no address"
        raise SettingsError(msg) from error
    shape = f"{scheme}://name" + ("/prefix" if path else "") + "?region=…&endpoint=…"
    if parts.scheme != scheme or not parts.netloc:
        msg = f"expected a URL like {shape}; found one that begins with {parts.scheme!r}"
        raise SettingsError(msg)
    if "@" in parts.netloc:
        msg = f"a {scheme}:// URL holds no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a role"
        raise SettingsError(msg)
    if parts.path.strip("/") and not path:
        msg = f"expected a URL like {shape}; found a path after the name"
        raise SettingsError(msg)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    unknown = sorted(set(options) - {"region", "endpoint", *known})
    if unknown:
        msg = f"{scheme}:// knows no option {unknown[0]!r}; known: {', '.join(sorted({'region', 'endpoint', *known}))}"
        raise SettingsError(msg)
    empty = sorted(name for name, value in options.items() if not value)
    if empty:
        msg = f"{scheme}:// was given no value for its option {empty[0]!r}; leave it out, or give one"
        raise SettingsError(msg)
    region, endpoint = options.pop("region", None), options.pop("endpoint", None)
    return AwsLocation(
        name=unquote(parts.netloc),
        path=unquote(parts.path.strip("/")),
        region=region,
        endpoint=endpoint,
        options=options,
    )
