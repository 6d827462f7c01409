"""Bundles made by hand: small networks of known weights, whose golden pairs are computed here, apart from the code."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from actors.decisions.bundles.bundle import Bundle
from actors.decisions.bundles.manifest import Activate, Categorical, Head, Layout, Linear, Manifest, Normaliser
from actors.decisions.policy import ActionMeaning

FEATURES = ("rsi_now", "trend", "volume_now", "spread_now")
ACTIONS = (ActionMeaning("SELL", "SELL", 1.0), ActionMeaning("HOLD", "HOLD"), ActionMeaning("BUY", "BUY", 1.0))
MEAN = np.array([50.0, 0.0, 1000.0, 0.01])
VARIANCE = np.array([100.0, 1.0, 250000.0, 1e-4])


def weights(*sizes: int, seed: int = 7) -> dict[str, NDArray[np.float32]]:
    """Random layers of these sizes, an activation between two."""
    chance = np.random.default_rng(seed)
    arrays = {}
    for index, (inputs, outputs) in enumerate(pairwise(sizes)):
        arrays[f"layers.{2 * index}.weight"] = chance.normal(0, 1 / np.sqrt(inputs), (outputs, inputs)).astype("<f4")
        arrays[f"layers.{2 * index}.bias"] = chance.normal(0, 0.1, outputs).astype("<f4")
    return arrays


def encoded(values: NDArray[np.float64], layout: Layout) -> NDArray[np.float32]:
    """What the network takes, written down once more in the plainest way."""
    scaled = np.clip((values.astype(np.float32) - MEAN) / np.sqrt(VARIANCE + 1e-8), -10, 10)
    if layout == "values":
        return scaled.astype(np.float32)
    return np.concatenate([np.nan_to_num(scaled, nan=0.0), ~np.isnan(values)], axis=1).astype(np.float32)


def tanh_network(arrays: dict[str, Any], x: NDArray[np.float32]) -> NDArray[np.float64]:
    """The outputs of linear layers with tanh between them, in float64."""
    count = 1 + max(int(name.split(".")[1]) for name in arrays if name.startswith("layers."))
    y = x.astype(np.float64)
    for index in range(0, count, 2):
        y = y @ arrays[f"layers.{index}.weight"].astype(np.float64).T + arrays[f"layers.{index}.bias"]
        if index + 1 < count:
            y = np.tanh(y)
    return y


def observations(count: int = 64, missing: bool = False, seed: int = 3) -> NDArray[np.float64]:
    """Values around the mean; with `missing` a fifth of them NaN."""
    chance = np.random.default_rng(seed)
    values: NDArray[np.float64] = MEAN + np.sqrt(VARIANCE) * chance.normal(0, 2, (count, len(FEATURES)))
    if missing:
        values[chance.random(values.shape) < 0.2] = np.nan
    return values


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Over the last axis."""
    parts = np.exp(logits - logits.max(axis=-1, keepdims=True))
    shares: NDArray[np.float64] = parts / parts.sum(axis=-1, keepdims=True)
    return shares


def mlp_bundle(
    layout: Layout = "values+mask", head: Head | None = None, seed: int = 7, *, alike: bool = False, **changes: Any
) -> Bundle:
    """A bundle of a tanh network 4-16-16-3 (8 inputs with mask bits), with 64 golden pairs. `alike`: the first two
    actions have the same weights."""
    inputs = len(FEATURES) * (2 if layout == "values+mask" else 1)
    arrays: dict[str, Any] = dict(weights(inputs, 16, 16, len(ACTIONS), seed=seed))
    if alike:
        for name in ("layers.4.weight", "layers.4.bias"):
            arrays[name][1] = arrays[name][0]
    values = observations(missing=layout == "values+mask")
    outputs = tanh_network(arrays, encoded(values, layout))
    manifest = Manifest(
        kind="mlp",
        algorithm="ppo",
        feature_set="samples",
        features=FEATURES,
        actions=ACTIONS,
        confidence_kind="probability",
        layout=layout,
        head=head or Categorical(),
        layers=(
            Linear(inputs, 16),
            Activate("tanh"),
            Linear(16, 16),
            Activate("tanh"),
            Linear(16, len(ACTIONS)),
        ),
        normaliser=Normaliser(epsilon=1e-8, clip=10.0),
        marks=("synthetic",),
    )
    arrays |= {
        "normaliser.mean": MEAN,
        "normaliser.variance": VARIANCE,
        "reference": MEAN,
        "spread": np.sqrt(VARIANCE),
        "golden.observations": values,
        "golden.outputs": softmax(outputs) if head is None else outputs,
        "golden.actions": outputs.argmax(axis=1).astype("<i8"),
    }
    return Bundle(msgspec.structs.replace(manifest, **changes), arrays)
