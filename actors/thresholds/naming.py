"""Names of users' actors in the tree: an id is text, and may be what no name can be."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote, unquote

from protocols.paths import THRESHOLD_USERS

_PLAIN: Final = "-_.@+:"
_VERBS: Final = frozenset({"stop", "start", "restart", "pause", "resume", "resize", "kill"})


def key_of(user_id: str) -> str:
    """The id percent-encoded where it could not be a name; different for different ids."""
    name = quote(user_id, safe=_PLAIN)
    return f"%{ord(name[0]):02X}{name[1:]}" if name in _VERBS or name.startswith((".", "_")) else name


def user_path(user_id: str) -> str:
    """Where the actor of a user is, if there is one."""
    return f"{THRESHOLD_USERS}/{key_of(user_id)}"


def user_of(path: str) -> str:
    """Whose actor that is."""
    return unquote(path.rpartition("/")[2])
