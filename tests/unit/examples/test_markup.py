"""Prose, headings and links of each kind of file."""

import pytest

from analysis.markup import Heading, content

MARKDOWN = """\
# Title of `code`

Some *words* with [a link](docs/a.md "Title") and ![a picture](pic.png).
Not one: `[code](never.md)`.

Second
------

```python
# [fenced](never.md)
```
- an item, <b>bold</b> <!-- [hidden](never.md) -->
- [another] one

| col | [cell](b.md#part) |
| --- | ----------------- |

[another]: https://example.org/x
"""


def test_markdown_has_headings_of_both_kinds() -> None:
    assert content(MARKDOWN, ".md").headings == (
        Heading(level=1, text="Title of code"),
        Heading(level=2, text="Second"),
    )


def test_markdown_has_links_but_none_in_code_or_comments() -> None:
    assert content(MARKDOWN, ".md").links == ("docs/a.md", "pic.png", "b.md#part", "https://example.org/x")


def test_markdown_prose_has_no_marks_and_no_fenced_code() -> None:
    prose = content(MARKDOWN, ".md").prose
    assert "Some *words* with a link and a picture." in prose
    assert not any(mark in prose for mark in ("fenced", "<b>", "](", "hidden", "---", "|"))
    assert "\n\nan item, bold" in prose


def test_a_fence_ends_with_its_own_kind_and_length_only() -> None:
    assert content("````\n```\n~~~\ninside\n````\noutside", ".md").prose == "outside"
    assert content("```\nnever closed", ".md").prose == ""


def test_restructured_text_has_headings_by_the_order_of_their_marks() -> None:
    found = content(
        "Title\n=====\n\nPart\n----\n\nSee `this <other.rst>`_ and ``code``.\n\n.. note: x\n\nB\n===\n", ".rst"
    )
    assert found.headings == (Heading(level=1, text="Title"), Heading(level=2, text="Part"), Heading(level=1, text="B"))
    assert found.links == ("other.rst",)
    assert "See this and code." in found.prose


def test_python_prose_is_its_docstrings_in_their_order() -> None:
    source = """'Module.'
class A:
    '''Class.

    Raises:
        X: ``never``.
    '''
    async def f(self): 'Function.'
"""
    assert content(source, ".py").prose == "Module.\n\nClass.\n\n    X: never.\n\nFunction."


def test_python_that_cannot_be_parsed_is_told() -> None:
    with pytest.raises(SyntaxError):
        content("def (", ".py")


def test_other_texts_are_prose() -> None:
    assert content("# just text", ".txt").prose == "# just text"
