"""Declared parameters of a module."""

from actors.strategies.sdk import Parameter

PARAMETERS = {
    "period": Parameter.int(10, least=2, most=50, description="bars of the channel"),
    "confidence": Parameter.float(0.6, least=0.0, most=1.0),
    "side": Parameter.choice("both", choices=["both", "long"]),
    "strict": Parameter.bool(False),
}
LOOKBACK = 60


def generate_signal(data, parameters):
    period = parameters["period"]
    bars = data["BTCUSDT"] if "BTCUSDT" in data else None
    if bars is None or len(bars) <= period:
        return None
    high = bars.high[-period - 1 : -1].max()
    if bars.close[-1] > high or (not parameters["strict"] and bars.close[-1] == high):
        return {"symbol": "BTCUSDT", "action": "BUY", "confidence": parameters["confidence"], "stop_loss": bars.low[-1]}
    if parameters["side"] == "both" and bars.close[-1] < bars.low[-period - 1 : -1].min():
        return {"symbol": "BTCUSDT", "action": "SELL", "confidence": parameters["confidence"]}
    return None
