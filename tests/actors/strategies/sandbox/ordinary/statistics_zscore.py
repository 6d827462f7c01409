"""The statistics module."""

import statistics
from statistics import NormalDist, fmean, stdev


def generate_signal(data, parameters):
    bars = data.get("ETHUSDT")
    if bars is None or len(bars) < 20:
        return None
    returns = [after / before - 1 for before, after in zip(bars.close[-20:-1], bars.close[-19:], strict=True)]
    z = (returns[-1] - fmean(returns)) / stdev(returns)
    if abs(z) < 1.0:
        return None
    share = NormalDist().cdf(abs(z))
    median = statistics.median(returns)
    return {
        "symbol": "ETHUSDT",
        "action": "SELL" if z > 0 else "BUY",
        "confidence": share,
        "volatility": statistics.pstdev(returns),
        "metadata": {"z": z, "median": median, "quartiles": statistics.quantiles(returns)},
    }
