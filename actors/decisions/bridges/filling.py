"""What a data aggregator knows, as raw features in the place of what a request for a decision has left out. A core.

Only what is lacking is asked for, and what the request says itself counts before it. What the aggregator does not know
stays missing. Its words are checked here, so that its mistakes are told as its own and not as the client's.

    window of bars      candles, if the newest is no older than its kind may be; a hole ends them
    totals of a symbol  as they are, if they are of the feature's own window: 4 hours of whales, one of liquidations
    single events       summed over the feature's own window; where one has no time, or an amount that would be summed
                        is missing, nothing is summed. Who is `long` or sells was long, who is `short` or buys was short
    funding             the mean of the exchanges' rates that are fresh
    on-chain addresses  nothing: a balance is none of the features
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import msgspec

from actors.decisions.features.aggregate import BLOCKS, KEYS, from_aggregate, snake
from actors.decisions.features.candles import MOST_CANDLES, from_candles
from actors.decisions.features.checking import FeatureError
from actors.decisions.features.market import EXTERNAL
from actors.decisions.features.names import FEATURE_SETS, MARKET_29
from actors.decisions.features.request import CANDLES, CLOSES
from actors.decisions.features.table import AGES, HOUR
from actors.decisions.regimes.filter import WARM_UP, RegimeFilter
from protocols.bridges import Aggregate, LargeFlow, MarketWindow, WindowBar

RESOLUTION: Final = "1h"
LENGTH: Final = HOUR
WINDOW_HOURS: Final = 96
"""34 bars warm the slowest indicator up, 25 say the change of a day; 50 are the scale by which others tell a regime."""
STALE: Final = 2 * LENGTH + HOUR // 2
"""The start of the newest bar is at most so long ago: a bar that is not complete, one that has just not come yet, and
what is kept of the aggregator's answers."""
MOST_PRICE: Final = 1e15
MOST_VOLUME: Final = 1e30
"""What the builder of features takes."""
_OF_BARS: Final = frozenset(FEATURE_SETS[MARKET_29]) - EXTERNAL
_BLOCK_FEATURES: Final = {
    block: frozenset(feature for feature, keys in KEYS.items() if keys[0] == block) for block in BLOCKS
}
_WINDOWS: Final = {
    "whales": AGES["whale_net_flow"],
    "smart_money": AGES["smart_money_net_flow"],
    "liquidations": AGES["long_liquidations"],
}
_BOUGHT: Final = frozenset({"buy", "bought"})
_SOLD: Final = frozenset({"sell", "sold"})
Block = dict[str, object]


class Lacking(msgspec.Struct, frozen=True):
    """What a request has left out: bars, and sections of an aggregate."""

    bars: bool
    sections: tuple[str, ...]


class Unusable(ValueError):
    """What the aggregator has said cannot be used; says why."""


def lacking(signal: Mapping[str, object], market: Mapping[str, object] | None) -> Lacking:
    """What the aggregator is to be asked for. A block that is there is the client's, whatever is in it."""
    known = {name for name, value in signal.items() if value is not None}
    around = {snake(name) for name, value in (market or {}).items() if value is not None}
    return Lacking(
        bars=not around & {*CANDLES, *CLOSES} and not known >= _OF_BARS,
        sections=tuple(name for name in BLOCKS if name not in around and not known >= _BLOCK_FEATURES[name]),
    )


class Bars(NamedTuple):
    """What bars say: raw fields by feature, and the regime that they end in (empty: too few of them)."""

    raw: dict[str, float]
    regimes: tuple[float, ...]


class _Known(NamedTuple):
    window: MarketWindow
    until: int
    bars: Bars


class WindowFeatures:
    """What windows say. An aggregator's answer is kept and asked for again and again: its indicators are
    computed once, and again when another of its bars is complete. At most `most` symbols; the oldest goes first."""

    def __init__(self, most: int = 256) -> None:
        self.most = most
        self.computed = 0
        self._known: dict[str, _Known] = {}

    def at(self, now: int, window: MarketWindow) -> Bars:
        """What it says at `now` (ns). Raises Unusable."""
        known = self._known.get(window.symbol)
        if known is not None and known.window is window and now < known.until:
            return known.bars
        candles = candles_of(window, now)
        try:
            told = from_candles(candles, now, "bars")
        except FeatureError as error:
            raise Unusable(str(error)) from None
        self.computed += 1
        newest = window.bars[-1].ts if window.bars else now
        ends = (bar.ts + LENGTH for bar in window.bars or ())
        until = min([newest + STALE + 1, *(end for end in ends if end > now)])
        self._known.pop(window.symbol, None)
        while len(self._known) >= self.most:
            del self._known[next(iter(self._known))]
        self._known[window.symbol] = _Known(window, until, Bars(told.raw, _regimes(told.returns)))
        return self._known[window.symbol].bars


def _regimes(returns: tuple[float, ...]) -> tuple[float, ...]:
    found: tuple[float, ...] = ()
    if len(returns) > WARM_UP:
        follow = RegimeFilter().update
        for value in returns:
            found = follow(value)
    return found


def candles_of(window: MarketWindow, now: int) -> list[dict[str, object]]:
    """The bars as candles: the newest ones without a hole. Raises Unusable."""
    if not window.bars:
        raise Unusable(f"it has no bars of {window.symbol}")
    kept = _whole(window.bars)
    if not kept:
        raise Unusable(f"the newest bar of {window.symbol} has no prices")
    age = now - kept[-1].ts
    if age > STALE:
        raise Unusable(f"its newest bar of {window.symbol} began {age / 3.6e12:.1f} hours ago")
    for place, bar in enumerate(kept):
        if not _sound(bar):
            raise Unusable(f"bar {place} of {len(kept)} of {window.symbol} cannot be: {_words(bar)}")
    return [
        {name: getattr(bar, name) for name in ("open", "high", "low", "close", "volume")} | {"timestamp": bar.ts}
        for bar in kept
    ]


def _sound(bar: WindowBar) -> bool:
    """Whether the builder of features takes it."""
    if bar.open is None or bar.high is None or bar.low is None or bar.close is None:
        return False
    low, high = min(bar.open, bar.close), max(bar.open, bar.close)
    volume = 0.0 if bar.volume is None else bar.volume
    return -MOST_PRICE <= bar.low <= low <= high <= bar.high <= MOST_PRICE and 0.0 <= volume <= MOST_VOLUME


def _words(bar: WindowBar) -> str:
    return ", ".join(f"{name} {getattr(bar, name)}" for name in ("open", "high", "low", "close", "volume"))


def _whole(bars: tuple[WindowBar, ...]) -> list[WindowBar]:
    """The newest bars that follow one another, each with its prices."""
    kept: list[WindowBar] = []
    for bar in reversed(bars[-MOST_CANDLES:]):
        if None in (bar.open, bar.high, bar.low, bar.close) or (kept and kept[-1].ts - bar.ts != LENGTH):
            break
        kept.append(bar)
    return kept[::-1]


def figures_of(found: Aggregate, symbol: str, now: int, sections: Iterable[str] = BLOCKS) -> dict[str, float]:
    """The raw features of the symbol that these sections have. Raises Unusable for a figure out of its range."""
    blocks = blocks_of(found, symbol, now)
    try:
        return from_aggregate({name: blocks[name] for name in sections if name in blocks}, symbol, now)
    except FeatureError as error:
        raise Unusable(str(error)) from None


def blocks_of(found: Aggregate, symbol: str, now: int) -> dict[str, Block]:
    """What is known of the symbol, as blocks of `market_data`; a section without anything is left out."""
    events = {
        "whales": _flows(found.whales, symbol, now, "whales"),
        "funding": _funding(found, symbol, now),
        "smart_money": _flows(found.smart_money, symbol, now, "smart_money"),
        "liquidations": _liquidations(found, symbol, now),
    }
    kept: dict[str, Block] = {}
    for name in BLOCKS:
        if block := _totals(found, name, symbol) or events.get(name):
            kept[name] = block
    return kept


def _totals(found: Aggregate, section: str, symbol: str) -> Block:
    """What an aggregator that answers by symbol says, if it counts over the feature's own window."""
    said: Block = {each.name: each.value for each in found.figures if (each.section, each.symbol) == (section, symbol)}
    hours = said.get("window_hours")
    if hours is not None and section in _WINDOWS and hours != _WINDOWS[section] / HOUR:
        return {}
    return said


def _liquidations(found: Aggregate, symbol: str, now: int) -> Block:
    events = _recent(found.liquidations, symbol, now, "liquidations")
    if events is None:
        return {}
    longs = _sum(event for event in events if _kind(event) in {"long", *_SOLD})
    shorts = _sum(event for event in events if _kind(event) in {"short", *_BOUGHT})
    told = all(_kind(event) in {"long", "short", *_SOLD, *_BOUGHT} for event in events)
    return {"longs": longs, "shorts": shorts} if told and longs is not None and shorts is not None else {}


def _flows(events: tuple[LargeFlow, ...] | None, symbol: str, now: int, block: str) -> Block:
    """Trades as sums by side; whales are counted, too."""
    recent = _recent(events, symbol, now, block)
    if recent is None:
        return {}
    said: Block = {"count": len(recent)} if block == "whales" else {}
    bought = _sum(event for event in recent if _kind(event) in _BOUGHT)
    sold = _sum(event for event in recent if _kind(event) in _SOLD)
    if bought is not None and sold is not None:
        said |= {"bought": bought, "sold": sold}
    return said


def _recent(events: tuple[LargeFlow, ...] | None, symbol: str, now: int, block: str) -> list[LargeFlow] | None:
    """Those of the symbol within the block's window; None: not known, for one does not say when it was."""
    if events is None:
        return None
    mine = [event for event in events if event.symbol in (None, symbol)]
    if any(event.ts is None for event in mine):
        return None
    return [event for event in mine if event.ts is not None and now - _WINDOWS[block] <= event.ts <= now]


def _kind(event: LargeFlow) -> str:
    return (event.kind or "").lower()


def _sum(events: Iterable[LargeFlow]) -> float | None:
    total = 0.0
    for event in events:
        if event.amount_usd is None:
            return None
        total += event.amount_usd
    return total


def _funding(found: Aggregate, symbol: str, now: int) -> Block:
    rates = [
        each.rate
        for each in found.funding or ()
        if each.rate is not None
        and each.symbol in (None, symbol)
        and (each.ts is None or now - each.ts <= AGES["funding_rate"])
    ]
    return {"rate": sum(rates) / len(rates)} if rates else {}
