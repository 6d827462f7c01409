"""What a document shows against what came: the same, but for what differs from one run to the next.

In a document `…` stands for anything within a line, and a line that is only `…` for any number of lines. Times, ids,
versions and figures need no `…`: both sides are normalised. In an exact comparison only times and ids are.
"""

from __future__ import annotations

import re

ANYTHING = "…"

_ALWAYS = (
    # ISO 8601, then the clock alone
    (r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00|\+00)?", "<time>"),
    (r"\b\d\d:\d\d:\d\d(\.\d+)?", "<time>"),
    (r"\bsig_\d{8}_\d{6}_[0-9a-f]{8}", "<signal>"),
    (r"\bconn_[0-9a-f]{16}", "<connection>"),
)
_UNLESS_EXACT = (
    (r"\bSIM-(ALPHA|BETA)\b", "<market>"),
    (r"\b(BUY|SELL|CLOSE_LONG|CLOSE_SHORT)\b", "<action>"),
    (r"(?<![\w#])-?\d[\d,]*(\.\d+)*(e-?\d+)?", "#"),
    (r"(?<=[a-zA-Z_/-])\d[\d,]*(\.\d+)*", "#"),
    # 2m03s, 14ms
    (r"#(ms|[smhd])(#[smhd])?", "#"),
    # A table shows a figure that is not known yet as a dash.
    (r"(?<!\S)—(?!\S)", "#"),
    (r"#+", "#"),
    # A session that has just begun has measured none.
    (r" · lag # ms\b", ""),
)


def normalised(line: str, *, exact: bool) -> str:
    """A line without what differs from run to run; runs of blanks are one."""
    for pattern, name in _ALWAYS if exact else (*_ALWAYS, *_UNLESS_EXACT):
        line = re.sub(pattern, name, line)
    return re.sub(r"[ \t]+|-{3,}", " ", line).rstrip()


def mismatch(expected: str, came: str, *, exact: bool) -> str | None:
    """None if `came` is what the document shows; else the first line that is not there, and what came."""
    wanted = [normalised(line, exact=exact) for line in expected.rstrip().splitlines()]
    found = [normalised(line, exact=exact) for line in came.rstrip().splitlines()]
    missing = _unmatched(wanted, found)
    if missing is None:
        return None
    shown = came.rstrip() or "(nothing)"
    return f"expected {missing!r}\n--- came:\n{shown}\n--- as compared:\n" + "\n".join(found)


def _unmatched(wanted: list[str], found: list[str]) -> str | None:
    """The first expected line that nothing matches; greedy, as `…` lines end at the first line that fits."""
    place = 0
    skipping = False
    for line in wanted:
        if line.strip() == ANYTHING:
            skipping = True
            continue
        pattern = re.compile("".join(".*" if part == ANYTHING else re.escape(part) for part in re.split("(…)", line)))
        while place < len(found) and not pattern.fullmatch(found[place]):
            if not skipping:
                return line
            place += 1
        if place == len(found):
            return line
        place += 1
        skipping = False
    return None if place == len(found) or skipping else f"nothing more than {wanted[-1] if wanted else ''}"
