"""Weights of minimum variance by linear algebra; several signals at a time."""

import numpy as np


def weights(returns: np.ndarray) -> np.ndarray:
    covariance = np.cov(returns) + 1e-8 * np.eye(len(returns))
    inverse = np.linalg.pinv(covariance)
    ones = np.ones(len(returns))
    raw = inverse @ ones / (ones @ inverse @ ones)
    return np.clip(raw, 0.0, 1.0) / np.clip(raw, 0.0, 1.0).sum()


class Strategy:
    LOOKBACK = 40

    def __init__(self):
        self.held = {}

    def generate_signals(self, data, parameters):
        symbols = sorted(symbol for symbol in data if len(data[symbol]) >= 15)
        if len(symbols) < 2:
            return None
        length = min(len(data[symbol]) for symbol in symbols)
        returns = np.array([np.diff(np.log(data[symbol].close[-length:])) for symbol in symbols])
        signals = []
        for symbol, weight in zip(symbols, weights(returns)):
            if abs(weight - self.held.get(symbol, 0.0)) > 0.05:
                self.held[symbol] = weight
                signals.append(
                    {"symbol": symbol, "action": "BUY", "confidence": weight, "position_size": 1000 * weight}
                )
        return signals
