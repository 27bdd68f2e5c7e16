"""TF-IDF on two documents, computed by hand."""

import math

import pytest

from analysis.keywords import Keyword, best, keywords, rarity, terms

APPLES, PLUMS = ["apple", "apple", "pear"], ["pear", "plum"]


def test_rarity_grows_with_the_share_of_documents_a_term_is_not_in() -> None:
    rare = rarity([APPLES, PLUMS])
    assert rare == {
        "apple": pytest.approx(math.log(3 / 2) + 1),
        "plum": pytest.approx(math.log(3 / 2) + 1),
        "pear": 1.0,
    }


def test_a_keyword_is_frequent_here_and_rare_elsewhere() -> None:
    assert keywords(APPLES, rarity([APPLES, PLUMS]), limit=5) == [
        Keyword(word="apple", score=round(2 / 3 * (math.log(1.5) + 1), 6)),
        Keyword(word="pear", score=round(1 / 3, 6)),
    ]


def test_one_document_alone_has_keywords_too() -> None:
    assert [one.word for one in keywords(APPLES, rarity([APPLES]), limit=1)] == ["apple"]


def test_terms_are_neither_short_nor_stop_words() -> None:
    assert terms("The lease of it is an old one, and ok") == ["lease", "old"]


def test_equal_scores_stand_in_the_order_of_the_alphabet() -> None:
    assert [one.word for one in best({"pear": 1.0, "fig": 1.0, "plum": 2.0}, limit=2)] == ["plum", "fig"]
