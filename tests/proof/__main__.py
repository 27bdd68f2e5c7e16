"""Writes docs/proof.md: ``python -m tests.proof``."""

from tests.proof.document import DOCUMENT, current

DOCUMENT.write_text(current(), encoding="utf-8")
