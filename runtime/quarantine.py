"""Quarantine: a message that crashed its actor twice is kept away from it.

A crash leaves the fingerprint (type and msgpack) of the message that was being handled: a suspect, remembered for ten
minutes. If an equal message crashes the actor again, equal ones after it are refused for as long.
"""

from __future__ import annotations

import hashlib

import msgspec

from protocols.control import Message

MOST_SUSPECTS = 8
SUSPECT_S = 600.0


def fingerprint(message: Message) -> bytes:
    """Equal for messages of equal type and content, in every process."""
    kind = type(message)
    body = msgspec.msgpack.encode(message, enc_hook=repr)
    return hashlib.blake2b(f"{kind.__module__}.{kind.__qualname__}".encode() + b"\0" + body, digest_size=16).digest()


class Quarantine:
    """The suspects of one path. Times are seconds on one monotonic clock."""

    __slots__ = ("_quarantined", "_suspects", "_types")

    def __init__(self) -> None:
        self._suspects: dict[bytes, float] = {}
        self._quarantined: dict[bytes, float] = {}
        self._types: set[type] = set()

    @property
    def active(self) -> bool:
        """Whether incoming messages have to be compared."""
        return bool(self._quarantined)

    def crashed(self, message: Message, now: float) -> bool:
        """Remember the message of a crash; True if it is quarantined from now on."""
        print_ = fingerprint(message)
        self._forget(now)
        if print_ in self._suspects:
            del self._suspects[print_]
            self._quarantined[print_] = now + SUSPECT_S
            self._types.add(type(message))
            return True
        while len(self._suspects) >= MOST_SUSPECTS:
            del self._suspects[next(iter(self._suspects))]
        self._suspects[print_] = now + SUSPECT_S
        return False

    def holds(self, message: Message, now: float) -> bool:
        """Whether the message is quarantined."""
        if not self._quarantined or type(message) not in self._types:
            return False
        self._forget(now)
        return fingerprint(message) in self._quarantined

    def _forget(self, now: float) -> None:
        for known in (self._suspects, self._quarantined):
            for print_ in [p for p, until in known.items() if until <= now]:
                del known[print_]
