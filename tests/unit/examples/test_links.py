"""Which links are dead, and which are nobody's business."""

import pytest

from analysis.links import check, slugs

ANCHORS = {"README.md": {"setup"}, "docs/a.md": {"part-one", "part-one-1"}, "docs/deep/b.md": set[str]()}


@pytest.mark.parametrize(
    ("path", "target", "problem"),
    [
        ("README.md", "docs/a.md", None),
        ("README.md", "docs/a.md#part-one-1", None),
        ("README.md", "#setup", None),
        ("README.md", "./docs/", None),
        ("docs/a.md", "../README.md", None),
        ("docs/a.md", "/README.md?plain=1", None),
        ("docs/deep/b.md", "..", None),
        ("README.md", "docs/deep/%62.md", None),
        ("README.md", "docs/b.md", "no such document"),
        ("README.md", "../outside.md", "no such document"),
        ("README.md", "docs/a.md#part-two", "no such heading in docs/a.md"),
        ("README.md", "#gone", "no such heading in README.md"),
    ],
)
def test_links_between_documents_are_judged(path: str, target: str, problem: str | None) -> None:
    found = check({path: [target]}, ANCHORS)
    assert (found.checked, found.elsewhere) == (1, 0)
    assert [(one.path, one.target, one.problem) for one in found.dead] == ([(path, target, problem)] if problem else [])


@pytest.mark.parametrize("target", ["https://example.org/a.md", "mailto:a@b.c", "//cdn/x.md", "pic.png", "LICENSE"])
def test_links_to_elsewhere_are_left_alone(target: str) -> None:
    found = check({"README.md": [target]}, ANCHORS)
    assert (found.checked, found.elsewhere, found.dead) == (0, 1, ())


def test_slugs_are_those_of_github() -> None:
    assert slugs(["Part one", "Part One", "What's `new` in 2.0?"]) == {"part-one", "part-one-1", "whats-new-in-20"}
