"""Decimal and Fraction, with a context of its own."""

from decimal import ROUND_DOWN, Decimal, localcontext
from fractions import Fraction

TICK = Decimal("0.05")


def rounded(price):
    with localcontext() as context:
        context.prec = 20
        return (Decimal(repr(float(price))) / TICK).quantize(Decimal(1), rounding=ROUND_DOWN) * TICK


def generate_signal(data, parameters):
    bars = data["BTCUSDT"] if "BTCUSDT" in data else None
    if bars is None or len(bars) % 6:
        return None
    stop = rounded(bars.low[-3:].min())
    share = Fraction(len(bars), 120).limit_denominator(10)
    return {
        "symbol": "BTCUSDT",
        "action": "BUY",
        "confidence": min(float(share), 1.0),
        "stop_loss": stop,
        "take_profit": rounded(bars.high[-3:].max()) + TICK,
        "quantity": Decimal("0.25"),
        "metadata": {"share": str(share), "stop": f"{stop:.2f}"},
    }
