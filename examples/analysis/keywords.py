"""Keywords by TF-IDF: words that are frequent here and rare elsewhere.

``tf-idf = count / length * (ln((1 + N) / (1 + n)) + 1)`` for a word in ``n`` of ``N`` documents: Spärck Jones, "A
statistical interpretation of term specificity" (1972), in the smoothed form that scikit-learn uses, which is defined
for one document, too.
"""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

import attrs

from analysis.text import STOP_WORDS, words


@attrs.frozen(kw_only=True)
class Keyword:
    """A word and how much it says about its text."""

    word: str
    score: float


def terms(text: str) -> list[str]:
    """The words that may be keywords: at least three letters, no stop words."""
    return [word for word in words(text) if len(word) > 2 and word not in STOP_WORDS]


def rarity(documents: Collection[Iterable[str]]) -> dict[str, float]:
    """Each term's inverse document frequency."""
    seen_in = Counter(term for document in documents for term in set(document))
    return {term: math.log((1 + len(documents)) / (1 + count)) + 1.0 for term, count in seen_in.items()}


def keywords(document: Sequence[str], rare: Mapping[str, float], limit: int) -> list[Keyword]:
    """A document's best terms, the best first; equals in the order of the alphabet."""
    scores = {term: count / len(document) * rare[term] for term, count in Counter(document).items()}
    return best(scores, limit)


def best(scores: Mapping[str, float], limit: int) -> list[Keyword]:
    """The terms with the highest scores; equals in the order of the alphabet."""
    ranked = sorted(scores.items(), key=lambda item: (-item[1], item[0]))[:limit]
    return [Keyword(word=term, score=round(score, 6)) for term, score in ranked]
