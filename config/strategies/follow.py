"""Buys when the last close is above the mean of the closes before it, and closes when it has fallen below."""

PARAMETERS = {"period": 20}


def generate_signal(data, parameters):
    """The signal of the first symbol that has enough bars."""
    period = parameters["period"]
    for symbol, bars in data.items():
        if len(bars) > period:
            mean = bars.close[-period - 1 : -1].mean()
            return {"symbol": symbol, "action": "BUY" if bars.close[-1] > mean else "CLOSE_LONG", "confidence": 0.7}
    return None
