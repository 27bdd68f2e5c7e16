"""The repository as the packaging tests see it."""

from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]

#: The folders that are imported as mainspring.<name>: src/mainspring has a link to each.
FOLDERS = ("kernel", "ports", "adapters", "hosts", "migrations")


def shipped_files() -> Iterator[tuple[str, Path]]:
    """Every file a user gets: its name inside the wheel, and where it lies in the repository."""
    face = ROOT / "src" / "mainspring"
    for path in face.iterdir():
        if path.is_file():
            yield f"mainspring/{path.name}", path
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                yield f"mainspring/{path.relative_to(ROOT).as_posix()}", path
