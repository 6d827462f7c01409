"""Tracks whose every price is known."""

from __future__ import annotations

from collections.abc import Sequence

from actors.agents.environment.tracks import Track
from protocols.instruments import Instrument, PriceRange
from protocols.market import SYNTHETIC, Bar, Quote
from protocols.nanos import NANO

HOUR = 3600 * NANO
MARKET = "TEST"


def instrument(fee: str = "0.001") -> Instrument:
    return Instrument(
        market=MARKET,
        symbol=MARKET,
        venue="test",
        kind="equity",
        currency="USD",
        price_ranges=(PriceRange(0, 1000 * NANO, NANO // 100),),
        lot=NANO,
        maker_fee=fee,
        taker_fee=fee,
        status="open",
        source="test",
    )


def bar(place: int, opened: float, closed: float, start: int = 0) -> Bar:
    begin = start + place * HOUR
    return Bar(
        market=MARKET,
        interval="1h",
        start=begin,
        end=begin + HOUR,
        open=round(opened * NANO),
        high=round(max(opened, closed) * NANO),
        low=round(min(opened, closed) * NANO),
        close=round(closed * NANO),
        volume="10",
        trades=None,
        vwap=None,
        source="venue",
        ts_recv=begin + HOUR,
        marks=(SYNTHETIC,),
    )


def barred(closes: Sequence[float], *, settlement: int | None = None, fee: str = "0.001") -> Track:
    """Bars that open where the one before closed."""
    bars = tuple(bar(place, closes[max(0, place - 1)], close) for place, close in enumerate(closes))
    return Track(name="known", instrument=instrument(fee), bars=bars, settlement=settlement, marks=(SYNTHETIC,))


def quote(ts: int, bid: float | None, ask: float | None, size: int = 1_000_000) -> Quote:
    return Quote(
        market=MARKET,
        bid=None if bid is None else round(bid * NANO),
        bid_size=0 if bid is None else size * NANO,
        ask=None if ask is None else round(ask * NANO),
        ask_size=0 if ask is None else size * NANO,
        session="test",
        seq=ts,
        ts_event=ts,
        ts_recv=ts,
    )


def quoted(prices: Sequence[tuple[float | None, float]], fee: str = "0.001") -> Track:
    """One quote a bar, at its end."""
    middles = [ask if bid is None else (bid + ask) / 2 for bid, ask in prices]
    bars = tuple(bar(place, middles[max(0, place - 1)], middle) for place, middle in enumerate(middles))
    quotes = tuple((quote((place + 1) * HOUR, bid, ask),) for place, (bid, ask) in enumerate(prices))
    return Track(name="known", instrument=instrument(fee), bars=bars, quotes=quotes, marks=(SYNTHETIC,))
