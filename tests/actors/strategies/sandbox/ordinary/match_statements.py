"""match: literals, sequences, mappings, classes, guards, captures, alternatives."""

from dataclasses import dataclass
from enum import Enum


class Regime(Enum):
    UP = 1
    DOWN = 2
    FLAT = 3


@dataclass
class View:
    regime: Regime
    strength: float


class Point:
    __match_args__ = ("x", "y")

    def __init__(self, x, y):
        self.x = x
        self.y = y


def view(closes):
    match list(closes[-4:]):
        case [a, b, c, d] if a < b < c < d:
            return View(Regime.UP, d / a - 1)
        case [first, *_, final] if final < first:
            return View(regime=Regime.DOWN, strength=1 - final / first)
        case [] | [_] | [_, _]:
            return None
        case _:
            return View(Regime.FLAT, 0.0)


def generate_signals(data, parameters):
    signals = []
    for symbol, bars in data.items():
        match view(bars.close), {"size": len(bars), "kind": symbol[:3]}:
            case View(regime=Regime.UP, strength=strength), {"kind": "BTC" | "ETH" as base}:
                signals.append(
                    {"symbol": symbol, "action": "BUY", "confidence": 0.6, "metadata": {"base": base, "s": strength}}
                )
            case View(Regime.DOWN, float(strength)), {"size": int(size), **rest} if strength > 0.002:
                signals.append({"symbol": symbol, "action": "SELL", "confidence": 0.6, "metadata": {"n": size, **rest}})
            case ((View() | None), _):
                pass
        match Point(len(bars), 1):
            case Point(25, y):
                signals.append({"symbol": symbol, "action": "HOLD", "confidence": y / 2})
    return signals
