"""MsgspecCodec: the Codec port on msgspec.

The usual case is quick: one pass of msgspec and one proof that nothing was lost. The proof of a decoding is that the
value encodes to the very text it came from, which holds for every text this codec has written; it excludes doubled
keys, unknown fields and lossy conversions at once. Only if a proof fails, the slow passes look for what is wrong, and
either name every problem or find that all is well (such as white space in a text written by hand).

Imported by the composition root and tests.
"""

import sys
from contextlib import suppress
from typing import Any, Final

import msgspec

from mainspring.adapters.msgspec.classes import without_caches
from mainspring.adapters.msgspec.compatible import fits
from mainspring.adapters.msgspec.finding import MOST_DIGITS, MOST_PROBLEMS
from mainspring.adapters.msgspec.fitting import misfits, split_error
from mainspring.adapters.msgspec.kinds import Kind, Kinds, check_encodable, name_of
from mainspring.adapters.msgspec.refusals import refusals
from mainspring.adapters.msgspec.soundness import Soundness
from mainspring.adapters.msgspec.text import HAZARDS, OVERLONG, is_deeper, read
from mainspring.ports.codec import Limits
from mainspring.ports.errors import DefinitionError, InvalidValueError, Problem
from mainspring.ports.names import Payload

_NUL: Final = "\\u0000"  # as the text has it


class MsgspecCodec:
    """Values to canonical JSON text and back; safe to share between threads."""

    def __init__(self, limits: Limits = Limits()) -> None:  # noqa: B008  frozen
        """``limits``: of size and depth; those on elements and inline payloads are for others to keep."""
        self._limits = limits
        self._to_text = msgspec.json.Encoder(order="sorted").encode
        self._from_text = msgspec.json.Decoder().decode
        self._sound = Soundness(limits.depth, floats=False).holds
        self._sound_with_floats = Soundness(limits.depth, floats=True).holds
        self._kinds = Kinds()

    def encode(self, value: Any, subject: str = "value") -> Payload:
        try:
            written = self._to_text(value)
            text = written.decode()
            sound = self._comes_back(value, text) and not (len(text) > MOST_DIGITS and _has_overlong(text))
        except Exception as error:  # msgspec calls into values: whatever comes out, the value is at fault
            raise InvalidValueError(subject, self._refusals(value, error)) from error
        if not sound or _NUL in text:
            problems = refusals(value, self._limits.depth)
            if problems:
                raise InvalidValueError(subject, problems)
            written = self._to_text(without_caches(value))
            text = written.decode()
        if len(written) > self._limits.size:
            raise InvalidValueError(subject, (self._too_large(len(written)),))
        return Payload(text)

    def decode(self, text: Payload, kind: Any, subject: str = "value") -> Any:
        limits = self._limits
        if len(text) * 4 > limits.size or text.count("[") + text.count("{") > limits.depth:
            self._check_limits(text, subject)
        known = self._kinds.get(kind)
        try:
            value = known.decoder.decode(text)
        except Exception as error:  # also validators', which are users' code
            if problems := self._misfits(text, known, error):
                raise InvalidValueError(subject, problems) from error
            value = msgspec.convert(read(text).value, known.type)
        if not self._is_proved(value, text, known) and (problems := self._misfits(text, known, None)):
            raise InvalidValueError(subject, problems)
        return value

    def schema(self, kind: Any) -> dict[str, Any]:
        known = self._kinds.get(kind)
        check_encodable(known)
        try:
            return msgspec.json.schema(known.type, schema_hook=_schema_of_object)
        except Exception as error:
            raise DefinitionError(f"{name_of(kind)} has no JSON Schema: {error}") from error

    def accepts(self, target: Any, source: Any) -> bool:
        if target is source or target in (Any, object) or source in (Any, object):
            return True
        try:
            return fits(self._kinds.get(target).structure, self._kinds.get(source).structure)
        except DefinitionError:
            return True  # nothing is proved; each type is checked for itself by schema()

    # -- the quick proofs ------------------------------------------------------------------------------------------

    def _comes_back(self, value: object, text: str) -> bool:
        """Whether the text of the value is known to hold all of it."""
        kind = type(value)
        if (kind is dict or kind is list) and text.count("[") + text.count("{") <= self._limits.depth:
            with suppress(msgspec.ValidationError):
                if self._from_text(text) == value:
                    return True
        return self._sound_with_floats(value) if "null" in text else self._sound(value)

    def _is_proved(self, value: Any, text: str, known: Kind) -> bool:
        """Whether the value is known to be all the text says, and allowed."""
        try:
            if self._to_text(value) != text.encode() or _NUL in text:
                return False
        except Exception:  # noqa: BLE001  defaults and converters may put in what cannot be encoded
            return False
        return not known.hazardous or HAZARDS.search(text) is None

    # -- the slow search for reasons -------------------------------------------------------------------------------

    def _refusals(self, value: Any, error: Exception) -> tuple[Problem, ...]:
        found = refusals(value, self._limits.depth)
        return found or (Problem("$", str(error) or type(error).__name__),)

    def _misfits(self, text: str, known: Kind, error: Exception | None) -> tuple[Problem, ...]:
        try:
            reading = read(text)
        except RecursionError:
            return (self._too_deep(),)
        except ValueError as syntax:
            return (Problem("$", f"not JSON: {error or syntax}"),)
        told = {problem.path for problem in reading.problems}
        fitting = misfits(reading.value, known.structure, decoded=error is None)
        found = reading.problems + tuple(problem for problem in fitting if problem.path not in told)
        if found or error is None:
            return found[:MOST_PROBLEMS]
        try:  # msgspec counts the sign of an integer among its 4,300 digits
            msgspec.convert(reading.value, known.type)
        except Exception:  # noqa: BLE001  the first error tells more
            message, place = split_error(str(error) or type(error).__name__)
            return (Problem(f"${place}", message),)
        return ()

    # -- limits ----------------------------------------------------------------------------------------------------

    def _check_limits(self, text: str, subject: str) -> None:
        size = len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))
        if size > self._limits.size:
            raise InvalidValueError(subject, (self._too_large(size),))
        if is_deeper(text, self._limits.depth):
            raise InvalidValueError(subject, (self._too_deep(),))

    def _too_large(self, size: int) -> Problem:
        return Problem("$", f"{size:,} bytes of JSON text, at most {self._limits.size:,} are allowed; pass a reference")

    def _too_deep(self) -> Problem:
        return Problem("$", f"nested deeper than {self._limits.depth} lists and objects; flatten it")


def _has_overlong(text: str) -> bool:
    """Whether integers nobody else could read may have been written: only if Python's own limit was lifted."""
    return sys.get_int_max_str_digits() != MOST_DIGITS and OVERLONG.search(text) is not None


def _schema_of_object(kind: type) -> dict[str, Any]:
    if kind is object:
        return {"description": "any value"}
    raise NotImplementedError
