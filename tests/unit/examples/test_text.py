"""Words, sentences and syllables."""

import pytest

from analysis.text import sentences, syllables, words


def test_words_are_letters_in_lower_case_with_their_apostrophes() -> None:
    assert words("Don't stop: 42 Élan-vital_x!") == ["don't", "stop", "élan", "vital", "x"]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("One. Two! Three? Four", 4),
        ("This, e.g. that, goes on.", 1),
        ("Version 1.2 is out. It works.", 2),
        ("A heading\n\nA paragraph\nof two lines", 2),
        ('He said "Stop." Then he left.', 2),
        ("... \n\n 12 34", 0),
        ("", 0),
    ],
)
def test_sentences_end_where_a_reader_would_end_them(text: str, count: int) -> None:
    assert len(sentences(text)) == count


@pytest.mark.parametrize(
    ("word", "count"),
    [
        ("the", 1),
        ("cat", 1),
        ("table", 2),
        ("make", 1),
        ("jumped", 1),
        ("wanted", 2),
        ("platypus", 3),
        ("free", 1),
        ("hm", 1),
    ],
)
def test_syllables_are_groups_of_vowels_without_a_silent_e(word: str, count: int) -> None:
    assert syllables(word) == count
