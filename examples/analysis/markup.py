"""What a file says, apart from its markup: prose, headings and links of Markdown, reStructuredText and Python."""

import ast
import re

import attrs

_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})")
_ATX = re.compile(r"^ {0,3}(#{1,6})\s+(.*?)\s*#*\s*$")
_UNDERLINE = re.compile(r"^([=\-~^\"'`#*+.:_])\1{2,}\s*$")
_SETEXT = re.compile(r"^ {0,3}(=+|-{2,})\s*$")
_CODE = re.compile(r"(`+)(.+?)\1")
_LINK = re.compile(r"!?\[([^\]]*)\]\(\s*<?([^)\s>]*)>?(?:\s+[\"'][^)]*[\"'])?\s*\)")
_REFERENCE = re.compile(r"^ {0,3}\[[^\]]+\]:\s*<?(\S+?)>?(?:\s+[\"'(].*)?$")
_TAG = re.compile(r"<!--.*?-->|</?[a-zA-Z][^>]*>", re.DOTALL)
_BULLET = re.compile(r"^\s*(?:[-*+]|\d+[.)])\s+|^\s*>\s?")
_TABLE_RULE = re.compile(r"^[\s|:\-]+$")
_SECTION = re.compile(r"^\s*(?:Args|Attributes|Example|Examples|Note|Raises|Returns|Yields):\s*$", re.MULTILINE)
_RST_LINK = re.compile(r"`([^`<]*?)\s*<([^`>]+)>`__?")


@attrs.frozen(kw_only=True)
class Heading:
    """A heading and its level, 1 the highest."""

    level: int
    text: str


@attrs.frozen(kw_only=True)
class Content:
    """A document without its markup."""

    prose: str  #: paragraphs, headings among them, with an empty line between
    headings: tuple[Heading, ...] = ()
    links: tuple[str, ...] = ()  #: the targets as written


def content(text: str, suffix: str) -> Content:
    """The content of a text, by the suffix of its file; of Python it is the docstrings.

    Raises:
        SyntaxError: it is Python that no Python can read.
    """
    if suffix == ".md":
        return _markdown(text)
    if suffix == ".rst":
        return _restructured(text)
    if suffix == ".py":
        return Content(prose="\n\n".join(_docstrings(text)))
    return Content(prose=text)


def _markdown(text: str) -> Content:
    headings: list[Heading] = []
    links: list[str] = []
    prose: list[str] = []
    for line in _outside_fences(text):
        bare = _CODE.sub("", line)  # what looks like a link inside `code` is none
        links += [target for _, target in _LINK.findall(bare) if target]
        reference = _REFERENCE.match(bare)
        if reference:
            links.append(reference[1])
            continue
        said = _CODE.sub(r"\2", _LINK.sub(r"\1", line))
        atx = _ATX.match(said)
        if atx:
            headings.append(Heading(level=len(atx[1]), text=atx[2]))
            prose += ["", atx[2], ""]
        elif _SETEXT.match(line) and prose and prose[-1].strip():
            level = 1 if line.strip().startswith("=") else 2
            headings.append(Heading(level=level, text=prose[-1].strip()))
            prose.append("")
        elif _TABLE_RULE.match(line):
            prose.append("")
        else:
            prose.append(_without_bullet(said.replace("|", " ")))
    return Content(prose=_paragraphs(prose), headings=tuple(headings), links=tuple(links))


def _outside_fences(text: str) -> list[str]:
    """The lines that are not in a fenced block, a comment or a tag; a block leaves an empty line."""
    kept: list[str] = []
    fence = ""
    for line in text.splitlines():
        mark = _FENCE.match(line)
        if fence:
            if mark and mark[1].startswith(fence) and not line.strip().strip(fence[0]):
                fence = ""
        elif mark:
            fence = mark[1]
            kept.append("")
        else:
            kept.append(line)
    return _TAG.sub("", "\n".join(kept)).split("\n")


def _without_bullet(line: str) -> str:
    """A list's item begins a paragraph of its own."""
    item = _BULLET.sub("", line, count=1)
    return item if item == line else "\n" + item


def _restructured(text: str) -> Content:
    headings: list[Heading] = []
    links: list[str] = []
    prose: list[str] = []
    marks: list[str] = []  # in the order they are first used: their levels
    for line in text.splitlines():
        if _UNDERLINE.match(line):
            title = prose[-1].strip() if prose else ""
            if title and len(line.rstrip()) >= len(title):
                if line[0] not in marks:
                    marks.append(line[0])
                headings.append(Heading(level=marks.index(line[0]) + 1, text=title))
            prose.append("")
        elif not line.startswith(".. "):
            links += [target for _, target in _RST_LINK.findall(line)]
            prose.append(_without_bullet(_RST_LINK.sub(r"\1", line).replace("``", "")))
    return Content(prose=_paragraphs(prose), headings=tuple(headings), links=tuple(links))


def _docstrings(source: str) -> list[str]:
    """The docstrings of a module, its classes and functions, in the order they stand there."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found: list[tuple[int, str]] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, documented):
            docstring = ast.get_docstring(node)
            if docstring:
                found.append((getattr(node, "lineno", 0), _SECTION.sub("", docstring).replace("``", "")))
    return [docstring for _, docstring in sorted(found)]


def _paragraphs(lines: list[str]) -> str:
    return re.sub(r"\n\s*\n+", "\n\n", "\n".join(lines)).strip()
