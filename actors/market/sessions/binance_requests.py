"""The commands of one connection to Binance: in chunks, with an id each, and a time by which they must be answered."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from actors.market.session_core import SECOND
from protocols.venues.binance_commands import (
    LIST_SUBSCRIPTIONS,
    MAX_PARAMS,
    SUBSCRIBE,
    UNSUBSCRIBE,
    list_subscriptions,
    subscribe,
    unsubscribe,
)


class Request(msgspec.Struct, gc=False):
    """A command that was not answered yet."""

    method: str
    streams: tuple[str, ...]
    deadline: int


class Requests:
    """Makes commands and remembers them until they are answered.

    `answer_ns`: how long the venue may take. `per_s`: how many commands it takes, as each waits for those before it.
    """

    def __init__(self, answer_ns: int, per_s: float) -> None:
        self._answer_ns = answer_ns
        self._pace_ns = round(SECOND / per_s)
        self._pending: dict[int, Request] = {}
        self._next_id = 0

    def subscribe(self, streams: Sequence[str], now: int) -> list[bytes]:
        """Commands to begin these streams."""
        chunks = [tuple(streams[at : at + MAX_PARAMS]) for at in range(0, len(streams), MAX_PARAMS)]
        return [subscribe(self._new(SUBSCRIBE, chunk, now), chunk) for chunk in chunks]

    def unsubscribe(self, streams: Sequence[str], now: int) -> list[bytes]:
        """Commands to end them."""
        chunks = [tuple(streams[at : at + MAX_PARAMS]) for at in range(0, len(streams), MAX_PARAMS)]
        return [unsubscribe(self._new(UNSUBSCRIBE, chunk, now), chunk) for chunk in chunks]

    def list(self, now: int) -> bytes:
        """A command that asks for the names of all streams."""
        return list_subscriptions(self._new(LIST_SUBSCRIPTIONS, (), now))

    def _new(self, method: str, streams: tuple[str, ...], now: int) -> int:
        self._next_id += 1
        deadline = now + self._answer_ns + len(self._pending) * self._pace_ns
        self._pending[self._next_id] = Request(method, streams, deadline)
        return self._next_id

    def answered(self, id: int | str | None) -> Request | None:
        """What an answer answers; None where nothing was asked."""
        return self._pending.pop(id, None) if isinstance(id, int) else None

    def subscribing(self) -> bool:
        """Whether a subscription is not answered yet."""
        return any(request.method == SUBSCRIBE for request in self._pending.values())

    def overdue(self, now: int) -> bool:
        """Whether an answer is late."""
        return any(now >= request.deadline for request in self._pending.values())

    def forget(self) -> None:
        """The connection has ended."""
        self._pending.clear()
        self._next_id = 0
