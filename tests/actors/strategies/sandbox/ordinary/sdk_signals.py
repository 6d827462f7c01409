"""Signals of the SDK as objects, from a function."""

from actors.strategies.sdk import Bars, Signal, SignalError


def of(bars: Bars) -> Signal | None:
    last = bars.last
    body = last.close - last.open
    if abs(body) < 0.05:
        return None
    try:
        Signal(action="BUY", confidence=2.0)
    except SignalError as error:
        assert error.field == "confidence"
    return Signal(
        action="BUY" if body > 0 else "SELL",
        symbol=bars.symbol,
        confidence=min(abs(body), 1.0),
        max_slippage=0.001,
        order_type="LIMIT",
        price_target=last.close,
        time_in_force="IOC",
        metadata={"at": last.at.isoformat()},
    )


def generate_signals(data, parameters):
    return [signal for bars in data.values() if (signal := of(bars)) is not None]
