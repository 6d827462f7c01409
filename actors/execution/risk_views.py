"""Markets, risk and sizes as an account sees them: views of an engine. A core."""

from __future__ import annotations

from typing import Final

import msgspec

from actors.execution.account_views import text
from actors.execution.engine import Engine
from actors.execution.risk.notional import worth
from actors.execution.risk.sizing import size_for_risk
from protocols.control import Refused
from protocols.execution import HoldingShown, MarketShown, PositionSized, RiskShown, SizePosition
from protocols.nanos import NANO, decimal_text

ALL: Final = 1.0


def market_shown(engine: Engine, market: str) -> MarketShown:
    """A market that has a definition."""
    instrument = engine.instruments[market]
    mark = engine.marks.get(market)
    return MarketShown(
        instrument=instrument,
        bid=None if mark is None else mark.bid,
        bid_size=0 if mark is None else mark.bid_size,
        ask=None if mark is None else mark.ask,
        ask_size=0 if mark is None else mark.ask_size,
        last=None if mark is None else mark.last,
        ts=0 if mark is None else mark.ts,
        rate=engine.rate(instrument.currency),
        volatility=engine.volatility(market),
        is_open=engine.is_open(market),
    )


def risk_shown(engine: Engine) -> RiskShown:
    """What risk is measured by."""
    account = engine.account
    return RiskShown(
        account=engine.blotter.account,
        currency=engine.settings.account.currency,
        equity=_nanos(account.equity()),
        day_start=_nanos(account.curve.day_start),
        peak=_nanos(account.curve.peak),
        margin_used=_nanos(engine.margin_used()),
        open_orders=len(engine.blotter.open),
        holdings=tuple(_holding(engine, each.market, each.quantity) for each in account.positions() if each.quantity),
        limits=msgspec.Raw(msgspec.json.encode(engine.gate.limits())),
        deployments=tuple(
            (name, msgspec.Raw(msgspec.json.encode(engine.gate.limits(name)))) for name in engine.deployments
        ),
        denied=tuple(sorted(engine.gate.denied.items())),
        ts=engine.now,
    )


def _holding(engine: Engine, market: str, quantity: int) -> HoldingShown:
    instrument = engine.instruments.get(market)
    mark = engine.marks.get(market)
    price = None if mark is None else mark.exit(quantity)
    rate = None if instrument is None else engine.rate(instrument.currency)
    known = instrument is not None and price is not None and rate is not None
    value = worth(instrument, quantity, price, rate) if known else None  # type: ignore[arg-type]
    return HoldingShown(
        market=market, quantity=quantity, price=price, value=text(value), rate=rate, instrument=instrument
    )


def sized(engine: Engine, request: SizePosition) -> PositionSized:
    """How much may be traded so that a stop loses a share of the equity.

    Without a stop everything that a long position costs may be lost; a short one has no such bound, and no size.
    Raises Refused `invalid`, `instrument_unknown`.
    """
    instrument = engine.instruments.get(request.market)
    if instrument is None:
        raise Refused("instrument_unknown", f"nothing is known of {request.market}", "symbol")
    buys = request.side == "buy"
    price, equity = engine.reference_price(request.market, request.side), engine.equity()
    rate = engine.rate(instrument.currency)
    stop = request.stop_price
    if stop is None and price is not None:
        if request.stop_share is not None:
            away = price * request.stop_share // NANO
            stop = _on_step(engine, request.market, price - away if buys else price + away)
        elif buys or instrument.kind == "prediction":
            stop = 0 if buys else NANO
    missing = tuple(
        name for name, value in (("price", price), ("equity", equity), ("rate", rate), ("stop", stop)) if value is None
    )
    if price is None or equity is None or rate is None or stop is None:
        return PositionSized(
            quantity=0,
            most=None,
            price=price,
            stop_price=stop,
            value=None,
            rationale=f"not known: {', '.join(missing)}",
            missing=missing,
        )
    if (stop < price) != buys:
        where = "below" if buys else "above"
        raise Refused("invalid", f"expected a stop {where} {decimal_text(price)}, got {decimal_text(stop)}", "stop")
    share = engine.gate.limits().nanos("max_position_share")
    most = ALL if share is None else min(ALL, share / NANO)
    try:
        found = size_for_risk(
            equity, request.risk_share / NANO, price, stop, instrument, max_position_size=most, rate=rate
        )
    except ValueError as error:
        field, _, why = str(error).partition(": ")
        raise Refused("invalid", why or str(error), field) from None
    return PositionSized(
        quantity=found.quantity,
        most=found.most,
        price=price,
        stop_price=stop,
        value=decimal_text(worth(instrument, found.quantity if buys else -found.quantity, price, rate)),
        rationale=found.rationale,
        missing=found.missing,
    )


def _on_step(engine: Engine, market: str, price: int) -> int:
    """The step next below a price: a stop is to be one that can be ordered."""
    for span in engine.instruments[market].price_ranges:
        if span.start <= price <= span.end:
            return price - (price - span.start) % span.step
    return price


def _nanos(amount: int | None) -> str | None:
    return None if amount is None else str(amount)
