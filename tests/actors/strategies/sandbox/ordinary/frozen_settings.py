"""object.__setattr__ in a frozen class, __getattr__, __setattr__ of one's own, SimpleNamespace, MappingProxyType."""

from dataclasses import dataclass
from types import MappingProxyType, SimpleNamespace

LIMITS = MappingProxyType({"low": 0.2, "high": 0.8})


@dataclass(frozen=True, slots=True)
class Settings:
    period: int
    share: float = 0.0

    def __post_init__(self):
        object.__setattr__(self, "share", 1.0 / self.period)


class Record:
    def __init__(self):
        self.writes = 0
        self.names = []

    def __setattr__(self, name, value):
        super().__setattr__(name, value)
        if name.startswith("last") and hasattr(self, "names"):
            self.names.append(name)

    def __getattr__(self, name):
        if name.startswith("missing"):
            return 0.0
        raise AttributeError(name)


record = Record()
settings = Settings(6)


def generate_signal(data, parameters):
    symbol = max(data)
    bars = data[symbol]
    if len(bars) < settings.period:
        return None
    record.last_price = float(bars.close[-1])
    place = SimpleNamespace(
        share=(bars.close[-settings.period :] < bars.close[-1]).mean(), missing=record.missing_value
    )
    if not LIMITS["low"] < place.share < LIMITS["high"]:
        action = "BUY" if place.share > 0.5 else "SELL"
        return {
            "symbol": symbol,
            "action": action,
            "confidence": settings.share,
            "metadata": {"writes": len(record.names)},
        }
    return None
