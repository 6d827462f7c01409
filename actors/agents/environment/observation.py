"""What an agent sees: the 29 features of the market, which of them are known, and (if asked for) how it stands itself.

    values   29 features, normalised as the training data was; 0, the mean, where one is missing
    mask     29 bits: 1 where the value is known
    own      with `with_position`: share of the equity in the market, open orders, age of the last price

This is the layout `values+mask` of a policy's bundle. `own` is left out unless it is asked for: over HTTP a policy is
asked with features alone, and one that was trained with inputs that nobody gives it later decides differently when it
serves. A core.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from actors.agents.environment.account import EpisodeAccount
from actors.agents.environment.tracks import Floats, Track
from actors.decisions.features import names
from actors.decisions.features.market import MarketFeatures
from protocols.nanos import NANO

FEATURES: Final = names.FEATURE_SETS[names.MARKET_29]
GROUPS: Final = (
    names.PRICE,
    names.INDICATORS,
    names.MOMENTUM,
    names.ON_CHAIN,
    names.WHALES,
    names.FUNDING,
    names.SMART_MONEY,
    names.LIQUIDATIONS,
)
ALWAYS_ASKED: Final = ("change_percent", "rsi")
OFTEN_ASKED: Final = ("macd", "sma_ratio", "bollinger_position", "atr")
"""The fields of system 0's `signal_data` that are features: the ones that its thresholds need, and the others."""
OWN: Final = ("exposure", "open_orders", "data_age")
CLIP: Final = 10.0
EPSILON: Final = 1e-8
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Normaliser(msgspec.Struct, frozen=True):
    """Mean and variance of every feature in the training data; 0 and 1 of one that was never known there.

    (x - mean) / sqrt(var + 1e-8), clipped to ±10, as stable-baselines3's VecNormalize does it.
    """

    mean: tuple[float, ...]
    var: tuple[float, ...]

    def __call__(self, values: Floats) -> Floats:
        """Normalised values; missing ones stay NaN."""
        scaled: Floats = (values - np.array(self.mean)) / np.sqrt(np.array(self.var) + EPSILON)
        return np.clip(scaled, -CLIP, CLIP)


class Masking(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is hidden for the length of an episode, so that a policy learns to do with the fields that a caller has.

    `groups`, `singles`: the chance of each group, and of each feature, to be hidden. `few`: the chance that only one to
    six features are shown at all; `requests`: that only `ALWAYS_ASKED` and some of `OFTEN_ASKED` are, as in a request
    over HTTP. One that is known always stays.
    """

    groups: Share = 0.0
    singles: Share = 0.0
    few: Share = 0.0
    requests: Share = 0.0

    def __post_init__(self) -> None:
        if self.few + self.requests > 1:
            raise ValueError(f"few, requests: expected at most 1 together, got {self.few} and {self.requests}")


class Prepared(msgspec.Struct, frozen=True, eq=False):
    """A track with the features at the end of each of its bars: (bars, 29), NaN where one is missing.

    `raw`: by bar, the raw fields that they were made of, which the fixed rule reads.
    """

    track: Track
    features: Floats
    raw: tuple[dict[str, float], ...] = ()


def prepared(track: Track) -> Prepared:
    """Features of every bar, by the same builder as a node's, fed bar after bar: none sees what comes later."""
    builder = MarketFeatures()
    rows = np.full((len(track), len(FEATURES)), np.nan)
    raw = []
    for place, bar in enumerate(track.bars):
        opened, high, low, close = (price / NANO for price in (bar.open, bar.high, bar.low, bar.close))
        builder.bar(opened, high, low, close, float(bar.volume) if bar.volume else None, bar.end)
        rows[place] = builder.observation(bar.end).values
        raw.append(builder.raw(bar.end))
    return Prepared(track, rows, tuple(raw))


def fitted(tracks: Sequence[Prepared]) -> Normaliser:
    """Of these tracks' features, missing ones left out."""
    rows = np.concatenate([each.features for each in tracks])
    known = ~np.isnan(rows)
    count = known.sum(axis=0)
    filled = np.where(known, rows, 0.0)
    mean = filled.sum(axis=0) / np.maximum(count, 1)
    var = (np.where(known, rows - mean, 0.0) ** 2).sum(axis=0) / np.maximum(count, 1)
    # A feature that never changes says nothing: divided by its deviation, any other value of it would say too much.
    usable = (count > 1) & (var > 1e-12)
    return Normaliser(
        tuple(np.where(usable, mean, 0.0).tolist()),
        tuple(np.where(usable, var, 1.0).tolist()),
    )


def ever_known(tracks: Sequence[Prepared]) -> NDArray[np.bool_]:
    """Which features are known anywhere in these tracks."""
    found: NDArray[np.bool_] = ~np.isnan(np.concatenate([each.features for each in tracks])).all(axis=0)
    return found


def hidden(masking: Masking, known: NDArray[np.bool_], chance: np.random.Generator) -> NDArray[np.bool_]:
    """Which features an episode hides, (29,); of those that are `known` at least one is left."""
    count = len(FEATURES)
    places = np.flatnonzero(known)
    kind = chance.random()
    if len(places) and kind < masking.few:
        return all_but(chance.choice(places, size=min(len(places), int(chance.integers(1, 7))), replace=False))
    asked = [
        *map(FEATURES.index, ALWAYS_ASKED),
        *(FEATURES.index(each) for each in OFTEN_ASKED if chance.random() < 0.5),
    ]
    if known[asked].any() and masking.few <= kind < masking.few + masking.requests:
        return all_but(asked)
    groups = chance.random(len(GROUPS)) < masking.groups
    hides = np.repeat(groups, [len(group) for group in GROUPS]) | (chance.random(count) < masking.singles)
    if len(places) and hides[places].all():
        hides[chance.choice(places)] = False
    return np.asarray(hides, dtype=np.bool_)


def all_but(shown: Sequence[int] | NDArray[np.int64]) -> NDArray[np.bool_]:
    """What is hidden where these places alone are shown, (29,)."""
    hides = np.ones(len(FEATURES), dtype=np.bool_)
    hides[list(shown)] = False
    return hides


def observed(values: Floats, hides: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Values (normalised, NaN: missing) with what is hidden, in the layout `values+mask`: (58,)."""
    known = ~np.isnan(values) & ~hides
    return np.concatenate([np.where(known, values, 0.0), known]).astype(np.float32)


def own_state(account: EpisodeAccount) -> NDArray[np.float32]:
    """`OWN`: the exposure, the number of open orders (at most 10), ln(1 + seconds since the last price), (3,)."""
    age = math.log1p(max(0.0, account.data_age_s))
    state = (min(CLIP, max(-CLIP, account.exposure)), min(CLIP, account.open_orders), min(CLIP, age))
    return np.array(state, dtype=np.float32)
