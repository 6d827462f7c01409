"""Reads what a data aggregator answers: bytes to messages.

A section of an aggregate is a list of single events, as the old service has it, or totals by symbol, as a node of ours
answers at the same path; there each symbol says by itself whether it is `available` or `missing`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

import msgspec

from actors.decisions.bridges.answers import Malformed, Moment, decode, moment, payload
from protocols.bridges import (
    Aggregate,
    AggregateSymbols,
    FlowTotals,
    FundingRate,
    GetMarketWindow,
    LargeFlow,
    MarketWindow,
    OnChainActivity,
    SymbolFigure,
    WindowBar,
)

E = TypeVar("E")
Indicators = dict[str, float | None]
FRESH: Final = frozenset({"live", "missing"})
SECTIONS: Final = ("onchain", "whales", "funding", "smart_money", "liquidations")
_CAMEL: Final = {"smart_money": "smartMoney"}


class _Bar(msgspec.Struct, frozen=True):
    timestamp: Moment
    open: float | None = None
    high: float | None = None
    low: float | None = None
    close: float | None = None
    volume: float | None = None
    indicators: Indicators | None = None
    synthetic: bool = False
    marks: tuple[str, ...] = ()


class _Origin(msgspec.Struct, frozen=True):
    freshness: str = "live"
    synthetic: bool = False
    marks: tuple[str, ...] = ()

    def told(self) -> set[str]:
        """All marks, freshness among them."""
        stale = set() if self.freshness in FRESH else {self.freshness}
        return {*self.marks, *stale, *(("synthetic",) if self.synthetic else ())}


class _Window(msgspec.Struct, frozen=True):
    bars: tuple[_Bar, ...] | None = None
    data: tuple[_Bar, ...] | None = None
    indicators: Indicators | None = None
    origin: _Origin = _Origin()


def market_window(body: bytes, asked: GetMarketWindow, now: int) -> MarketWindow:
    """Bars as a list, or below `bars` or `data`; indicators beside them or in each. Raises Malformed, SaidNo."""
    inside = payload(body)
    if inside.lstrip().startswith(b"["):
        found = _Window(bars=decode(inside, tuple[_Bar, ...]))
    else:
        found = decode(inside, _Window)
    bars = found.data if found.bars is None else found.bars
    if bars is None and found.indicators is None:
        raise Malformed("neither bars nor indicators are in it")
    made = None if bars is None else tuple(sorted((_bar(each) for each in bars), key=lambda bar: bar.ts))
    marks = found.origin.told()
    for bar in bars or ():
        marks.update(bar.marks, ("synthetic",) if bar.synthetic else ())
    newest = made[-1].indicators if made else None
    return MarketWindow(
        symbol=asked.symbol,
        bars=made,
        indicators=newest if found.indicators is None else _pairs(found.indicators),
        marks=tuple(sorted(marks)),
        ts_recv=now,
    )


def _bar(bar: _Bar) -> WindowBar:
    return WindowBar(
        ts=moment(bar.timestamp),
        open=bar.open,
        high=bar.high,
        low=bar.low,
        close=bar.close,
        volume=bar.volume,
        indicators=None if bar.indicators is None else _pairs(bar.indicators),
    )


def _pairs(indicators: Indicators) -> tuple[tuple[str, float | None], ...]:
    return tuple(sorted(indicators.items()))


class _Metadata(msgspec.Struct, frozen=True):
    sources: tuple[str, ...] | None = None
    reliability: float | None = None


# By symbol.


class _Total(msgspec.Struct, frozen=True):
    status: str = "available"
    rate: float | None = None
    count: int | None = None
    window_hours: float | None = None
    bought: float | None = None
    sold: float | None = None
    longs: float | None = None
    shorts: float | None = None
    origin: _Origin | None = None


# Single events.


class _OnChain(msgspec.Struct, frozen=True, rename="camel"):
    symbol: str | None = None
    address: str | None = None
    chain: str | None = None
    balance_usd: float | None = None
    transaction_count: int | None = None
    last_activity: Moment | None = None


class _Flow(msgspec.Struct, frozen=True, rename="camel"):
    symbol: str | None = None
    type: str | None = None
    action: str | None = None
    side: str | None = None
    amount_usd: float | None = None
    price: float | None = None
    timestamp: Moment | None = None


class _Funding(msgspec.Struct, frozen=True, rename="camel"):
    symbol: str | None = None
    exchange: str | None = None
    rate: float | None = None
    timestamp: Moment | None = None


class _Aggregate(msgspec.Struct, frozen=True, rename="camel"):
    onchain: tuple[_OnChain, ...] | dict[str, _Total] | None = None
    whales: tuple[_Flow, ...] | dict[str, _Total] | None = None
    funding: tuple[_Funding, ...] | dict[str, _Total] | None = None
    smart_money: tuple[_Flow, ...] | dict[str, _Total] | None = None
    liquidations: tuple[_Flow, ...] | dict[str, _Total] | None = None
    metadata: _Metadata = _Metadata()


def aggregate(body: bytes, asked: AggregateSymbols, now: int) -> Aggregate:
    """The sections that were asked for, and which are `missing`. Raises Malformed, SaidNo."""
    inside = payload(body)
    found = decode(inside, _Aggregate)
    funding = found.funding
    return Aggregate(
        symbols=asked.symbols,
        onchain=_events(found.onchain, _on_chain),
        whales=_events(found.whales, _flow),
        funding=tuple(FundingRate(symbol=symbol, rate=each.rate) for symbol, each in _available(funding))
        if isinstance(funding, dict)
        else _events(funding, _funding),
        smart_money=_events(found.smart_money, _flow),
        liquidations=_events(found.liquidations, _flow),
        whale_totals=_totals(found.whales, lambda each: (each.bought, each.sold)),
        liquidation_totals=_totals(found.liquidations, lambda each: (each.shorts, each.longs)),
        figures=tuple(_figures(found, decode(inside, dict[str, msgspec.Raw]))),
        missing=tuple(_missing(found, asked)),
        marks=tuple(sorted(_marks(found))),
        sources=found.metadata.sources,
        reliability=found.metadata.reliability,
        ts_recv=now,
    )


def _figures(found: _Aggregate, raw: dict[str, msgspec.Raw]) -> Iterable[SymbolFigure]:
    """Every number of the sections that are by symbol, of the symbols that are available."""
    for name in SECTIONS:
        section = getattr(found, name)
        if not isinstance(section, dict):
            continue
        numbers = decode(bytes(raw[_CAMEL.get(name, name)]), dict[str, dict[str, Any]])
        for symbol, _ in _available(section):
            for key, value in sorted(numbers[symbol].items()):
                if isinstance(value, int | float) and not isinstance(value, bool):
                    yield SymbolFigure(name, symbol, key, value)


def _missing(found: _Aggregate, asked: AggregateSymbols) -> Iterable[str]:
    for name in SECTIONS:
        if not getattr(asked, name):
            continue
        section = getattr(found, name)
        if section is None:
            yield name
        elif isinstance(section, dict):
            there = {symbol for symbol, _ in _available(section)}
            yield from (f"{name}:{symbol}" for symbol in asked.symbols if symbol not in there)


def _marks(found: _Aggregate) -> set[str]:
    sections = (getattr(found, name) for name in SECTIONS)
    totals = (each for section in sections if isinstance(section, dict) for _, each in _available(section))
    return {mark for each in totals if each.origin is not None for mark in each.origin.told()}


def _available(section: dict[str, _Total]) -> list[tuple[str, _Total]]:
    return [(symbol, each) for symbol, each in sorted(section.items()) if each.status == "available"]


def _totals(
    section: tuple[Any, ...] | dict[str, _Total] | None, sides: Callable[[_Total], tuple[float | None, float | None]]
) -> tuple[FlowTotals, ...] | None:
    if not isinstance(section, dict):
        return None
    made = []
    for symbol, each in _available(section):
        bought, sold = sides(each)
        made.append(
            FlowTotals(symbol=symbol, count=each.count, bought=bought, sold=sold, window_hours=each.window_hours)
        )
    return tuple(made)


def _events(section: tuple[Any, ...] | dict[str, _Total] | None, make: Callable[[Any], E]) -> tuple[E, ...] | None:
    return tuple(make(each) for each in section) if isinstance(section, tuple) else None


def _on_chain(found: _OnChain) -> OnChainActivity:
    return OnChainActivity(
        symbol=found.symbol,
        address=found.address,
        chain=found.chain,
        balance_usd=found.balance_usd,
        transaction_count=found.transaction_count,
        ts=_maybe(found.last_activity),
    )


def _flow(found: _Flow) -> LargeFlow:
    kinds = (found.type, found.action, found.side)
    return LargeFlow(
        symbol=found.symbol,
        kind=next((kind for kind in kinds if kind is not None), None),
        amount_usd=found.amount_usd,
        price=found.price,
        ts=_maybe(found.timestamp),
    )


def _funding(found: _Funding) -> FundingRate:
    return FundingRate(symbol=found.symbol, exchange=found.exchange, rate=found.rate, ts=_maybe(found.timestamp))


def _maybe(value: Moment | None) -> int | None:
    return None if value is None else moment(value)
