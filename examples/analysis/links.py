"""Where links lead: whether the documents and headings they name are there.

Only links between documents are judged. The web, pictures and other files are counted and left alone.
"""

import posixpath
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from urllib.parse import unquote

import attrs

_SCHEME = re.compile(r"^[a-zA-Z][a-zA-Z0-9+.\-]*:|^//")
_NOT_IN_SLUG = re.compile(r"[^\w\- ]")


@attrs.frozen(kw_only=True)
class DeadLink:
    """A link that leads nowhere."""

    path: str
    target: str  #: as written
    problem: str


@attrs.frozen(kw_only=True)
class LinkCheck:
    """What came of checking every link of a corpus."""

    checked: int  #: between documents
    elsewhere: int  #: to the web or to files that are no documents
    dead: tuple[DeadLink, ...]


def slugs(headings: Iterable[str]) -> set[str]:
    """The anchors of a document's headings, as GitHub forms them: repeated ones get -1, -2 and so on."""
    seen: Counter[str] = Counter()
    anchors: set[str] = set()
    for heading in headings:
        slug = _NOT_IN_SLUG.sub("", heading.strip().lower()).replace(" ", "-")
        anchors.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return anchors


def check(links: Mapping[str, Iterable[str]], anchors: Mapping[str, Collection[str]]) -> LinkCheck:
    """Judge each document's links.

    Args:
        links: targets by the path of the document they stand in.
        anchors: by path; its keys are the documents there are.
    """
    suffixes = {posixpath.splitext(path)[1] for path in anchors}
    folders = {folder for path in anchors for folder in _folders(path)}
    checked = elsewhere = 0
    dead: list[DeadLink] = []
    for path, targets in links.items():
        for target in targets:
            name, _, anchor = target.partition("#")
            where = _resolve(path, name)
            known = where in anchors or where in folders
            if where is None or (not known and posixpath.splitext(where)[1] not in suffixes):
                elsewhere += 1
                continue
            checked += 1
            if not known:
                dead.append(DeadLink(path=path, target=target, problem="no such document"))
            elif anchor and anchors.get(where) and anchor.lower() not in anchors[where]:
                dead.append(DeadLink(path=path, target=target, problem=f"no such heading in {where}"))
    return LinkCheck(checked=checked, elsewhere=elsewhere, dead=tuple(dead))


def _resolve(path: str, name: str) -> str | None:
    """The path a link names, from the corpus' root; None: it leads to the web."""
    if _SCHEME.match(name):
        return None
    plain = unquote(name.partition("?")[0])
    if not plain:
        return path
    if plain.startswith("/"):
        return posixpath.normpath(plain.lstrip("/") or ".")
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), plain))


def _folders(path: str) -> Iterable[str]:
    folder = posixpath.dirname(path)
    while folder:
        yield folder
        folder = posixpath.dirname(folder)
    yield "."
