"""The venue's side of a conversation with a Binance session, by hand: frames, answers, and time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from actors.market.session_core import BOOK, SECOND, Event, SessionOptions
from actors.market.sessions.binance_core import BinanceSession
from protocols.market import BookUpdate
from protocols.venues.binance import DepthUpdate, Levels, Payload, encode
from protocols.venues.binance_commands import depth_stream
from protocols.venues.rest import RestCall

TS = 1_723_161_255_000_000_000


class Conversation:
    """A session and what it was told. Time moves only by `wait`."""

    def __init__(
        self,
        kind: type[BinanceSession],
        *symbols: str,
        channels: Sequence[str] = (BOOK,),
        options: SessionOptions | None = None,
    ) -> None:
        self.kind = kind
        markets = [kind.market_of(symbol) for symbol in symbols]
        self.core = kind("feed", markets, channels, options or SessionOptions(recovery_s=5.0))
        self.now = SECOND
        self.last: dict[str, int] = {}
        self.connections = 0
        self.connect()

    def connect(self) -> None:
        self.connections += 1
        self.core.connected(f"c{self.connections}", (), TS, self.now)

    def commands(self) -> list[dict[str, Any]]:
        return [json.loads(command) for command in self.core.take_commands()]

    def acknowledge(self) -> list[Event]:
        """Say yes to every command."""
        return [event for command in self.commands() for event in self.get({"result": None, "id": command["id"]})]

    def get(self, frame: dict[str, Any]) -> list[Event]:
        return self.core.receive(json.dumps(frame), TS, self.now)

    def tell(self, payload: Payload, stream: str = "") -> list[Event]:
        return self.core.receive(encode(payload, stream), TS, self.now)

    def depth(
        self,
        symbol: str,
        first: int,
        last: int,
        previous: int | None = None,
        bids: Levels = (("10", "1"),),
        asks: Levels = (("11", "1"),),
    ) -> list[Event]:
        event = DepthUpdate(
            event_time=1, symbol=symbol, first=first, last=last, previous=previous, bids=bids, asks=asks
        )
        return self.tell(event, depth_stream(symbol))

    def calls(self) -> list[RestCall]:
        return self.core.take_calls()

    def snapshot(
        self, call: RestCall, last: int, bids: Levels = (("9", "2"),), asks: Levels = (("12", "2"),)
    ) -> list[Event]:
        body = json.dumps({"lastUpdateId": last, "bids": bids, "asks": asks}).encode()
        return self.core.answered(call, 200, body, TS, self.now)

    def refuse(self, call: RestCall, status: int, code: int = 0, text: str = "no") -> list[Event]:
        body = json.dumps({"code": code, "msg": text}).encode()
        return self.core.answered(call, status, body, TS, self.now)

    def wait(self, seconds: float) -> list[Event]:
        self.now += round(seconds * SECOND)
        return self.core.tick(TS, self.now)


def updates(events: Sequence[Event]) -> list[tuple[bool, int]]:
    """(whether it is a snapshot, seq) of the book updates among events."""
    return [(event.snapshot, event.seq) for event in events if isinstance(event, BookUpdate)]


def live(kind: type[BinanceSession], *symbols: str, last: int = 100, **more: Any) -> Conversation:
    """A conversation whose books are current at `last`."""
    talk = Conversation(kind, *symbols, **more)
    talk.acknowledge()
    for call in talk.calls():
        talk.snapshot(call, last)
    assert talk.core.state == "live"
    return talk
