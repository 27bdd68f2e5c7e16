"""Where a PostgreSQL store is: a libpq URL, and what of it is ours.

``postgresql://user@host/db?schema=mainspring`` is libpq's own form; ``schema`` and ``pgbouncer`` are taken out of it
before libpq sees it. Rule: a password never leaves :attr:`PostgresLocation.conninfo`; whatever is shown, shows
``shown``.
"""

import re
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import attrs

from mainspring.ports.errors import SettingsError

_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_SECRETS = frozenset({"password", "sslpassword", "passfile", "oauth_client_secret"})
_ENCODED = "in a password write / as %2F and @ as %40"
FORM = "postgresql://user@host:5432/database?schema=mainspring"


@attrs.frozen(kw_only=True)
class PostgresLocation:
    """A schema of a database."""

    conninfo: str = attrs.field(repr=False)  #: what libpq connects with, the password included
    schema: str
    pgbouncer: bool  #: behind a pooler that hands out a connection per transaction
    shown: str  #: the URL as it may be shown


def locate(url: str) -> PostgresLocation:
    """Read a URL.

    Raises:
        SettingsError: it is none of a PostgreSQL database, or one of our parameters is wrong.
    """
    try:
        parts = urlsplit(url)
        given = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        _ = parts.port
    except ValueError:  # its words may quote the password
        raise SettingsError(f"the store's URL cannot be read; expected {FORM}; {_ENCODED}") from None
    if parts.scheme not in {"postgresql", "postgres"} or "://" not in url:
        raise SettingsError(f"a PostgreSQL store's URL begins with postgresql://; expected {FORM}")
    if "@" in parts.path:
        raise SettingsError(f"the store's URL has an @ behind its host; expected {FORM}; {_ENCODED}")
    ours = dict(pair for pair in given if pair[0] in {"schema", "pgbouncer"})
    theirs = [pair for pair in given if pair[0] not in ours]
    schema = ours.get("schema", "mainspring")
    if not _SCHEMA.fullmatch(schema):
        raise SettingsError(
            f"schema={schema!r} is no name of a schema here: lower case letters, digits and _, at most 63"
        )
    pooled = ours.get("pgbouncer", "")
    if pooled not in {"", "transaction"}:
        raise SettingsError(f"pgbouncer={pooled!r} is not known; it may be 'transaction', or left out")
    return PostgresLocation(
        conninfo=_joined(parts.netloc, parts.path, theirs),
        schema=schema,
        pgbouncer=bool(pooled),
        shown=_shown(parts.netloc, parts.path, [pair for pair in given if pair[0] not in _SECRETS]),
    )


def _shown(place: str, path: str, parameters: list[tuple[str, str]]) -> str:
    user, at, host = place.rpartition("@")
    name = user.partition(":")[0]
    return _joined(f"{name}{at}{host}", path, parameters)


def _joined(place: str, path: str, parameters: list[tuple[str, str]]) -> str:
    """Not by ``urlunsplit``, which leaves out the ``//`` before an empty place."""
    query = urlencode(parameters, quote_via=quote)
    return f"postgresql://{place}{path}" + (f"?{query}" if query else "")
