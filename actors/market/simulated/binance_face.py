"""Binance's faces, spot and USD-M: streams on `/stream` and `/ws`, REST beside them.

An update id is a version of the market's book. Depth goes out ten times a second and once a second as the absolute
sizes of all levels that have changed since; trades and best prices at once. Events are encoded once for all clients.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Final

from actors.market.simulated.binance_desk import COMMANDS_PER_S, BinanceDesk, UserDesk
from actors.market.simulated.binance_rest import BinanceRest
from actors.market.simulated.binance_text import INTERVALS, Texts, kline, millis
from actors.market.simulated.binance_trading import BinanceTrading, Refused
from actors.market.simulated.face import KEY_ID, Client, Clock, Face, json_answer, retry_header
from actors.market.simulated.faults import FaceWord, Faults
from actors.market.simulated.flow import Traded
from actors.market.simulated.http import Answer, Request
from actors.market.simulated.ledger import Best, Told
from actors.market.simulated.link import Link
from actors.market.simulated.market import Happened, SimulatedMarket
from protocols.market import LevelChange, Side
from protocols.nanos import NANO
from protocols.venues.binance_orders import STREAM_PATH, signed_params
from protocols.venues.binance_replies import Fault
from protocols.venues.binance_signing import PublicKey
from protocols.venues.simulated import FaultOrder

_PATH: Final = re.compile(r"(?:/(?:public|market|private))?/(?P<kind>stream|ws)(?:/(?P<streams>.*))?")
_SLOW_PULSES: Final = 10
_KLINE_PULSES: Final = 20
_LIQUIDATIONS: Final = 200
_FUNDING_NS: Final = 8 * 3_600 * NANO


class _Client(Client):
    """Counts what the client sends: the venue closes on one that says too much."""

    def __init__(self, link: Link, desk: BinanceDesk, now: Callable[[], int]) -> None:
        super().__init__(link, desk, Told(1))
        self._said: deque[int] = deque(maxlen=COMMANDS_PER_S + 1)
        self._now = now

    def take(self, raw: bytes) -> None:
        self._said.append(self._now())
        if len(self._said) > COMMANDS_PER_S and self._said[-1] - self._said[0] < NANO:
            self.link.close(1008, "Too many requests")
        else:
            super().take(raw)


class _Depth:
    """Levels of one market that have changed since the last event of one speed."""

    def __init__(self, version: int) -> None:
        self.last = version
        self.bids: dict[int, None] = {}
        self.asks: dict[int, None] = {}


class BinanceSpotFace(Face):
    """Spot: `/api/v3/…`. Prices have eight decimals."""

    WORD: ClassVar[FaceWord] = "binance"
    BEAT_NS: ClassVar[int] = NANO // 10
    LOT: ClassVar[int] = 10_000
    FUTURES: ClassVar[bool] = False
    # The venue's own words for the speed of one event a second.
    SLOW: ClassVar[str] = "depth"

    def __init__(
        self, markets: Sequence[SimulatedMarket], faults: Faults, clock: Clock, key: PublicKey | None = None
    ) -> None:
        super().__init__(markets, faults, clock)
        self.texts = Texts(self.FUTURES)
        self.trading: BinanceTrading | None = None
        if key is not None and not self.FUTURES:
            self.trading = BinanceTrading(self.markets, clock, key, KEY_ID, self.publish, self._tell_user)
        self._rest = BinanceRest(self.markets, self.texts, faults, clock)
        self._fast: dict[str, _Depth] = {}
        self._slow: dict[str, _Depth] = {}
        self._bests: dict[str, Best] = {}
        self._pulses = 0
        self._bars: dict[tuple[str, str], int] = {}

    @classmethod
    def symbol(cls, coin: str) -> str:
        """The symbol of a coin against dollars."""
        return f"{coin}USDT"

    @property
    def url(self) -> str:
        """The combined endpoint."""
        return f"ws://127.0.0.1:{self.port}/stream"

    @property
    def private_url(self) -> str:
        """The WebSocket API, where the user data stream is."""
        return f"ws://127.0.0.1:{self.port}{STREAM_PATH}"

    def admits(self, request: Request) -> Answer | None:
        """Anybody, on the paths there are."""
        if request.path == STREAM_PATH and self.trading is not None:
            return None
        return None if _PATH.fullmatch(request.path) else json_answer({"code": -1, "msg": "not found"}, 404)

    def greet(self, link: Link, request: Request) -> Client:
        """A client; streams that its address names begin at once."""
        if request.path == STREAM_PATH:
            return Client(link, UserDesk(self._user_fault), Told(1))
        found = _PATH.fullmatch(request.path)
        assert found is not None
        combined = found["kind"] == "stream"
        named = request.one("streams") if combined else found["streams"] or ""
        return _Client(link, BinanceDesk([name for name in named.split("/") if name], combined), self._now)

    def _now(self) -> int:
        return self.clock.now() - self.clock.wrong_ns

    def rest(self, request: Request) -> Answer:
        """Public calls, and signed ones of the account."""
        if self.trading is not None:
            try:
                answered = self.trading.call(request)
            except Refused as refused:
                return self._rest.refused(refused.code, str(refused), refused.status)
            if answered is not None:
                return self._rest.counted(*answered)
        return self._rest.answer(request)

    def _user_fault(self, params: Mapping[str, Any]) -> Fault | None:
        assert self.trading is not None
        try:
            self.trading.check(params, str(params.get("signature", "")), signed_params(params))
        except Refused as refused:
            return Fault(refused.code, str(refused))
        return None if params.get("apiKey") == KEY_ID else Fault(-2015, "Invalid API-key.")

    def _tell_user(self, event: dict[str, Any]) -> None:
        for client in self.clients.values():
            if isinstance(client.desk, UserDesk):
                client.link.offer(client.desk.event(event))

    def refusal(self, order: FaultOrder) -> Answer:
        """Codes as the venue has them; -1003 is too many requests."""
        codes = {429: (-1003, "Too many requests."), 418: (-1003, "Way too many requests; IP banned.")}
        code, text = codes.get(order.status, (-1000, "An unknown error occurred while processing the request."))
        return json_answer({"code": code, "msg": text}, order.status, retry_header(order))

    def fail(self, client: Client, order: FaultOrder) -> bool:
        """The announcement of a shutdown."""
        desk = client.desk
        if order.kind != "shutdown" or not isinstance(desk, BinanceDesk):
            return False
        event = b'{"e":"serverShutdown","E":%d}' % millis(self.clock.now())
        client.link.offer([desk.frame("!serverShutdown", event)])
        return True

    # -- what happens --------------------------------------------------------------------------------------

    def publish(self, market: SimulatedMarket, events: list[Happened]) -> None:
        """Trades and best prices go out now; changed levels are kept for the next depth event."""
        if self.trading is not None:
            self.trading.happened(market)
        name = market.name
        before = market.ledger.version - sum(type(event) is LevelChange for event, _ in events)
        fast, slow = self._depths(name, before)
        for event, _ in events:
            if type(event) is LevelChange:
                (fast.bids if event.side == "bid" else fast.asks)[event.price] = None
                (slow.bids if event.side == "bid" else slow.asks)[event.price] = None
            elif type(event) is Traded and self.clients:
                self._trade(name, event)
        best = market.ledger.best
        if best != self._bests.get(name) and None not in best:
            self._bests[name] = best
            stream = f"{name.lower()}@bookTicker"
            if self._wanted(stream):
                now = millis(self.clock.now())
                self._send(stream, self.texts.book_ticker(name, market.ledger.version, best, now))

    def _depths(self, name: str, version: int) -> tuple[_Depth, _Depth]:
        if name not in self._fast:
            self._fast[name], self._slow[name] = _Depth(version), _Depth(version)
        return self._fast[name], self._slow[name]

    def _trade(self, name: str, event: Traded) -> None:
        now = millis(self.clock.now())
        for kind in ("trade", "aggTrade"):
            stream = f"{name.lower()}@{kind}"
            if self._wanted(stream):
                self._send(stream, self.texts.trade(kind, name, event, now))
        if self.FUTURES and event.trade_id % _LIQUIDATIONS == 0:
            self._send(f"{name.lower()}@forceOrder", self.texts.liquidation(name, event, now))

    def pulse(self, now: int) -> None:
        """Ten times a second: depth, and less often bars and mark prices."""
        self._pulses += 1
        self._rest.remember(now)
        for name, market in self.markets.items():
            fast, slow = self._depths(name, market.ledger.version)
            self._depth(market, fast, f"{name.lower()}@depth@100ms")
            if self._pulses % _SLOW_PULSES == 0:
                self._depth(market, slow, f"{name.lower()}@depth")
                if self.FUTURES and self.clients:
                    self._mark_price(market)
            if self._pulses % _KLINE_PULSES == 0 and self.clients:
                self._klines(market)

    def _depth(self, market: SimulatedMarket, depth: _Depth, stream: str) -> None:
        version = market.ledger.version
        if version == depth.last:
            return
        if self._wanted(stream):

            def changed(side: Side, prices: dict[int, None]) -> list[tuple[int, int]]:
                return [(price, market.ledger.size(side, price)) for price in prices]

            bids, asks = changed("bid", depth.bids), changed("ask", depth.asks)
            now = millis(self.clock.now())
            self._send(stream, self.texts.depth(market.name, depth.last, version, bids, asks, now))
        depth.last = version
        depth.bids.clear()
        depth.asks.clear()

    def _klines(self, market: SimulatedMarket) -> None:
        now = self.clock.now()
        for interval, length in INTERVALS.items():
            stream = f"{market.name.lower()}@kline_{interval}"
            if not self._wanted(stream):
                continue
            start = now - now % length
            before = self._bars.get((market.name, interval), start)
            self._bars[(market.name, interval)] = start
            for begin in dict.fromkeys((before, start)):
                (bar,) = market.history(begin, begin + 1, length, 1)
                payload = kline(self.texts, market.name, interval, length, bar, begin < start, millis(now))
                self._send(stream, payload)

    def _mark_price(self, market: SimulatedMarket) -> None:
        now = self.clock.now()
        payload = self.texts.mark_price(market.name, market.middle(), now, now - now % _FUNDING_NS + _FUNDING_NS)
        self._send(f"{market.name.lower()}@markPrice@1s", payload)
        if self._pulses % (3 * _SLOW_PULSES) == 0:
            self._send(f"{market.name.lower()}@markPrice", payload)

    def _wanted(self, stream: str) -> bool:
        return any(
            stream in client.desk.streams for client in self.clients.values() if isinstance(client.desk, BinanceDesk)
        )

    def _send(self, stream: str, payload: bytes) -> None:
        for client in self.clients.values():
            desk = client.desk
            if isinstance(desk, BinanceDesk) and stream in desk.streams:
                client.link.offer((desk.frame(stream, payload),))


class BinanceUsdmFace(BinanceSpotFace):
    """USD-M futures: `/fapi/v1/…`, chained by `pu`, with mark prices, funding and liquidations."""

    WORD: ClassVar[FaceWord] = "binance-usdm"
    LOT: ClassVar[int] = 1_000_000
    FUTURES: ClassVar[bool] = True
