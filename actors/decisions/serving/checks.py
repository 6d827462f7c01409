"""Which requests cannot be asked at all. A core."""

from __future__ import annotations

from typing import Final

from actors.decisions.features.names import FEATURE_SETS, REGIMES
from protocols.control import Refused
from protocols.decisions import LOW, RISK_EXIT, Decide

SUM_TOLERANCE: Final = 1e-6
WIDTHS: Final = {name: len(features) for name, features in FEATURE_SETS.items()}


def check(request: Decide) -> None:
    """Raise Refused `invalid` with the field for a request that no model and no rule could answer."""
    if not request.user_id:
        raise Refused("invalid", "expected the id of a user, got an empty text", "user_id")
    if not request.symbol:
        raise Refused("invalid", "expected a symbol, got an empty text", "symbol")
    if not RISK_EXIT <= request.priority <= LOW:
        raise Refused("invalid", f"expected a priority from {RISK_EXIT} to {LOW}, got {request.priority}", "priority")
    observation = request.observation
    width = WIDTHS.get(observation.feature_set)
    if width is not None and len(observation.values) != width:
        raise Refused(
            "invalid",
            f"expected {width} values of the set {observation.feature_set}, got {len(observation.values)}",
            "observation.values",
        )
    if request.regimes and len(request.regimes) != len(REGIMES):
        raise Refused(
            "invalid", f"expected {len(REGIMES)} probabilities of regimes, got {len(request.regimes)}", "regimes"
        )
    if request.regimes and _wrong(request.regimes):
        said = ", ".join(f"{each:g}" for each in request.regimes)
        raise Refused("invalid", f"expected probabilities that sum to 1, got {said}", "regimes")
    least = request.min_confidence
    if least is not None and not 0 <= least <= 1:
        raise Refused("invalid", f"expected a confidence from 0 to 1, got {least}", "min_confidence")
    if request.mask and True not in request.mask:
        raise Refused("invalid", "expected a mask that allows an action, got none", "mask")


def _wrong(regimes: tuple[float, ...]) -> bool:
    """Whether they are known, and are no probabilities."""
    total = sum(regimes)
    return total == total and (min(regimes) < 0 or abs(total - 1.0) > SUM_TOLERANCE)
