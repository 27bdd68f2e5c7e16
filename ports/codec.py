"""Codec: values to canonical JSON text and back, and the types they fit."""

from typing import Any, Protocol

import attrs

from mainspring.ports.names import Payload


@attrs.frozen(kw_only=True)
class Limits:
    """Hard limits on values, checked before anything is written. Defaults are those of the documentation."""

    size: int = 16 * 1024 * 1024  #: bytes of the UTF-8 text
    depth: int = 64  #: nested lists and objects
    elements: int = 100_000  #: of a mapped stage's list
    inline: int = 64 * 1024  #: bytes above which a payload goes to the blob store
    artifact: int = 64 * 1024 * 1024  #: bytes of one artifact
    artifacts: int = 1_000  #: of one attempt


class Codec(Protocol):
    """Exact round trip of what it accepts, a typed error with paths for what it does not.

    Exact: ints (up to 4,300 digits), floats, str, bool, None, lists, str-keyed dicts, aware datetimes, timedelta,
    Decimal, UUID, bytes, enums, attrs classes, dataclasses, TypedDicts and msgspec structs of these.
    """

    def encode(self, value: Any, subject: str = "value") -> Payload:
        """Canonical JSON text (keys sorted, no white space): equal values give equal text.

        Raises:
            InvalidValueError: about ``subject``; the value cannot round-trip (NaN, infinity, NUL, lone surrogate, naive
                datetime, unknown type, private or non-init field, non-string key), or is over a limit; with paths.
        """
        ...

    def decode(self, text: Payload, kind: Any, subject: str = "value") -> Any:
        """The value of this type, validated whole.

        Raises:
            InvalidValueError: about ``subject``: every problem with its path, up to 50.
        """
        ...

    def schema(self, kind: Any) -> dict[str, Any]:
        """The type's JSON Schema.

        Raises:
            DefinitionError: no value of this type can be encoded; says why and what to use instead.
        """
        ...

    def accepts(self, target: Any, source: Any) -> bool:
        """False if a value of type ``source`` provably does not fit ``target``; True also where nothing is proved."""
        ...
