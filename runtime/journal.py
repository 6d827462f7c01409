"""The journal of an actor: what it was given, numbered and in the node's log before it is handled."""

from __future__ import annotations

from protocols.control import Row


class JournalEntry(Row, frozen=True, gc=False, tag="journal_entry"):
    """One message of an actor with `journal = True`, written before it is handled."""

    table = "journal"
    sequenced = True
    stream: str
    seq: int
    ts: int
    kind: str
    sender: str
    payload: bytes
