"""On which line of a TOML document each key stands: `tomllib` gives the values, an error message needs the
place.

It reads only documents that `tomllib` has accepted, so it checks nothing.
"""

from __future__ import annotations

import re
import tomllib

Path = tuple[str | int, ...]
"""From the root of a document: names of keys and indices of arrays."""

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_PLAIN = re.compile(r"[^,\]}\n#]*")
# The long ones first: a multi-line string begins like an empty one. Its last three quotes close it.
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"""(?!")|'
    r"'''.*?'''(?!')|"
    r'"(?:\\.|[^"\\])*"|'
    r"'[^']*'",
    re.DOTALL,
)


def places(document: str) -> dict[Path, int]:
    """The line, counted from 1, of every key, table header and array element of a valid TOML document."""
    return _Reader(document).read()


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.found: dict[Path, int] = {}
        self.arrays: dict[Path, int] = {}
        """Arrays of tables, with the index of the last table."""

    def read(self) -> dict[Path, int]:
        table: Path = ()
        self.skip(_BLANK)
        while self.at < len(self.text):
            table = self.header() if self.text[self.at] == "[" else self.pair(table)
            self.skip(_BLANK)
        return self.found

    def header(self) -> Path:
        """`[a.b]` or `[[a.b]]`; the path of the table that begins."""
        line = self.line()
        double = self.text.startswith("[[", self.at)
        self.at += 1 + double
        *parents, last = self.key()
        self.at += 1 + double
        path: Path = ()
        for part in parents:
            path = (*path, part)
            if path in self.arrays:
                path = (*path, self.arrays[path])
        path = (*path, last)
        if double:
            self.found.setdefault(path, line)
            self.arrays[path] = self.arrays.get(path, -1) + 1
            path = (*path, self.arrays[path])
        self.found[path] = line
        return path

    def pair(self, table: Path) -> Path:
        """`a.b = value`; the table stays the current one."""
        line = self.line()
        path = table
        for part in self.key():
            path = (*path, part)
            self.found.setdefault(path, line)
        self.at += 1  # =
        self.skip(_SPACE)
        self.value(path)
        return table

    def key(self) -> list[str]:
        parts = []
        while True:
            self.skip(_SPACE)
            if self.text[self.at] in "\"'":
                parts.append(str(tomllib.loads("key = " + self.take(_STRING))["key"]))
            else:
                parts.append(self.take(_BARE_KEY))
            self.skip(_SPACE)
            if self.text[self.at] != ".":
                return parts
            self.at += 1

    def value(self, path: Path) -> None:
        self.found.setdefault(path, self.line())
        first = self.text[self.at]
        if first in "\"'":
            self.take(_STRING)
        elif first == "[":
            self.elements("]", path)
        elif first == "{":
            self.elements("}", path)
        else:
            self.take(_PLAIN)

    def elements(self, close: str, path: Path) -> None:
        """The inside of an array or of an inline table, and its closing bracket."""
        self.at += 1
        index = 0
        self.skip(_BLANK)
        while self.text[self.at] != close:
            if close == "]":
                self.value((*path, index))
            else:
                self.pair(path)
            index += 1
            self.skip(_BLANK)
            if self.text[self.at] == ",":
                self.at += 1
                self.skip(_BLANK)
        self.at += 1

    def line(self) -> int:
        return self.text.count("\n", 0, self.at) + 1

    def skip(self, pattern: re.Pattern[str]) -> None:
        match = pattern.match(self.text, self.at)
        self.at = match.end() if match else self.at

    def take(self, pattern: re.Pattern[str]) -> str:
        start = self.at
        self.skip(pattern)
        assert self.at > start, "tomllib accepts what this cannot read"
        return self.text[start : self.at]
