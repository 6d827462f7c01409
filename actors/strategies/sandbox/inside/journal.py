"""What a strategy writes: log lines, held until the next reply, and cut where they become too much."""

from __future__ import annotations

import time
from collections import deque
from typing import Final

from actors.strategies.sandbox.wire import Level, LogLine

MOST_LINES: Final = 1000
MOST_LINE: Final = 1024
MINUTE: Final = 60.0

# Control characters (C0, DEL, C1), and what turns the direction of text or breaks a line for some readers only.
_ESCAPED: Final = {
    code: f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
    for code in (*range(0x20), *range(0x7F, 0xA0), 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A))
} | {0x09: "\\t", 0x0A: "\\n", 0x0D: "\\r"}


def clean(text: str, most: int = MOST_LINE) -> str:
    """At most `most` characters of a text, plain: control characters and lone surrogates as escapes."""
    text = str.__str__(text)[: most + 1]
    if not text.isascii() or not text.isprintable():
        text = text.translate(_ESCAPED).encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= most else f"{text[: most - 1]}…"


class Journal:
    """Log lines since the last reply. `per_minute`: bytes of text a minute of real time."""

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self.lines: deque[LogLine] = deque()
        self.cut = 0
        self._left = per_minute
        self._until = 0.0
        self._open = ""

    def log(self, level: Level, text: str) -> None:
        """Add a line; a text of several lines is as many."""
        for line in str.__str__(text).splitlines() or [""]:
            size = len(line) + 1
            if not self._granted(min(size, MOST_LINE)) or len(self.lines) >= MOST_LINES:
                self.cut += size
                continue
            self.cut += max(size - 1 - MOST_LINE, 0)
            self.lines.append(LogLine(level, clean(line)))

    def write(self, text: str) -> int:
        """Take what is printed; a line is complete at its end."""
        text = str.__str__(text)
        if len(self._open) + len(text) > self.per_minute:
            self.cut += len(text)
            return len(text)
        self._open += text
        if "\n" in text:
            complete, _, self._open = self._open.rpartition("\n")
            self.log("info", complete)
        return len(text)

    def flush(self) -> None:
        """Nothing: what is printed leaves with the next reply."""

    def take(self) -> tuple[tuple[LogLine, ...], int]:
        """The lines and the count of cut characters since the last time; what is printed so far is a line."""
        if self._open:
            rest, self._open = self._open, ""
            self.log("info", rest)
        if not self.lines and not self.cut:
            return (), 0
        found = tuple(self.lines), self.cut
        self.lines.clear()
        self.cut = 0
        return found

    def _granted(self, size: int) -> bool:
        now = time.monotonic()
        if now >= self._until:
            self._until, self._left = now + MINUTE, self.per_minute
        if size > self._left:
            return False
        self._left -= size
        return True
