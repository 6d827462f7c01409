"""Multilayer perceptrons in numpy alone: one answer in about ten microseconds, and no torch in the process. A core.

Float32 throughout, as torch computes it; equal to it within its rounding (tests compare with Stable-Baselines3).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from actors.decisions.bundles.bundle import Bundle
from actors.decisions.bundles.gradients import gradient_times_input
from actors.decisions.bundles.heads import GaussianHead, QHead
from actors.decisions.bundles.inputs import Input
from actors.decisions.bundles.manifest import Activate, Linear, QValues
from actors.decisions.bundles.network import NetworkPolicy
from actors.decisions.policy import Mask, PolicyAnswer, Values

Floats = NDArray[np.float32]
InPlace = Callable[[Floats, Floats], object]
"""An activation of its first argument, in place; the second is room of the same shape."""

ZERO: Final = np.zeros((), np.float32)
ONE: Final = np.ones((), np.float32)
FARTHEST: Final = np.array(80.0, np.float32)
"""exp(80) is still a float32; sigmoid(-80) is 2e-35."""


def tanh(x: Floats, room: Floats) -> None:
    """tanh(x)."""
    np.tanh(x, x)


def relu(x: Floats, room: Floats) -> None:
    """max(x, 0)."""
    np.maximum(x, ZERO, out=x)


def sigmoid(x: Floats, room: Floats) -> None:
    """1 / (1 + exp(-x))."""
    np.negative(x, x)
    np.minimum(x, FARTHEST, out=x)
    np.exp(x, x)
    np.add(x, ONE, x)
    np.reciprocal(x, x)


def silu(x: Floats, room: Floats) -> None:
    """x sigmoid(x)."""
    np.copyto(room, x)
    sigmoid(room, x)
    np.multiply(x, room, x)


def elu(alpha: float) -> InPlace:
    """x above 0, else alpha (exp(x) - 1)."""
    factor = np.array(alpha, np.float32)

    def apply(x: Floats, room: Floats) -> None:
        np.minimum(x, ZERO, out=room)
        np.expm1(room, room)
        np.multiply(room, factor, room)
        np.maximum(x, ZERO, out=x)
        np.add(x, room, x)

    return apply


def leaky_relu(slope: float) -> InPlace:
    """x above 0, else slope x."""
    factor = np.array(slope, np.float32)

    def apply(x: Floats, room: Floats) -> None:
        np.minimum(x, ZERO, out=room)
        np.multiply(room, factor, room)
        np.maximum(x, ZERO, out=x)
        np.add(x, room, x)

    return apply


def activation_of(layer: Activate) -> InPlace | None:
    """The function of a layer; None for the identity."""
    plain: dict[str, InPlace | None] = {"tanh": tanh, "relu": relu, "silu": silu, "sigmoid": sigmoid, "identity": None}
    if layer.name == "elu":
        return elu(layer.parameter)
    return leaky_relu(layer.parameter) if layer.name == "leaky_relu" else plain[layer.name]


class Mlp:
    """The network: linear layers and activations. `one` uses buffers of its own: one thread at a time."""

    def __init__(self, bundle: Bundle) -> None:
        self._layers: list[tuple[Floats, Floats] | InPlace] = []
        self._steps: list[tuple[Floats, Floats, Floats, InPlace | None, Floats]] = []
        alone = 0
        for index, layer in enumerate(bundle.manifest.layers):
            if isinstance(layer, Linear):
                weight = np.ascontiguousarray(bundle.arrays[f"layers.{index}.weight"])
                bias = bundle.arrays.get(f"layers.{index}.bias", np.zeros(layer.outputs, np.float32))
                self._layers.append((weight, bias))
                room = np.zeros(layer.outputs, np.float32)
                self._steps.append((weight, bias, np.zeros_like(room), None, room))
            elif isinstance(layer, Activate) and (apply := activation_of(layer)) is not None:
                self._layers.append(apply)
                if self._steps and self._steps[-1][3] is None:
                    *linear, _, room = self._steps[-1]
                    self._steps[-1] = (linear[0], linear[1], linear[2], apply, room)
                else:
                    alone += 1
        # An activation that follows no linear layer of its own is rare: such a network is run as a batch of one.
        self._is_plain = alone == 0

    def one(self, x: Input) -> Floats:
        """The outputs (outputs,) of one input; they hold until the next call."""
        if not self._is_plain:
            alone: Floats = self(x[np.newaxis])[0]
            return alone
        dot, add = np.dot, np.add
        for weight, bias, out, apply, room in self._steps:
            dot(weight, x, out)
            add(out, bias, out)
            if apply is not None:
                apply(out, room)
            x = out
        return x

    def __call__(self, inputs: Input) -> Floats:
        """The outputs (n, outputs) of inputs (n, inputs)."""
        x = inputs.copy()
        for layer in self._layers:
            if isinstance(layer, tuple):
                x = np.matmul(x, layer[0].T)
                x += layer[1]
            else:
                layer(x, np.empty_like(x))
        return x


class MlpPolicy(NetworkPolicy):
    """Kind `mlp`."""

    def __init__(self, bundle: Bundle) -> None:
        self._mlp = Mlp(bundle)
        super().__init__(bundle, self._mlp)
        self._bundle = bundle

    def act(self, values: Values, mask: Mask | None = None, regimes: Values | None = None) -> list[PolicyAnswer]:
        """See `Policy.act`. One observation without a mask takes the short way."""
        if mask is None and values.shape == (1, self._features) and values.dtype == np.float64:
            outputs = self._mlp.one(self.encoder.one(values[0]))
            return [self.head.answer(outputs.tolist(), None)]
        return super().act(values, mask, regimes)

    def gradient_times_input(self, values: Values, mask: Mask | None = None) -> Values:
        """Of one observation (1, features): see `gradients.gradient_times_input`."""
        outputs, allowed = self._outputs(values, mask)
        answer = self.head.answer(outputs[0], allowed[0])
        inputs = self.encoder.one(np.asarray(values[0], np.float64))
        seed = np.zeros(len(outputs[0]))
        if isinstance(self.head, GaussianHead):
            seed[0] = 1.0
        else:
            # d p[a] / d logit[i] = p[a] ([a = i] - p[i]); of a masked action both factors are 0.
            probabilities = np.array(answer.probabilities)
            seed = -probabilities[answer.action] * probabilities
            seed[answer.action] += probabilities[answer.action]
            if isinstance(self.head, QHead):
                head = self._bundle.manifest.head
                assert isinstance(head, QValues)
                seed = seed / head.temperature
        return gradient_times_input(self._bundle, inputs, seed)
