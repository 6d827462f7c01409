"""Coinbase's face: Advanced Trade's channels on `/`, REST under `/api/v3/brokerage`.

Changes of a book go out at once, trades four times a second, heartbeats once. A snapshot of tens of thousands of
levels is joined of pieces that are kept per level, as few of them have changed since the last one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final

import msgspec

from actors.market.simulated import coinbase_rest
from actors.market.simulated.coinbase_desk import CoinbaseDesk
from actors.market.simulated.face import Client, Clock, Face, json_answer, retry_header
from actors.market.simulated.faults import FaceWord, Faults
from actors.market.simulated.flow import Traded
from actors.market.simulated.http import Answer, Request
from actors.market.simulated.link import Link
from actors.market.simulated.market import MINUTE, Happened, PublicTrade, SimulatedMarket
from protocols.market import LevelChange, Side
from protocols.nanos import NANO
from protocols.venues import coinbase
from protocols.venues.rfc3339 import rfc3339_text
from protocols.venues.simulated import FaultOrder

_EPOCH: Final = "1970-01-01T00:00:00Z"
_SIDES: Final[dict[Side, str]] = {"bid": "bid", "ask": "offer"}
_TRADE_PULSES: Final = 5
_HEARTBEAT_PULSES: Final = 20
# A client that has asked for nothing after so many pulses is left: 5 s.
_PATIENCE: Final = 100
_FIVE_MINUTES: Final = 5 * MINUTE
_encoder = msgspec.json.Encoder()


class CoinbaseFace(Face):
    """Speaks level2, market_trades, ticker, candles and heartbeats. Tokens are taken and not looked at."""

    WORD: ClassVar[FaceWord] = "coinbase"
    BEAT_NS: ClassVar[int] = NANO // 20
    LOT: ClassVar[int] = 10

    def __init__(self, markets: Sequence[SimulatedMarket], faults: Faults, clock: Clock) -> None:
        super().__init__(markets, faults, clock)
        self._pulses = 0
        self._beats = 0
        self._trades: dict[str, list[PublicTrade]] = {}
        self._greeted: dict[int, int] = {}
        # Of each book the levels as text, and which of them are not what they were.
        self._pieces: dict[str, dict[Side, dict[int, str]]] = {}
        self._dirty: dict[str, dict[tuple[Side, int], None]] = {name: {} for name in self.markets}

    @classmethod
    def symbol(cls, coin: str) -> str:
        """The product of a coin against dollars."""
        return f"{coin}-USD"

    @property
    def url(self) -> str:
        """The WebSocket's address."""
        return f"ws://127.0.0.1:{self.port}"

    def admits(self, request: Request) -> Answer | None:
        """Anybody."""
        return None

    def greet(self, link: Link, request: Request) -> Client:
        """A client, who has to subscribe soon."""
        desk = CoinbaseDesk(self.markets, self._opening, lambda: rfc3339_text(self.clock.now(), 6))
        self._greeted[link.number] = self._pulses
        return Client(link, desk, desk.told)

    def left(self, number: int) -> None:
        """A client's connection has ended."""
        self._greeted.pop(number, None)
        super().left(number)

    def rest(self, request: Request) -> Answer:
        """Public calls."""
        return coinbase_rest.answer(request, self.markets, self.clock.now())

    def refusal(self, order: FaultOrder) -> Answer:
        """The venue's error body."""
        words = {401: "unauthorized", 403: "permission_denied", 429: "rate_limit_exceeded"}
        error = words.get(order.status, "internal")
        body = {"error": error, "message": error.replace("_", " "), "error_details": ""}
        return json_answer(body, order.status, retry_header(order))

    # -- what happens --------------------------------------------------------------------------------------

    def publish(self, market: SimulatedMarket, events: list[Happened]) -> None:
        """Changed levels at once; trades are kept for the next quarter of a second."""
        changed: dict[tuple[Side, int], None] = {}
        for event, _ in events:
            if type(event) is LevelChange:
                changed[(event.side, event.price)] = None
            elif type(event) is Traded and self.clients:
                trade = PublicTrade(event.trade_id, event.price, event.size, event.taker_side, self.clock.now())
                self._trades.setdefault(market.name, []).append(trade)
        if not changed:
            return
        self._dirty[market.name].update(changed)
        payload = b""
        for client in self.clients.values():
            desk = client.desk
            if isinstance(desk, CoinbaseDesk) and desk.wants(coinbase.LEVEL2, market.name):
                payload = payload or self._update(market, changed)
                client.link.offer((desk.frame(coinbase.LEVEL2, payload, market.name, market.ledger.version),))

    def _update(self, market: SimulatedMarket, changed: dict[tuple[Side, int], None]) -> bytes:
        now = rfc3339_text(self.clock.now(), 6)
        size = market.ledger.size
        levels = ",".join([_level(side, price, size(side, price), now) for side, price in changed])
        return f'[{{"type":"update","product_id":"{market.name}","updates":[{levels}]}}]'.encode()

    def _opening(self, channel: str, product: str) -> tuple[bytes, int]:
        market = self.markets[product]
        if channel == coinbase.LEVEL2:
            return self._snapshot(product), market.ledger.version
        if channel == coinbase.MARKET_TRADES:
            return self._told_trades("snapshot", product, list(market.trades)[-50:]), 0
        if channel == coinbase.TICKER:
            return self._ticker("snapshot", market), 0
        if channel == coinbase.CANDLES:
            return self._candles("snapshot", market, 100), 0
        return b"", 0

    def warm(self) -> None:
        """Write every book down once, so that no snapshot takes long."""
        for product in self.markets:
            self._snapshot(product)

    def _snapshot(self, product: str) -> bytes:
        ledger = self.markets[product].ledger
        pieces, dirty = self._pieces.get(product), self._dirty[product]
        if pieces is None:
            pieces = self._pieces[product] = {"bid": {}, "ask": {}}
            dirty |= dict.fromkeys((side, price) for side in pieces for price in ledger.prices(side))
        for side, price in dirty:
            size = ledger.size(side, price)
            if size:
                pieces[side][price] = _level(side, price, size, _EPOCH)
            else:
                pieces[side].pop(price, None)
        dirty.clear()
        levels = ",".join([texts[price] for side, texts in pieces.items() for price in ledger.prices(side)])
        return f'[{{"type":"snapshot","product_id":"{product}","updates":[{levels}]}}]'.encode()

    def pulse(self, now: int) -> None:
        """Twenty times a second: what is due of trades, tickers, candles and heartbeats."""
        self._pulses += 1
        if self._pulses % _TRADE_PULSES == 0:
            traded, self._trades = self._trades, {}
            for product, trades in traded.items():
                self._send(coinbase.MARKET_TRADES, product, self._told_trades("update", product, trades))
                self._send(coinbase.TICKER, product, self._ticker("update", self.markets[product]))
        if self._pulses % _HEARTBEAT_PULSES == 0:
            self._beats += 1
            beat = {"current_time": rfc3339_text(self.clock.now(), 6), "heartbeat_counter": self._beats}
            self._send(coinbase.HEARTBEATS, "", _encoder.encode([beat]))
            for product, market in self.markets.items():
                self._send(coinbase.CANDLES, product, self._candles("update", market, 1))
        for number, client in list(self.clients.items()):
            desk = client.desk
            waited = self._pulses - self._greeted.get(number, self._pulses)
            if isinstance(desk, CoinbaseDesk) and not desk.subscribed and waited == _PATIENCE:
                client.link.close(1000, "no subscription")

    def _send(self, channel: str, product: str, events: bytes) -> None:
        for client in self.clients.values():
            desk = client.desk
            if isinstance(desk, CoinbaseDesk) and desk.wants(channel, product):
                client.link.offer((desk.frame(channel, events),))

    def _told_trades(self, kind: str, product: str, trades: list[PublicTrade]) -> bytes:
        """The newest first, with the maker's side."""
        told = [coinbase_rest.trade(each, product) for each in reversed(trades)]
        return _encoder.encode([{"type": kind, "trades": told}])

    def _ticker(self, kind: str, market: SimulatedMarket) -> bytes:
        best = market.ledger.best
        body: dict[str, Any] = {
            "type": "ticker",
            "product_id": market.name,
            "price": coinbase_rest.price(market.trades[-1].price if market.trades else market.middle()),
            "volume_24_h": coinbase_rest.size(market.volume),
            "best_bid": coinbase_rest.price(best.bid or 0),
            "best_bid_quantity": coinbase_rest.size(best.bid_size),
            "best_ask": coinbase_rest.price(best.ask or 0),
            "best_ask_quantity": coinbase_rest.size(best.ask_size),
        }
        return _encoder.encode([{"type": kind, "tickers": [body]}])

    def _candles(self, kind: str, market: SimulatedMarket, count: int) -> bytes:
        now = self.clock.now()
        start = now - now % _FIVE_MINUTES - (count - 1) * _FIVE_MINUTES
        bars = market.history(start, now + 1, _FIVE_MINUTES, count)
        candles = [{**coinbase_rest.candle(bar), "product_id": market.name} for bar in bars]
        return _encoder.encode([{"type": kind, "candles": candles}])


def _level(side: Side, price: int, size: int, event_time: str) -> str:
    return (
        f'{{"side":"{_SIDES[side]}","event_time":"{event_time}","price_level":"{coinbase_rest.price(price)}",'
        f'"new_quantity":"{coinbase_rest.size(size)}"}}'
    )
