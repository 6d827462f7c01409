"""What the filter says of tracks whose regimes were planted."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest

from actors.agents.environment.observation import Prepared
from actors.agents.training.regimes import filtered, regime_found
from actors.decisions.features.names import REGIMES
from actors.decisions.regimes.filter import WARM_UP
from tests.actors.agents.environment.kit import barred
from tests.actors.decisions.regimes.planted import planted


def track_of(seed: int) -> Prepared:
    """Bars of returns whose regimes were planted; their features are not looked at."""
    returns, labels = planted(seed, count=6)
    closes = [100.0]
    for value in returns:
        closes.append(closes[-1] * math.exp(value))
    places = (REGIMES.index(labels[0]), *(REGIMES.index(label) for label in labels))
    return Prepared(msgspec.structs.replace(barred(closes), regimes=places), np.full((len(closes), 29), np.nan))


def test_while_it_warms_up_nothing_is_said_and_then_probabilities() -> None:
    said = filtered(track_of(1))
    # The first bar has no return; then come those of the warm-up.
    assert np.isnan(said[: WARM_UP + 1]).all()
    assert said[WARM_UP + 1 :].sum(axis=1) == pytest.approx(1.0)


def test_most_planted_regimes_are_found_and_bars_of_which_nothing_is_said_count_as_wrong() -> None:
    tracks = [track_of(seed) for seed in range(200, 206)]
    # Measured: 0.72 of all bars, those right behind a change and the first ones, whose scale is of one regime, too.
    found = regime_found(tracks, WARM_UP + 1)
    assert found > 0.68
    assert regime_found(tracks, 0) < found
    with pytest.raises(ValueError, match=r"^tracks: expected bars behind 9999, got none$"):
        regime_found(tracks, 9999)
