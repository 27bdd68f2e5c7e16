"""Flesch's formulas, on texts whose figures are known."""

import pytest

from analysis.readability import readability


def test_a_sentence_whose_score_is_published_has_that_score() -> None:
    found = readability("The Australian platypus is seemingly a hybrid of a mammal and reptilian creature.")
    assert (found.words, found.sentences, found.syllables) == (13, 1, 24)
    assert found.ease == pytest.approx(37.5, abs=0.05)  # as Wikipedia's "Flesch-Kincaid readability tests" has it


def test_short_words_in_short_sentences_are_very_easy() -> None:
    found = readability("The cat sat on the mat. The dog ran.")
    assert (found.words, found.sentences, found.syllables) == (9, 2, 9)
    assert found.ease == pytest.approx(206.835 - 1.015 * 4.5 - 84.6, abs=0.05)
    assert found.grade == pytest.approx(0.39 * 4.5 + 11.8 - 15.59, abs=0.05)


def test_a_text_without_words_has_no_score() -> None:
    found = readability("--- 42 ---")
    assert (found.words, found.ease, found.grade) == (0, None, None)
