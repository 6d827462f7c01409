"""Replicas as data: how many, who gets a message, and what came of it. `replica_set.py` runs them."""

from __future__ import annotations

from typing import Literal

import msgspec

from protocols.control import Message, Refused, Request


class ReplicaSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An actor that runs `count` times behind one path.

    Raises ValueError at construction (msgspec.ValidationError when decoded), naming the field.
    """

    count: int
    """How many run at first; the replicas of `/x` are `/x/0`, `/x/1` and so on."""
    routing: Literal["least_loaded", "sticky"] = "least_loaded"
    """`least_loaded`: to the replica with the fewest messages waiting or in progress. `sticky`: all messages of one key
    to one replica."""
    key: str = ""
    """With `sticky`: the field of a message that is its key; empty: its `topic_key()`. A message without a key goes to
    the least loaded."""
    most: int = 64
    """Up to how many it may be resized."""
    restart_count: int = 10
    restart_s: float = 60.0
    """More restarts of replicas than this within so many seconds, and the whole set gives up. The waits between
    restarts let a single replica that always crashes reach it only after most of that time."""

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"count of replicas must be at least 1, not {self.count}")
        if self.most < self.count:
            raise ValueError(f"most replicas must be at least the count of {self.count}, not {self.most}")
        if self.key and self.routing != "sticky":
            raise ValueError(f"key {self.key!r} is for sticky routing, not for {self.routing}")
        if self.restart_count < 0 or self.restart_s <= 0:
            raise ValueError(
                f"expected restart_count >= 0 and restart_s > 0, not {self.restart_count} and {self.restart_s}"
            )

    def key_of(self, message: Message) -> str | None:
        """The key by which a message is routed: None without one, or where keys do not matter."""
        if self.routing != "sticky":
            return None
        if not self.key:
            return message.topic_key() or None
        value = getattr(message, self.key, None)
        return None if value is None or value == "" else str(value)


class ReplicaMembers(Request[None], frozen=True, gc=False, tag="replica_members"):
    """A set asks a replica whose class handles it to note who the members are: at each of its starts, and when they
    change. `own`: its own name; it is not among `names` when it leaves, or has not joined yet.

    With `hashing.assign(keys, names)` the replicas divide keys among themselves. Whoever gives keys up is asked first,
    and has answered (or ended) before those who get them are asked: so nobody begins with what another still has.
    """

    own: str
    names: tuple[str, ...]


class ReplicaSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """What one replica got through the path of the set, and did, since it was added.

    `load`: messages waiting or in progress now. `routed`: asks, tells and sends. `done`, `failed`: asks by outcome.
    `refused`: asks refused, and tells and sends that it did not accept.
    """

    name: str
    load: int
    routed: int
    done: int
    refused: int
    failed: int


class ReplicasSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A set of replicas at one moment. `count` of them get messages; one that is leaving is still among `replicas`."""

    routing: str
    key: str
    count: int
    most: int
    replicas: tuple[ReplicaSnapshot, ...]


class ReplicaFigures:
    """What one replica was given and what came of it. `open`: asks and sends that have not ended yet."""

    __slots__ = ("done", "failed", "open", "refused", "routed")

    def __init__(self) -> None:
        self.open = self.routed = self.done = self.refused = self.failed = 0

    def settle(self, error: BaseException) -> None:
        """Count an ask or a send that raised; one that was cancelled counts as nothing."""
        self.refused += isinstance(error, Refused)
        self.failed += isinstance(error, Exception) and not isinstance(error, Refused)

    def snapshot(self, name: str, load: int) -> ReplicaSnapshot:
        """The figures now."""
        return ReplicaSnapshot(
            name=name, load=load, routed=self.routed, done=self.done, refused=self.refused, failed=self.failed
        )
