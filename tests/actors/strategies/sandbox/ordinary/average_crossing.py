"""Two moving averages that cross, as one function."""

import numpy as np


def generate_signal(data, parameters):
    fast, slow = parameters.get("fast", 5), parameters.get("slow", 15)
    for symbol, bars in data.items():
        close = bars.close
        if len(close) <= slow:
            continue
        now = np.mean(close[-fast:]) - np.mean(close[-slow:])
        before = np.mean(close[-fast - 1 : -1]) - np.mean(close[-slow - 1 : -1])
        if before <= 0 < now:
            return {"symbol": symbol, "action": "BUY", "confidence": 0.7}
        if before >= 0 > now:
            return {"symbol": symbol, "action": "SELL", "confidence": 0.7}
    return None
