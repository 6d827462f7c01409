"""Annotations everywhere, generic classes, protocols, literals, type aliases."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, Literal, Optional, Protocol, TypeAlias, TypeVar, Union

import numpy as np
from numpy.typing import NDArray

from actors.strategies.sdk import Bars, Frames

if TYPE_CHECKING:
    from decimal import Decimal

T = TypeVar("T", bound=float)
Prices: TypeAlias = "Sequence[float]"
Action = Literal["BUY", "SELL"]
PERIOD: Final[int] = 7


class Score(Protocol):
    def __call__(self, prices: NDArray[np.float64], /) -> float: ...


class Last(Generic[T]):
    kind: ClassVar[str] = "last"

    def __init__(self, value: Optional[T] = None) -> None:
        self.value: T | None = value

    def put(self, value: T) -> "Last[T]":
        self.value = value
        return self


def momentum(prices: NDArray[np.float64]) -> float:
    return float(prices[-1] / prices[0] - 1.0)


scores: Mapping[str, Callable[..., float]] = {"momentum": momentum}
last: Last[float] = Last()


def action_of(score: Union[int, float]) -> Action:
    return "BUY" if score > 0 else "SELL"


def names(found: Iterable[str]) -> tuple[str, ...]:
    return tuple(found)


def generate_signal(data: Frames, parameters: dict[str, Any]) -> dict[str, Any] | None:
    for symbol in names(data):
        bars: Bars = data[symbol]
        if len(bars) % PERIOD:
            continue
        score: float = scores["momentum"](bars.close[-PERIOD:])
        if last.put(score).value:
            return {"symbol": symbol, "action": action_of(score), "confidence": 0.5 + min(abs(score), 0.4)}
    return None
