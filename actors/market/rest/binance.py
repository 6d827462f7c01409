"""Binance over REST: what can be traded, and the history of bars, trades and funding; spot, USD-M and COIN-M.

Bars come from `klines`, trades from `aggTrades` (all fills of one order at one price; of USD-M futures the venue keeps
the last days only), funding from `fundingRate`. None of them needs a key.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar, Final

from actors.market.rest.binance_instruments import Venue, read_instrument
from actors.market.session_core import Credentials
from actors.market.sessions.binance import BinanceCoinmSession, BinanceSpotSession, BinanceUsdmSession
from actors.market.sessions.binance_core import BinanceSession
from actors.market.sessions.binance_streams import INTERVALS
from actors.market.venue_rest import HistoryKind, HistoryPage
from protocols.instruments import Instrument
from protocols.market import Bar, Funding, Trade
from protocols.nanos import NumberFaults, price_nanos, scaled
from protocols.venues.binance import MILLISECOND, AggregateTrade, event_time
from protocols.venues.binance_messages import Codec, plain
from protocols.venues.binance_rest import (
    AggregateTradeRow,
    FundingRow,
    decode_aggregate_trades,
    decode_exchange_info,
    decode_funding,
    decode_klines,
    error_of,
)
from protocols.venues.binance_signing import KEY_HEADER
from protocols.venues.errors import VenueError, WireError
from protocols.venues.rest import RestCall

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400, "M": 28 * 86_400}
"""The shortest that each unit can be."""
_ROWS: Final = 1000


def shortest_ms(interval: str) -> int:
    """The least time between two bars of an interval, in milliseconds. Raises ValueError for one that is none."""
    if interval not in INTERVALS:
        raise ValueError(f"Binance has no bars of {interval!r}")
    return int(interval[:-1]) * _SECONDS[interval[-1]] * 1000


class _BinanceRest:
    """What the three have in common. A call's purpose is `kind interval end`, `end` in milliseconds."""

    VENUE: ClassVar[str]
    REST_URL: ClassVar[str]
    BUDGETS: ClassVar[tuple[tuple[str, float, float], ...]]
    KINDS: ClassVar[frozenset[HistoryKind]] = frozenset({"bars", "trades", "funding"})
    INTERVALS: ClassVar[tuple[str, ...]] = INTERVALS[1:]

    SESSION: ClassVar[type[BinanceSession]]
    PREFIX: ClassVar[str]
    KIND: ClassVar[Venue]
    INFO_WEIGHT: ClassVar[int] = 1
    KLINES_WEIGHT: ClassVar[int] = 5
    TRADES_WEIGHT: ClassVar[int] = 20

    def __init__(self, credentials: Credentials | None = None) -> None:
        self.credentials = credentials
        self.faults = NumberFaults()
        self.codec = Codec(self.faults)

    def headers(self, call: RestCall, ts: int) -> tuple[tuple[str, str], ...]:
        """The key's id, where there is one; nothing here needs it."""
        return () if self.credentials is None else ((KEY_HEADER, self.credentials.key_id),)

    # -- instruments -----------------------------------------------------------------------------------

    def instruments(self, markets: Sequence[str] = ()) -> RestCall:
        """All symbols come in one answer; which of them are meant travels with the call."""
        return RestCall(
            purpose="instruments",
            path=f"{self.PREFIX}/exchangeInfo",
            cost=self.INFO_WEIGHT,
            market=",".join(markets),
        )

    def read_instruments(
        self, call: RestCall, status: int, body: bytes, ts: int
    ) -> tuple[tuple[Instrument, ...], RestCall | None]:
        """Definitions, as of `ts`. Raises VenueError."""
        if status != 200:
            raise error_of(status, body)
        try:
            info = decode_exchange_info(body)
        except WireError as error:
            raise VenueError(status, "unreadable", str(error)) from None
        wanted = set(call.market.split(",")) if call.market else None
        found = []
        for row in info.symbols:
            market = self.SESSION.market_of(row.symbol)
            if wanted is None or market in wanted:
                found.append(read_instrument(row, self.KIND, self.VENUE, market, ts, f"GET {call.path}"))
        return tuple(found), None

    # -- history ---------------------------------------------------------------------------------------

    def history(self, kind: HistoryKind, market: str, interval: str, start: int, end: int) -> RestCall:
        """The first call for what begins (bars) or happened in [start, end). Raises ValueError."""
        if kind not in self.KINDS:
            raise ValueError(f"{self.VENUE} has no {kind}")
        if kind == "bars" and interval not in self.INTERVALS:
            raise ValueError(f"{self.VENUE} has no bars of {interval!r}, only {', '.join(self.INTERVALS)}")
        # Milliseconds: the first that is not before `start`, and the first that is not before `end`.
        first, last = -(-start // MILLISECOND), -(-end // MILLISECOND)
        if kind == "bars":
            return self._bars(market, interval, first, last)
        return self._trades(market, first, last) if kind == "trades" else self._funding(market, first, last)

    def read_history(self, call: RestCall, status: int, body: bytes, ts: int) -> HistoryPage:
        """One page. Raises VenueError."""
        if status != 200:
            raise error_of(status, body)
        kind, interval, end = call.purpose.split()
        try:
            if kind == "bars":
                return self._read_bars(call, interval, int(end), body, ts)
            if kind == "trades":
                return self._read_trades(call, int(end), body, ts)
            return self._read_funding(call, int(end), body, ts)
        except (WireError, ValueError) as error:
            raise VenueError(status, "unreadable", str(error)) from None

    def _call(self, kind: str, span: str, end: int, market: str, weight: int, **query: int | str) -> RestCall:
        path = {"bars": "klines", "trades": "aggTrades", "funding": "fundingRate"}[kind]
        return RestCall(
            purpose=f"{kind} {span or '-'} {end}",
            path=f"{self.PREFIX}/{path}",
            query=(("symbol", self.SESSION.symbol_of(market)), *((name, str(value)) for name, value in query.items())),
            cost=weight,
            market=market,
        )

    def _last(self, interval: str, first: int, end: int) -> int:
        """The last millisecond that one call for bars may name."""
        return end - 1

    def _bars(self, market: str, interval: str, first: int, end: int) -> RestCall:
        return self._call(
            "bars",
            interval,
            end,
            market,
            self.KLINES_WEIGHT,
            interval=interval,
            startTime=first,
            endTime=self._last(interval, first, end),
            limit=_ROWS,
        )

    def _read_bars(self, call: RestCall, interval: str, end: int, body: bytes, ts: int) -> HistoryPage:
        market = call.market
        candles = decode_klines(body, self.SESSION.symbol_of(market), interval, ts // MILLISECOND)
        bars: list[Bar] = []
        for candle in candles:
            bar = self.codec.bar(candle, market, ts, quoted=self.SESSION.QUOTED)
            if bar is not None and candle.start < end:
                bars.append(bar)
        asked = dict(call.query)
        following = int(asked["endTime"]) + 1
        if len(candles) >= _ROWS:
            following = candles[-1].start + 1
        # What is not final yet is the end of all history.
        ended = bool(candles) and not candles[-1].final
        more = following < end and not ended and following * MILLISECOND <= ts
        return HistoryPage(bars=tuple(bars), next=self._bars(market, interval, following, end) if more else None)

    def _trades(self, market: str, first: int, end: int) -> RestCall:
        # A call with both times spans less than an hour.
        last = min(first + HOUR_MS - 1, end) - 1
        return self._call("trades", "", end, market, self.TRADES_WEIGHT, startTime=first, endTime=last, limit=_ROWS)

    def _read_trades(self, call: RestCall, end: int, body: bytes, ts: int) -> HistoryPage:
        rows = decode_aggregate_trades(body)
        market = call.market
        trades = tuple(self._made(row, market, ts) for row in rows if row.trade_time < end)
        asked = dict(call.query)
        following: RestCall | None = None
        if rows:
            # From the first trade on by their numbers: no window is empty then, and none too full.
            whole = len(rows) < _ROWS and ("fromId" in asked or int(asked["endTime"]) + 1 >= end)
            if rows[-1].trade_time < end and not whole:
                following = self._call(
                    "trades", "", end, market, self.TRADES_WEIGHT, fromId=rows[-1].aggregate_id + 1, limit=_ROWS
                )
        elif "endTime" in asked and int(asked["endTime"]) + 1 < end and int(asked["endTime"]) * MILLISECOND < ts:
            following = self._trades(market, int(asked["endTime"]) + 1, end)
        return HistoryPage(trades=tuple(trade for trade in trades if trade is not None), next=following)

    def _made(self, row: AggregateTradeRow, market: str, ts: int) -> Trade | None:
        event = AggregateTrade(
            event_time=row.trade_time,
            aggregate_id=row.aggregate_id,
            symbol=self.SESSION.symbol_of(market),
            price=row.price,
            quantity=row.quantity,
            trade_time=row.trade_time,
            buyer_is_maker=row.buyer_is_maker,
        )
        return self.codec.aggregate_trade(event, market, "", ts)

    def _funding(self, market: str, first: int, end: int) -> RestCall:
        return self._call("funding", "", end, market, 1, startTime=first, endTime=end - 1, limit=_ROWS)

    def _read_funding(self, call: RestCall, end: int, body: bytes, ts: int) -> HistoryPage:
        rows = decode_funding(body)
        paid = tuple(self._paid(rows, call.market, ts))
        more = len(rows) >= _ROWS and rows[-1].funding_time + 1 < end
        return HistoryPage(
            funding=paid, next=self._funding(call.market, rows[-1].funding_time + 1, end) if more else None
        )

    def _paid(self, rows: Iterable[FundingRow], market: str, ts: int) -> Iterable[Funding]:
        """What was paid, at `next_ts`."""
        for row in rows:
            scaled(row.funding_rate)
            at = event_time(row.funding_time)
            yield Funding(
                market=market,
                rate=plain(row.funding_rate),
                next_ts=at,
                mark_price=price_nanos(row.mark_price, self.faults) if row.mark_price else None,
                index_price=None,
                ts_event=at,
                ts_recv=ts,
            )


class BinanceSpotRest(_BinanceRest):
    """Spot. There is no funding."""

    VENUE = BinanceSpotSession.VENUE
    REST_URL = BinanceSpotSession.REST_URL
    BUDGETS: ClassVar[tuple[tuple[str, float, float], ...]] = BinanceSpotSession.BUDGETS
    KINDS: ClassVar[frozenset[HistoryKind]] = frozenset({"bars", "trades"})
    INTERVALS: ClassVar[tuple[str, ...]] = INTERVALS
    SESSION = BinanceSpotSession
    PREFIX = "/api/v3"
    KIND = "spot"
    INFO_WEIGHT = 20
    KLINES_WEIGHT = 2
    TRADES_WEIGHT = 4


class BinanceUsdmRest(_BinanceRest):
    """USD-M futures."""

    VENUE = BinanceUsdmSession.VENUE
    REST_URL = BinanceUsdmSession.REST_URL
    BUDGETS: ClassVar[tuple[tuple[str, float, float], ...]] = BinanceUsdmSession.BUDGETS
    SESSION = BinanceUsdmSession
    PREFIX = "/fapi/v1"
    KIND = "usdm"


class BinanceCoinmRest(_BinanceRest):
    """COIN-M futures. Of a span with more bars than asked for it gives the last ones, so each call asks for fewer."""

    VENUE = BinanceCoinmSession.VENUE
    REST_URL = BinanceCoinmSession.REST_URL
    BUDGETS: ClassVar[tuple[tuple[str, float, float], ...]] = BinanceCoinmSession.BUDGETS
    SESSION = BinanceCoinmSession
    PREFIX = "/dapi/v1"
    KIND = "coinm"

    def _last(self, interval: str, first: int, end: int) -> int:
        # It takes no span of more than 200 days.
        return min(end, first + _ROWS * shortest_ms(interval), first + 200 * DAY_MS) - 1
