"""Similarity: exact for small texts, estimated for large ones."""

import pytest

from analysis.duplicates import Pair, pairs, shingles, similarity, sketch


def test_shingles_are_all_runs_of_words() -> None:
    assert shingles(["a", "b", "c", "d"], size=3) == {"a b c", "b c d"}
    assert shingles(["a", "b"], size=3) == {"a b"}
    assert shingles([], size=3) == set()


def test_small_texts_have_their_exact_jaccard_similarity() -> None:
    first, second = shingles(["a", "b", "c", "d", "e", "f"]), shingles(["a", "b", "c", "d", "e", "g"])
    assert similarity(sketch(first), sketch(second)) == pytest.approx(1 / 3)


def test_a_text_is_the_same_as_itself_and_nothing_like_another() -> None:
    one, other = sketch(["a", "b"]), sketch(["c"])
    assert similarity(one, one) == 1.0
    assert similarity(one, other) == 0.0
    assert similarity((), ()) == 0.0


@pytest.mark.parametrize(("shift", "truth"), [(1000, 1 / 3), (200, 1800 / 2200), (1900, 100 / 3900)])
def test_large_texts_are_estimated_within_a_few_hundredths(shift: int, truth: float) -> None:
    first = sketch(f"part {number}" for number in range(2000))
    second = sketch(f"part {number}" for number in range(shift, shift + 2000))
    assert similarity(first, second) == pytest.approx(truth, abs=0.09)  # three standard deviations of 256 samples


def test_pairs_are_those_above_the_threshold_the_most_similar_first() -> None:
    sketches = {"a": sketch("vwxyz"), "b": sketch("vwxyz"), "c": sketch("vwxyq"), "d": sketch("12345")}
    assert pairs(sketches, 0.6) == [
        Pair(first="a", second="b", similarity=1.0),
        Pair(first="a", second="c", similarity=0.6667),
        Pair(first="b", second="c", similarity=0.6667),
    ]
    assert pairs(sketches, 0.7) == [Pair(first="a", second="b", similarity=1.0)]
