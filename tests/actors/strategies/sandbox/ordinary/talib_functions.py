"""TA-Lib, as its users know it."""

import numpy as np
import talib


def generate_signal(data, parameters):
    bars = data.get("BTCUSDT")
    if bars is None or len(bars) < 35:
        return None
    rsi = talib.RSI(bars.close, timeperiod=14)
    macd, signal, histogram = talib.MACD(bars.close)
    upper, middle, lower = talib.BBANDS(bars.close, timeperiod=10, nbdevup=1, nbdevdn=1, matype=talib.MA_Type.SMA)
    engulfing = talib.CDLENGULFING(bars.open, bars.high, bars.low, bars.close)
    if bars.close[-1] > upper[-1] or engulfing[-1] > 0:
        action = "SELL"
    elif bars.close[-1] < lower[-1] or engulfing[-1] < 0:
        action = "BUY"
    else:
        return None
    return {
        "symbol": "BTCUSDT",
        "action": action,
        "confidence": np.clip(rsi[-1] / 100, 0.0, 1.0),
        "metadata": {"macd": macd[-1], "signal": signal[-1], "histogram": histogram[-1], "middle": middle[-1]},
    }
