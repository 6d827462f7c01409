"""Names and text of generated code: identifiers out of labels, literals, lines that fit."""

from __future__ import annotations

import keyword
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any, Final

from actors.strategies.sandbox.inside.names import FORBIDDEN_BUILTINS, attribute_problem, variable_problem

MOST_NAME: Final = 40
WIDTH: Final = 110
TAKEN: Final = frozenset((
    "self", "bar", "bars", "values", "p", "out", "price", "above", "below", "shifted", "negated", "all_of", "any_of",
    "odd_of", "print", "str", "int", "float", "bool", "list", "dict", "tuple", "set", "type", "object", "len", "min",
    "max", "sum", "abs", "step", "none", "true", "false", "nodes", "history", "sources", "parameters",
))  # fmt: skip
"""What generated code uses itself, and what would hide a builtin."""


IMPORTED: Final = frozenset(
    ("Nodes", "Parameter", "Source", "Condition", "Indicator", "Trigger", "WorkflowStrategy")
)  # fmt: skip
"""Classes that generated code has beside its own."""


class Names:
    """Hands out identifiers, each once."""

    def __init__(self) -> None:
        self._taken = set(TAKEN)

    def variable(self, label: str, fallback: str) -> str:
        """A variable for a label: ASCII, lower case, unique."""
        name = slug(label)
        if not name or not re.search("[a-z]", name):
            name = slug(fallback) or "node"
        if name[0].isdigit():
            name = f"n{name}"
        name = name[:MOST_NAME].rstrip("_")
        if keyword.iskeyword(name) or keyword.issoftkeyword(name) or _forbidden(name):
            name = f"node_{name}"
        found, count = name, 1
        while found in self._taken:
            count += 1
            found = f"{name}_{count}"
        self._taken.add(found)
        return found


def _forbidden(name: str) -> bool:
    """Whether the sandbox lets no strategy use it, as a variable or as an attribute; numbered, it still begins so."""
    if name in FORBIDDEN_BUILTINS:
        return True
    return any(variable_problem(each) or attribute_problem(each, own=True) for each in (name, f"{name}_2"))


def slug(text: str) -> str:
    """`RSI (14)` as `rsi_14`; what has no letters or digits of ASCII in it becomes nothing."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "_", plain.lower()).strip("_")


def snake(name: str) -> str:
    """`confirmationBars` as `confirmation_bars`."""
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()


def class_name(title: str) -> str:
    """`RSI reversion` as `RsiReversion`."""
    name = "".join(word.capitalize() for word in slug(title).split("_"))[:60]
    if not name or not name[0].isalpha():
        name = f"Workflow{name}"
    return f"{name}Workflow" if name in IMPORTED or keyword.iskeyword(name) else name


def literal(value: Any) -> str:
    """A number, truth value or text as Python writes it, with double quotes."""
    if isinstance(value, str):
        clean = "".join(each for each in value if each.isprintable())
        escaped = clean.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return repr(value)


def comment(text: str, indent: int) -> list[str]:
    """Comment lines that fit."""
    words = "".join(each if each.isprintable() else " " for each in text).split()
    return [f"{' ' * indent}# {line}" for line in _filled(words, WIDTH - indent - 2)]


def prose(text: str, indent: int) -> list[str]:
    """Lines of a docstring: nothing in them can end it."""
    clean = "".join(each if each.isprintable() else " " for each in text)
    words = clean.replace("\\", "/").replace('"', "'").split()
    return [f"{' ' * indent}{line}" for line in _filled(words, WIDTH - indent)]


def call(head: str, arguments: Sequence[str], indent: int, tail: str = ")") -> list[str]:
    """`head(argument, ...)`, on one line if it fits, else an argument a line."""
    pad = " " * indent
    line = f"{pad}{head}({', '.join(arguments)}{tail}"
    if len(line) <= WIDTH or not arguments:
        return [line]
    return [f"{pad}{head}(", *(f"{pad}    {each}," for each in arguments), f"{pad}{tail}"]


def _filled(words: Iterable[str], width: int) -> list[str]:
    lines: list[str] = []
    line = ""
    for word in words:
        while len(word) > width:
            lines += [line] if line else []
            line, word = "", word[width:]
        if line and len(line) + 1 + len(word) > width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    return [*lines, line] if line else lines
