"""A small Kalman filter with matrices."""

import numpy as np


class Filter:
    def __init__(self, q=1e-3, r=0.1):
        self.x = np.zeros((2, 1))
        self.p = np.eye(2)
        self.f = np.array([[1.0, 1.0], [0.0, 1.0]])
        self.h = np.array([[1.0, 0.0]])
        self.q = q * np.eye(2)
        self.r = np.array([[r]])

    def step(self, z):
        self.x = self.f @ self.x
        self.p = self.f @ self.p @ self.f.T + self.q
        gain = self.p @ self.h.T @ np.linalg.inv(self.h @ self.p @ self.h.T + self.r)
        self.x += gain @ (np.array([[z]]) - self.h @ self.x)
        self.p = (np.eye(2) - gain @ self.h) @ self.p
        return self.x[0, 0], self.x[1, 0]


class KalmanTrend:
    def __init__(self):
        self.filters = {}

    def generate_signal(self, data, parameters):
        signals = []
        for symbol, bars in data.items():
            level, speed = self.filters.setdefault(symbol, Filter()).step(bars.close[-1])
            if len(bars) > 20 and abs(speed) > 0.02:
                action = "BUY" if speed > 0 else "SELL"
                signals.append({"symbol": symbol, "action": action, "confidence": 0.6, "price_target": level + speed})
        return signals
