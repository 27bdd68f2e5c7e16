"""Near-duplicates: the share of word sequences two texts have in common, estimated from a small sketch of each.

Broder, "On the resemblance and containment of documents" (1997): hash every shingle (here: five words in a row), keep
the ``SKETCH`` smallest hashes. Of the smallest hashes of two texts together, the share that stands in both sketches
estimates their Jaccard similarity; for texts of at most ``SKETCH`` shingles together it is exact.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from itertools import combinations

import attrs

SHINGLE = 5
SKETCH = 256

Sketch = tuple[int, ...]


@attrs.frozen(kw_only=True)
class Pair:
    """Two documents that say much the same."""

    first: str
    second: str
    similarity: float  #: 0 to 1


def shingles(words: Sequence[str], size: int = SHINGLE) -> set[str]:
    """Every run of ``size`` words; of a shorter text, the whole text."""
    if len(words) <= size:
        return {" ".join(words)} if words else set()
    return {" ".join(words[start : start + size]) for start in range(len(words) - size + 1)}


def sketch(parts: Iterable[str], keep: int = SKETCH) -> Sketch:
    """The smallest hashes of the parts, in order. The same on every machine and in every process."""
    hashes = {int.from_bytes(blake2b(part.encode(), digest_size=8).digest()) for part in parts}
    return tuple(sorted(hashes)[:keep])


def similarity(first: Sketch, second: Sketch, keep: int = SKETCH) -> float:
    """The Jaccard similarity that two sketches tell."""
    left, right = set(first), set(second)
    smallest = sorted(left | right)[:keep]
    return sum(one in left and one in right for one in smallest) / len(smallest) if smallest else 0.0


def pairs(sketches: Mapping[str, Sketch], threshold: float) -> list[Pair]:
    """All pairs at least as similar as the threshold (above 0), the most similar first.

    Only documents that share a hash are compared, so a large corpus of different texts costs little.
    """
    holders: defaultdict[int, list[str]] = defaultdict(list)
    for path, hashes in sorted(sketches.items()):
        for one in hashes:
            holders[one].append(path)
    candidates = {pair for paths in holders.values() for pair in combinations(paths, 2)}
    scored = (Pair(first=a, second=b, similarity=round(similarity(sketches[a], sketches[b]), 4)) for a, b in candidates)
    return sorted(
        (pair for pair in scored if pair.similarity >= threshold),
        key=lambda pair: (-pair.similarity, pair.first, pair.second),
    )
