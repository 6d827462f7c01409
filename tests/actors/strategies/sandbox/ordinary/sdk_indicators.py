"""Indicators of the SDK over bars and arrays, from a function."""

from actors.strategies.sdk import indicators


def generate_signals(data, parameters):
    for symbol, bars in data.items():
        if len(bars) < 30:
            continue
        fast, slow = indicators.ema(bars, 5), indicators.sma(bars.close, 20)
        ranges = indicators.atr(bars, 14)
        bands = indicators.bollinger_bands(bars.close, 20)
        if indicators.crossed_above(fast, slow):
            yield {"symbol": symbol, "action": "BUY", "confidence": 0.6, "stop_loss": bars.close[-1] - 2 * ranges[-1]}
        elif indicators.crossed_below(fast, slow):
            yield {"symbol": symbol, "action": "SELL", "confidence": 0.6, "take_profit": bands.lower[-1]}
