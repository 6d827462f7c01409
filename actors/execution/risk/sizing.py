"""How much to trade."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

Method = Literal[
    "fixed_percentage", "fixed_amount", "kelly_criterion", "risk_parity", "volatility_adjusted", "optimal_f"
]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class SizingSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which sizing, and its parameters."""

    method: Method = "fixed_percentage"
    percentage: Share = 0.05
    amount: str = "0"
    """Money per position of `fixed_amount`; decimal text."""
    max_position_size: Share = 0.1


class Sizing(msgspec.Struct, frozen=True, gc=False):
    """How much, and why. `used`: the method that gave it; `missing`: what was wanted and is not known."""

    quantity: int
    rationale: str
    used: str
    missing: tuple[str, ...] = ()
