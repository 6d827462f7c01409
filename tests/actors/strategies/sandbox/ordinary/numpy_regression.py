"""numpy: polyfit, linear algebra, percentiles, sliding windows, nan functions."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.linalg import lstsq


def slope(values):
    x = np.arange(len(values), dtype=float)
    design = np.vstack([x, np.ones_like(x)]).T
    solution, *_ = lstsq(design, values, rcond=None)
    return solution[0]


def generate_signal(data, parameters):
    bars = data["BTCUSDT"] if "BTCUSDT" in data else None
    if bars is None or len(bars) < 30:
        return None
    close = np.log(bars.close)
    windows = sliding_window_view(close, 10)
    slopes = np.apply_along_axis(slope, 1, windows)
    low, high = np.percentile(slopes, [20, 80])
    fitted = np.polyfit(np.arange(10), close[-10:], 1)[0]
    assert np.isclose(fitted, slopes[-1])
    median = np.median(slopes)
    volatility = float(np.nanstd(np.diff(close)))
    if slopes[-1] >= high:
        return {"symbol": "BTCUSDT", "action": "BUY", "confidence": 0.6, "volatility": volatility, "trend": "up"}
    if slopes[-1] <= low:
        return {
            "symbol": "BTCUSDT",
            "action": "SELL",
            "confidence": 0.6,
            "volatility": volatility,
            "metadata": {"median": median, "eigen": np.linalg.eigvalsh(np.cov(windows[:, :2].T))},
        }
    return None
