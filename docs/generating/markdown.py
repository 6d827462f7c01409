"""How the generated pages are written: docstrings and tables as Markdown."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence
from typing import Any


def prose(thing: Any) -> str:
    """The docstring of a module, a class or a function, as Markdown."""
    return prose_text(inspect.getdoc(thing) or "")


def prose_text(text: str) -> str:
    """A docstring as Markdown: paragraphs joined to lines, indented examples left to the source."""
    paragraphs = re.split(r"\n\s*\n", text)
    kept = [" ".join(part.split()) for part in paragraphs if not part.startswith("    ")]
    return literal("\n\n".join(kept).replace(":\n\n", ".\n\n"))


def literal(text: str) -> str:
    """Text that is no HTML."""
    return text.replace("<", "&lt;")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; a column that says nothing in any row is left out."""
    kept = [[" ".join(cell.replace("|", "\\|").split()) for cell in row] for row in rows]
    used = [number for number in range(len(head)) if number == 0 or any(row[number] for row in kept)]
    lines = [[head[number] for number in used], ["---"] * len(used)]
    lines += [[row[number] for number in used] for row in kept]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def lower(text: str) -> str:
    """Text that goes on within a sentence."""
    return text[:1].lower() + text[1:]
