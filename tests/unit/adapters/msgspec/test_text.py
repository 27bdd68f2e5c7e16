"""Limits on text, checked before anything is parsed."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring.adapters.msgspec import MsgspecCodec
from mainspring.adapters.msgspec.text import is_deeper
from mainspring.ports.codec import Limits
from mainspring.ports.errors import InvalidValueError
from mainspring.ports.names import Payload


@pytest.mark.parametrize(
    ("text", "deeper"),
    [
        ("[" * 64 + "]" * 64, False),
        ("[" * 65 + "]" * 65, True),
        ('{"a":' * 65 + "1" + "}" * 65, True),
        ("[" + "[]," * 1000 + "[]]", False),
        ("[" + "[{}]," * 1000 + "[" * 64 + "]" * 65, True),
        ('"' + "[" * 1000 + '"', False),
        ('["\\"' + "[" * 1000 + '"]', False),
        ('["\\\\",' + "[" * 64 + "]" * 65, True),
        ("[" * 100_000, True),
        ('{"a":[' * 100_000, True),
        ('"' + '\\"' * 100_000 + "[" * 100, False),  # a string that does not end: no JSON, and quickly seen
        ("", False),
    ],
    ids=range(12),
)
def test_the_depth_is_seen_without_parsing(text: str, *, deeper: bool) -> None:
    assert is_deeper(text, 64) is deeper


@given(st.recursive(st.just([]), lambda inner: st.lists(inner, max_size=4), max_leaves=100), st.integers(0, 12))
def test_the_depth_is_the_number_of_lists_around_the_innermost(value: list[Any], limit: int) -> None:
    def depth(part: list[Any]) -> int:
        return 1 + max(map(depth, part), default=0)

    assert is_deeper(repr(value), limit) is (depth(value) > limit)


def test_a_text_of_the_exact_size_is_taken_and_a_longer_one_is_refused_both_ways() -> None:
    codec = MsgspecCodec(Limits(size=100))
    longest = "x" * 98
    assert codec.decode(codec.encode(longest), str) == longest
    for refused in (lambda: codec.encode(longest + "x"), lambda: codec.decode(Payload(f'"{longest}x"'), str)):
        with pytest.raises(InvalidValueError, match="101 bytes of JSON text, at most 100 are allowed"):
            refused()


def test_the_size_is_counted_in_bytes_of_utf_8() -> None:
    codec = MsgspecCodec(Limits(size=100))
    for refused in (lambda: codec.encode("é" * 50), lambda: codec.decode(Payload('"' + "é" * 50 + '"'), str)):
        with pytest.raises(InvalidValueError, match="102 bytes"):
            refused()


def test_the_limit_of_depth_is_a_setting() -> None:
    codec = MsgspecCodec(Limits(depth=2))
    assert codec.decode(codec.encode([[1]]), Any) == [[1]]
    for refused in (lambda: codec.encode([[[1]]]), lambda: codec.decode(Payload("[[[1]]]"), Any)):
        with pytest.raises(InvalidValueError, match="nested deeper than 2 "):
            refused()
