"""How hard a text is to read: Flesch's two formulas.

Flesch, "A new readability yardstick" (1948): ``ease = 206.835 - 1.015 * words / sentences - 84.6 * syllables / words``,
about 100 for very easy, below 30 for very hard texts. Kincaid and others (1975): ``grade = 0.39 * words / sentences +
11.8 * syllables / words - 15.59``, in years of school.
"""

import attrs

from analysis.text import sentences, syllables, words


@attrs.frozen(kw_only=True)
class Readability:
    """A text's counts and what the formulas make of them; None for a text without words."""

    words: int
    sentences: int
    syllables: int
    ease: float | None
    grade: float | None


def readability(text: str) -> Readability:
    """Measure one text."""
    found = words(text)
    n_words, n_sentences = len(found), len(sentences(text))
    n_syllables = sum(syllables(word) for word in found)
    if not n_words or not n_sentences:
        return Readability(words=n_words, sentences=n_sentences, syllables=n_syllables, ease=None, grade=None)
    length, weight = n_words / n_sentences, n_syllables / n_words
    return Readability(
        words=n_words,
        sentences=n_sentences,
        syllables=n_syllables,
        ease=round(206.835 - 1.015 * length - 84.6 * weight, 1),
        grade=round(0.39 * length + 11.8 * weight - 15.59, 1),
    )
