"""What a node's regime filter would have said of a track, bar by bar. A core."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise

import numpy as np

from actors.agents.environment.observation import Prepared
from actors.agents.environment.tracks import Floats
from actors.decisions.features.names import REGIMES
from actors.decisions.regimes.filter import over


def filtered(prepared: Prepared) -> Floats:
    """Probabilities (bars, 4) by the filter's own parameters; NaN while it warms up. No bar sees a later one."""
    closes = [bar.close for bar in prepared.track.bars]
    returns = [math.log(after / before) if before > 0 < after else None for before, after in pairwise(closes)]
    found = np.full((len(closes), len(REGIMES)), np.nan)
    for place, said in enumerate(over(returns), 1):
        if said:
            found[place] = said
    return found


def regime_found(tracks: Iterable[Prepared], start: int) -> float:
    """The share of the bars from `start` on at whose end the most probable regime is the planted one.

    A bar of which the filter says nothing counts as one that it got wrong. Raises ValueError for no bars.
    """
    right = total = 0
    for each in tracks:
        said, planted = filtered(each)[start:], np.array(each.track.regimes[start:])
        known = ~np.isnan(said).any(axis=1)
        right += int((said[known].argmax(axis=1) == planted[known]).sum())
        total += len(planted)
    if not total:
        raise ValueError(f"tracks: expected bars behind {start}, got none")
    return round(right / total, 4)
