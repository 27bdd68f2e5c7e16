"""Array literals, read back by a reader of their grammar that knows nothing of how they were made."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring.adapters.sql.postgres_arrays import ids, numbers, texts
from mainspring.ports.errors import InvalidValueError

#: What parts columns inside, what the grammar gives a meaning to, and anything else.
HOSTILE = st.text(st.sampled_from('\x1e\x1f",{}\\ \n\tNULnul') | st.characters(codec="utf-8", exclude_characters="\0"))


def read(literal: str) -> list[str | None]:
    """A one-dimensional array as the server's manual describes it."""
    assert literal[0] == "{"
    assert literal[-1] == "}"
    body, place = literal[1:-1], 0
    found: list[str | None] = []
    while place < len(body):
        if body[place] == '"':
            place += 1
            text = ""
            while body[place] != '"':
                place += body[place] == "\\"
                text += body[place]
                place += 1
            found.append(text)
            place += 1
        else:
            end = body.find(",", place)
            end = len(body) if end < 0 else end
            word = body[place:end].strip()  # the server passes over blanks between words
            assert not set(word) & set('"\\{}')
            found.append(None if word == "NULL" else word)
            place = end
        if place < len(body):
            assert body[place] == ","
            assert place + 1 < len(body)
            place += 1
    return found


@given(st.lists(HOSTILE | st.none()))
def test_every_text_arrives_as_it_was(values: list[str | None]) -> None:
    assert read(texts(values)) == values


@pytest.mark.parametrize(
    "values",
    [
        [],
        [""],
        [None],
        ["", ""],
        [None, None],
        ["NULL", None, "null"],
        ["\x1e"],
        ["\x1f"],
        ["\x1e", None],
        ['"'],
        ["\\"],
        ["\\\x1f"],
        ['a"\x1e"b', None],
        ["\x1e", "\x1f", None, ""],
        ["{}", ",", " "],
    ],
    ids=repr,
)
def test_no_text_ends_its_column_or_begins_another(values: list[str | None]) -> None:
    assert read(texts(values)) == values


@given(st.lists(st.integers() | st.none()))
def test_every_integer_arrives_as_it_was(values: list[int | None]) -> None:
    assert [None if word is None else int(word) for word in read(numbers(values))] == values


def test_truth_values_are_words_the_server_knows() -> None:
    assert read(numbers([True, False, None])) == ["True", "False", None]


@given(st.lists(st.uuids().map(str) | st.none()))
def test_every_id_arrives_as_it_was(values: list[str | None]) -> None:
    assert read(ids(values)) == values


GOOD = "019a0000-0000-7000-8000-000000000001"


@pytest.mark.parametrize(
    "values",
    [
        [""],
        ["x"],
        [GOOD[:-1]],
        [GOOD + "0"],
        [GOOD, ""],
        [f"{GOOD[:-1]},{GOOD}"[:36]],  # of the right length, and two of them
        [GOOD[:10], GOOD + GOOD[10:]],  # too short and too long by as much: no comma betrays them
        ["None" * 9],
        [GOOD[:-4] + "None"],
        [GOOD[:-4] + "NULL"],
    ],
    ids=repr,
)
def test_what_is_no_id_is_refused_or_stays_one_value_that_the_server_refuses(values: list[str]) -> None:
    try:
        literal = ids(values)
    except InvalidValueError:
        return
    assert len(read(literal)) == len(values)
    assert literal not in {"{}", "{NULL}"}
