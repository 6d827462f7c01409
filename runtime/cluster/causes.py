"""Why a worker died, in words, out of what Ray raises for a call to it.

Ray tells the cause as text alone (`ActorDiedErrorContext.error_message` of its common.proto), with the exit types of
`WorkerExitType`. It does not learn the signal or the status that a worker ended with: it sees the end of a connection.
"""

from __future__ import annotations

import os
import re
from typing import Final

EXIT: Final = re.compile(r"Worker exit type: (\w+)(?: Worker exit detail: (.*))?", re.DOTALL)
TYPES: Final = {
    "INTENDED_USER_EXIT": "it ended by itself",
    "INTENDED_SYSTEM_EXIT": "Ray ended it",
    "NODE_OUT_OF_MEMORY": "its node ran out of memory, and Ray's memory monitor killed it",
    "SYSTEM_ERROR": "its process was killed by a signal, or crashed",
    "USER_ERROR": "its code failed",
}
COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")
MOST: Final = 500
"""Characters of Ray's own words that are passed on."""


def is_unavailable(error: BaseException) -> bool:
    """Return whether Ray says no more than that the connection to the worker broke."""
    return type(error).__name__ == "ActorUnavailableError"


def is_unschedulable(error: BaseException) -> bool:
    """Return whether Ray says that no node can run it, which the gateway knows better."""
    return type(error).__name__ == "ActorUnschedulableError"


def in_words(error: BaseException) -> str:
    """Return the cause in an error that a call to a worker raised."""
    text = COLOUR.sub("", str(error)).strip()
    if type(error).__name__ == "OutOfMemoryError" or "running low on memory" in text:
        return TYPES["NODE_OUT_OF_MEMORY"]
    if getattr(error, "actor_init_failed", False) or getattr(error, "_actor_init_failed", False):
        # A traceback of another process; its last line is the exception.
        return f"it failed to start: {_last_line(text)}"
    if "node has died" in text or "node was terminated" in text or "node is dead" in text:
        return f"its node died: {_shortened(text.partition('node has died.')[2] or text)}"
    if found := EXIT.search(text):
        kind, detail = found.group(1), found.group(2) or ""
        words = TYPES.get(kind, kind)
        # What Ray adds to an end that it knows nothing of is three guesses and an advertisement.
        return words if kind == "SYSTEM_ERROR" and "End of file" in detail else _with_detail(words, detail)
    return _shortened(_last_line(text) or type(error).__name__)


def _with_detail(words: str, detail: str) -> str:
    detail = _shortened(detail)
    return f"{words}: {detail}" if detail else words


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def _shortened(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= MOST else f"{text[:MOST]}…"


def first_of(group: BaseException) -> BaseException:
    """Return the first exception in a group of groups, or the exception itself."""
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    return group


def system_error(error: OSError) -> str:
    """What the system says; trio puts the attempts at several addresses in a group."""
    cause = first_of(error.__cause__ or error)
    return os.strerror(cause.errno) if isinstance(cause, OSError) and cause.errno else str(cause)


def one_line(error: BaseException) -> str:
    """Return the type and the text of an exception, in one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
