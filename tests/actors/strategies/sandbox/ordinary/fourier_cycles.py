"""Fourier transforms, convolution, interpolation, masked arrays, polynomials, datetimes of numpy."""

import numpy as np
import numpy.fft as fft
from numpy.polynomial import Polynomial


def generate_signal(data, parameters):
    bars = data.get("BTCUSDT")
    if bars is None or len(bars) < 32:
        return None
    close = bars.close[-32:] - np.linspace(bars.close[-32], bars.close[-1], 32)
    spectrum = np.abs(fft.rfft(close * np.hanning(32)))
    cycle = int(np.argmax(spectrum[1:]) + 1)
    smooth = np.convolve(close, np.full(5, 0.2), mode="valid")
    trend = Polynomial.fit(np.arange(32), bars.close[-32:], 2)
    slope = trend.deriv()(31.0)
    masked = np.ma.masked_less(bars.volume[-32:], 5.0)
    hours = bars.timestamp[-32:].astype("datetime64[ns]").astype("datetime64[h]")
    if smooth[-1] < smooth[-2] and slope < 0:
        return {
            "symbol": "BTCUSDT",
            "action": "SELL",
            "confidence": 0.6,
            "metadata": {
                "cycle": cycle,
                "volume": float(masked.mean()),
                "hours": len(np.unique(hours)),
                "at": np.interp(0.5, [0.0, 1.0], close[:2]),
                "where": np.where(close > 0)[0][:3],
            },
        }
    return None
