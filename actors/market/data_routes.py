"""The routes of the market data connector: bars with indicators of one symbol, and what is known of several.

What nobody provides is marked as missing, with the reason, and never 0. Each value says where it is from, how old it
is, and whether it is made up.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from actors.edge.call import Call
from actors.edge.errors import HttpError
from actors.edge.routing import Route, get, post
from actors.market.bars import volume_nanos
from actors.market.bars_history import find_bars
from actors.market.bars_intervals import Interval
from actors.market.data_routes_bodies import (
    AggregateBody,
    AggregateMetadata,
    AggregateRequest,
    FundingBody,
    LiquidationsBody,
    MarketDataBody,
    MarketDataQuery,
    MarketDataRow,
    MissingBody,
    WhalesBody,
)
from actors.market.indicators import make
from actors.market.routes_bodies import (
    MS,
    Origin,
    digits,
    iso,
    joined_marks,
    known_interval,
    number,
    origin,
    origin_of_bars,
    venue_name,
)
from actors.market.stored_book import venue_of
from protocols.control import Refused, Unknown
from protocols.market import DELAYED, SYNTHETIC, Bar, ListMarkets, MarketSummary
from protocols.market_data import DERIVATIVES, DerivativesView, GetDerivatives
from protocols.nanos import NANO
from protocols.paths import MARKET_INDEX
from protocols.providers import PROVIDERS, GetProvidedBars, ProvidedBars

TAGS: Final = ("market data",)
HOUR: Final = 3600 * NANO
WARM_UP_BARS: Final = 250
"""Bars before the window that indicators are fed first: of the longest average here nothing is left to tell by then."""
MOST_BARS: Final = 5000
WHALES_S: Final = 4 * 3600
LIQUIDATIONS_S: Final = 3600
PROVIDERS_S: Final = 20.0
FUNDING_VENUE: Final = "binance-usdm"
INDICATORS: Final[tuple[tuple[str, str, dict[str, Any]], ...]] = (
    ("sma_20", "sma", {"period": 20}),
    ("ema_12", "ema", {"period": 12}),
    ("ema_26", "ema", {"period": 26}),
    ("rsi_14", "rsi", {"period": 14}),
    ("macd", "macd", {"fast": 12, "slow": 26, "signal": 9}),
    ("bollinger", "bollinger", {"period": 20}),
    ("atr_14", "atr", {"period": 14}),
    ("adx_14", "adx", {"period": 14}),
    ("stoch", "stoch", {"k": 14, "slow_k": 3, "d": 3}),
    ("mom_10", "mom", {"period": 10}),
    ("roc_10", "roc", {"period": 10}),
    ("volatility_20", "volatility", {"period": 20}),
    ("vwap_20", "vwap", {"period": 20}),
)
"""Name of the column, indicator, parameters. Of several outputs each has a column `<name>_<output>`."""

_NO_ONCHAIN: Final = "no provider of on-chain figures is connected"
_NO_SMART_MONEY: Final = "no provider of smart money flows is connected"


async def market_data(request: MarketDataQuery, call: Call) -> MarketDataBody:
    """Bars of a symbol in the last hours, with indicators."""
    interval = known_interval(request.resolution, "resolution")
    if interval.kind != "time":
        raise HttpError(400, "invalid", "expected an interval of time", "resolution")
    window = round(request.window_hours * HOUR)
    if window // interval.length > MOST_BARS - WARM_UP_BARS:
        most = f"expected at most {MOST_BARS - WARM_UP_BARS} bars, got {window // interval.length}"
        raise HttpError(400, "invalid", most, "window_hours")
    now = call.node.clock.now()
    warm_up = WARM_UP_BARS * interval.length if request.include_indicators else 0
    markets = (await call.ref(MARKET_INDEX).ask(ListMarkets())).markets
    summary = resolved(request.symbol, markets)
    provided, missing = None, {}
    if summary is None or summary.market != request.symbol:
        provided, reason = await _provided(call, request.symbol, interval, now - window - warm_up, now)
        missing = {"providers": reason} if reason else {}
    if provided is not None:
        end, bars = now, provided.bars
        missing = {name: f"passed over: {why}" for name, why in provided.passed_over}
        market, source = provided.provider, provided_origin(provided)
    elif summary is not None:
        # What is played again has its own time.
        end = summary.quote.ts_recv if summary.quote is not None and DELAYED in summary.marks else now
        found = await find_bars(call.ref, summary.market, interval, end - window - warm_up, end, MOST_BARS)
        bars, market = found.bars, summary.market
        missing |= {"bars": found.missing} if found.missing else {}
        shown = [bar for bar in bars if bar.start >= end - window]
        source = origin_of_bars(summary.feed, summary.market, shown, summary.marks, now)
    else:
        raise HttpError(404, "not_found", f"no feed has a market of the symbol {request.symbol[:100]!r}", "symbol")
    start = end - window
    columns: Sequence[dict[str, float | None] | None] = (
        indicator_columns(bars) if request.include_indicators else (None,) * len(bars)
    )
    rows = tuple(_row(bar, row) for bar, row in zip(bars, columns, strict=True) if bar.start >= start)
    first = next((bar.start for bar in bars if bar.start >= start), None)
    if first is None:
        missing.setdefault("bars", f"no bars of {interval.name} in the window are built, sent by the venue or stored")
    elif first - start >= interval.length:
        missing.setdefault("bars", f"nothing is known before {iso(first)}")
    return MarketDataBody(
        symbol=request.symbol,
        market=market,
        resolution=interval.name,
        window_hours=request.window_hours,
        start=iso(start),
        end=iso(end),
        data=rows,
        warm_up_start=iso(bars[0].start) if bars and request.include_indicators else None,
        origin=source,
        missing=missing,
    )


def provided_origin(provided: ProvidedBars) -> Origin:
    """The origin of bars that came from the provider that was chosen for a symbol."""
    marks = joined_marks(bar.marks for bar in provided.bars)
    return Origin(
        source=provided.provider,
        venue=venue_name(provided.provider, marks),
        freshness=provided.freshness if provided.bars else "missing",
        age_ms=None if provided.age is None else provided.age // MS,
        synthetic=SYNTHETIC in marks,
        marks=marks,
    )


async def _provided(
    call: Call, symbol: str, interval: Interval, start: int, end: int
) -> tuple[ProvidedBars | None, str]:
    """Bars of the provider that is chosen for a symbol; or None, and why it has providers but no bars."""
    try:
        request = GetProvidedBars(symbol, interval.name, start, end)
        return await call.ref(PROVIDERS).ask(request, PROVIDERS_S), ""
    except Refused as refused:
        # Nobody provides it, or there are no providers at all.
        return None, refused.message if refused.code == "unavailable" else ""
    except Unknown as unknown:
        return None, f"the providers of it do not answer: {unknown}"


async def aggregate(request: AggregateRequest, call: Call) -> AggregateBody:
    """Funding, liquidations and large trades of several symbols; on-chain figures and smart money are missing."""
    options, symbols = request.options, tuple(dict.fromkeys(request.symbols))
    markets = (await call.ref(MARKET_INDEX).ask(ListMarkets())).markets
    now = call.node.clock.now()
    funding: dict[str, FundingBody] = {}
    whales: dict[str, WhalesBody] = {}
    liquidations: dict[str, LiquidationsBody] = {}
    for symbol in symbols:
        perpetual, traded = resolved(symbol, markets, FUNDING_VENUE), resolved(symbol, markets)
        if options.include_funding or options.include_liquidations:
            view, reason = await _derivatives(perpetual, call)
            reason = reason if perpetual else f"no feed of {FUNDING_VENUE} follows a market of {symbol[:100]!r}"
            funding[symbol] = _funding(view, perpetual, reason, now)
            liquidations[symbol] = _liquidations(view, perpetual, reason, now)
        if options.include_whales:
            view, reason = await _derivatives(traded, call)
            reason = reason if traded else f"no feed follows a market of {symbol[:100]!r}"
            whales[symbol] = _whales(view, traded, reason, now)
    found = AggregateBody(
        onchain={symbol: MissingBody(_NO_ONCHAIN) for symbol in symbols} if options.include_onchain else None,
        whales=whales if options.include_whales else None,
        funding=funding if options.include_funding else None,
        smart_money={symbol: MissingBody(_NO_SMART_MONEY) for symbol in symbols}
        if options.include_smart_money
        else None,
        liquidations=liquidations if options.include_liquidations else None,
        metadata=_metadata((), now),
    )
    sections = (found.onchain, found.whales, found.funding, found.smart_money, found.liquidations)
    return msgspec.structs.replace(found, metadata=_metadata([each for each in sections if each is not None], now))


def resolved(symbol: str, markets: Sequence[MarketSummary], venue: str = "") -> MarketSummary | None:
    """The market that a symbol means: its name, the venue's symbol, or the base of one in dollars.

    Of several the one with the closest name, then by name. `venue`: only of this one.
    """
    ranked = [
        (rank, each.market, each)
        for each in markets
        if (not venue or venue_name(each.market, each.marks) == venue)
        and (rank := _closeness(symbol, each.market)) is not None
    ]
    return min(ranked, key=lambda each: each[:2])[2] if ranked else None


def _closeness(symbol: str, market: str) -> int | None:
    if symbol == market:
        return 0
    name = market.rpartition(".")[0] if venue_of(market) else market
    wanted, plain = _letters(symbol), _letters(name)
    if not wanted:
        return None
    for rank, candidate in enumerate((wanted, f"{wanted}USDT", f"{wanted}USD", f"{wanted}USDC"), 1):
        if plain == candidate:
            return rank
    return None


def _letters(symbol: str) -> str:
    return re.sub(r"[^A-Z0-9]", "", symbol.upper())


def indicator_columns(bars: Sequence[Bar]) -> list[dict[str, float | None]]:
    """The values of all indicators at the end of each bar, begun at the first one. None: warming up or not defined."""
    made = [(column, make(name, **parameters)) for column, name, parameters in INDICATORS]
    found: list[dict[str, float | None]] = []
    for bar in bars:
        fields = {
            "high": bar.high / NANO,
            "low": bar.low / NANO,
            "close": bar.close / NANO,
            "volume": volume_nanos(bar) / NANO if bar.volume else None,
        }
        row: dict[str, float | None] = {}
        for column, indicator in made:
            inputs = [value for name in indicator.INPUTS if (value := fields[name]) is not None]
            value = indicator.update(*inputs) if len(inputs) == len(indicator.INPUTS) else None
            if len(indicator.OUTPUTS) == 1:
                row[column] = value
            else:
                values = value or (None,) * len(indicator.OUTPUTS)
                row |= {_column(column, name): each for name, each in zip(indicator.OUTPUTS, values, strict=True)}
        row["bollinger_position"] = _position(row, bar.close / NANO)
        found.append(row)
    return found


def _column(name: str, output: str) -> str:
    return name if output in name else f"{name}_{output}"


def _position(row: dict[str, float | None], close: float) -> float | None:
    upper, lower = row["bollinger_upper"], row["bollinger_lower"]
    if upper is None or lower is None or upper <= lower:
        return None
    return (close - lower) / (upper - lower)


def _row(bar: Bar, indicators: dict[str, float | None] | None) -> MarketDataRow:
    return MarketDataRow(
        timestamp=iso(bar.start),
        open=number(bar.open),
        high=number(bar.high),
        low=number(bar.low),
        close=number(bar.close),
        volume=digits(bar.volume),
        trades=bar.trades,
        vwap=number(bar.vwap),
        empty=bar.empty,
        synthetic="synthetic" in bar.marks,
        marks=bar.marks,
        indicators=indicators,
    )


async def _derivatives(summary: MarketSummary | None, call: Call) -> tuple[DerivativesView | None, str]:
    if summary is None:
        return None, ""
    try:
        request = GetDerivatives(summary.market, LIQUIDATIONS_S, WHALES_S)
        return await call.ref(DERIVATIVES).ask(request), ""
    except (Refused, Unknown) as error:
        return None, f"{DERIVATIVES} does not answer: {error}"


def _missing(view: DerivativesView | None, field: str, reason: str) -> str:
    return reason if view is None else dict(view.missing).get(field, "")


def _funding(view: DerivativesView | None, summary: MarketSummary | None, reason: str, now: int) -> FundingBody:
    market = summary.market if summary else None
    if view is None or summary is None or view.funding is None:
        why = _missing(view, "funding", reason)
        return FundingBody("missing", why, market, None, None, None, None, None)
    told = view.funding
    return FundingBody(
        "available", "", market, digits(told.rate), told.next_ts, number(told.mark_price), number(told.index_price),
        origin(summary.feed, told.market, told.marks, told.ts_recv, now),
    )  # fmt: skip


def _liquidations(
    view: DerivativesView | None, summary: MarketSummary | None, reason: str, now: int
) -> LiquidationsBody:
    market, hours = summary.market if summary else None, LIQUIDATIONS_S / 3600
    if view is None or summary is None or view.liquidations is None:
        why = _missing(view, "liquidations", reason)
        return LiquidationsBody("missing", why, market, hours, None, None, None, None, None, None)
    told = view.liquidations
    ts_recv = told.last.ts_recv if told.last is not None else view.watched_from
    return LiquidationsBody(
        "available", "", market, hours, view.watched_from, told.count, digits(told.longs), digits(told.shorts),
        number(told.last.price) if told.last is not None else None,
        origin(summary.feed, summary.market, view.marks, ts_recv, now),
    )  # fmt: skip


def _whales(view: DerivativesView | None, summary: MarketSummary | None, reason: str, now: int) -> WhalesBody:
    market, hours = summary.market if summary else None, WHALES_S / 3600
    if view is None or summary is None or view.large_trades is None:
        why = _missing(view, "large_trades", reason)
        return WhalesBody("missing", why, market, None, hours, None, None, None, None, None, None, None, None)
    told = view.large_trades
    largest = told.largest
    ts_recv = largest.ts_recv if largest is not None else view.watched_from
    return WhalesBody(
        "available", "", market, digits(view.large_notional), hours, view.watched_from, told.count,
        digits(told.bought), digits(told.sold), digits(told.unknown),
        number(largest.price) if largest is not None else None,
        number(largest.size) if largest is not None else None,
        origin(summary.feed, summary.market, view.marks, ts_recv, now),
    )  # fmt: skip


def _metadata(sections: Iterable[Mapping[str, Any]], now: int) -> AggregateMetadata:
    values = [each for section in sections for each in section.values()]
    there = [each for each in values if each.status == "available"]
    return AggregateMetadata(
        sources=tuple(sorted({each.origin.source for each in there})),
        reliability=round(len(there) / len(values), 4) if values else 0.0,
        timestamp=iso(now),
        available=len(there),
        wanted=len(values),
    )


routes: list[Route] = [
    get("/api/data/market/{symbol}", market_data, summary="Bars of a symbol, with indicators", tags=TAGS),
    post(
        "/api/data/aggregate",
        aggregate,
        summary="Funding, liquidations and large trades of several symbols",
        tags=TAGS,
        token=False,
        stores=False,
    ),
]
