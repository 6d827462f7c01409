"""Several timeframes of one symbol."""

import math


def generate_signal(data, parameters):
    if "BTCUSDT" not in data or "5m" not in data.timeframes:
        return None
    fast = data["BTCUSDT"]
    slow = data.timeframe("5m").get("BTCUSDT")
    if slow is None or len(slow) < 5:
        return None
    trend = math.log(slow.close[-1] / slow.close[-5])
    pullback = math.log(fast.close[-1] / fast.close[-3])
    if trend * pullback < 0 and abs(trend) > 0.0005:
        return {
            "symbol": "BTCUSDT",
            "action": "BUY" if trend > 0 else "SELL",
            "confidence": 0.65,
            "metadata": {"frames": list(data.timeframes), "bars": [len(fast), len(slow)]},
        }
    return None
