"""What an input does to an output of a multilayer perceptron, in one pass backwards. A core.

Gradient times input (Shrikumar et al., 2016): the first-order share of each input in the output. In float64, because it
is asked for now and then, and read by people.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from actors.decisions.bundles.bundle import Bundle
from actors.decisions.bundles.inputs import Input
from actors.decisions.bundles.manifest import Activate, Linear
from actors.decisions.policy import Values

Floats = NDArray[np.float64]


def gradient_times_input(bundle: Bundle, inputs: Input, seed: Floats) -> Values:
    """Of each feature (features,): input times the derivative of `seed · outputs`. `inputs`: as the network takes them,
    normalised; with mask bits a feature's bit counts for it."""
    x = inputs.astype(np.float64)
    slopes: list[Floats] = []
    for index, layer in enumerate(bundle.manifest.layers):
        if isinstance(layer, Linear):
            weight = bundle.arrays[f"layers.{index}.weight"].astype(np.float64)
            bias = bundle.arrays.get(f"layers.{index}.bias")
            x = weight @ x + (0.0 if bias is None else bias)
            slopes.append(weight)
        else:
            assert isinstance(layer, Activate)
            x, slope = activated(layer, x)
            slopes.append(slope)
    gradient = seed
    for slope in reversed(slopes):
        gradient = slope.T @ gradient if slope.ndim == 2 else slope * gradient
    effects: Floats = gradient * inputs
    count = len(bundle.manifest.features)
    return effects[:count] + effects[count:] if len(effects) > count else effects


def activated(layer: Activate, x: Floats) -> tuple[Floats, Floats]:
    """The activation's values and its derivatives at x."""
    if layer.name == "tanh":
        y = np.tanh(x)
        return y, 1.0 - y * y
    if layer.name == "relu":
        return np.maximum(x, 0.0), (x > 0).astype(np.float64)
    if layer.name == "leaky_relu":
        slope = np.where(x > 0, 1.0, layer.parameter)
        return x * slope, slope
    if layer.name == "elu":
        below = layer.parameter * np.exp(np.minimum(x, 0.0))
        return np.where(x > 0, x, below - layer.parameter), np.where(x > 0, 1.0, below)
    if layer.name in ("sigmoid", "silu"):
        y = 0.5 * (1.0 + np.tanh(0.5 * x))
        slope = y * (1.0 - y)
        return (y, slope) if layer.name == "sigmoid" else (x * y, y + x * slope)
    return x, np.ones_like(x)
