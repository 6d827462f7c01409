"""Which pages talk to the node that they share: the others start their own, or need none.

Nothing is imported here but the standard library: whoever divides the tests asks before any of them is loaded.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Final

RUN: Final = re.compile(r"(?P<variables>(?:\w+=\S+ )*)bin/troupe run\b(?P<arguments>.*)")
"""A command that starts a node."""
_CONSOLE: Final = re.compile(r"```console[^\n]*\n(.*?)```", re.DOTALL)
_ALONE: Final = "backtest|cluster|config|data download|data show|model|monitoring|recording|strategy|train|venue"
"""Commands that need no node."""
_ASKS: Final = re.compile(rf"127\.0\.0\.1:8001|data/token|bin/troupe (?!(?:{_ALONE}|run|-)\b)")


@cache
def shares(page: Path) -> bool:
    """Whether a page wants the shared node: it asks one before it has started its own."""
    for block in _CONSOLE.findall(page.read_text()):
        for line in block.splitlines():
            command = line.removeprefix("$ ")
            if command != line and (run := RUN.fullmatch(command)):
                return not (run["arguments"].strip() or run["variables"])
            if line.startswith(("$ ", "> ")) and _ASKS.search(line):
                return True
    return False
