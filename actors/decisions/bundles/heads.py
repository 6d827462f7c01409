"""From the outputs of a network to an answer: softmax, masks, values, bands. A core.

Plain Python over the handful of numbers that one observation gives: at this size it is faster than numpy, and in
float64. A masked logit is -1e8, as in sb3-contrib, so its probability is exactly 0.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence

from actors.decisions.bundles.manifest import Gaussian, Head, Probabilities, QValues
from actors.decisions.policy import PolicyAnswer, PolicyFailed

Allowed = Sequence[bool] | None
MASKED = -1e8
"""sb3-contrib, common/maskable/distributions.py: HUGE_NEG."""


def softmax(logits: Sequence[float], temperature: float = 1.0) -> tuple[float, ...]:
    """exp(l / T) / sum of exp(l / T), computed from the largest down, so that nothing overflows."""
    most = max(logits)
    parts = [math.exp((logit - most) / temperature) for logit in logits]
    total = sum(parts)
    return tuple([part / total for part in parts])


class CategoricalHead:
    """The most probable allowed action."""

    def answer(self, outputs: list[float], allowed: Allowed) -> PolicyAnswer:
        """The answer to one observation. Raises PolicyFailed where an output is no number."""
        require_finite(outputs)
        if allowed is not None:
            outputs = [logit if allows else MASKED for logit, allows in zip(outputs, allowed, strict=True)]
        probabilities = softmax(outputs)
        best = max(probabilities)
        return PolicyAnswer(outputs.index(max(outputs)), probabilities, best)

    def figures(self, outputs: list[float], allowed: Allowed) -> tuple[float, ...]:
        """What golden pairs hold: the probabilities."""
        return self.answer(outputs, allowed).probabilities


class ProbabilityHead:
    """The most probable allowed action of what are probabilities already; a mask is a division by what is left."""

    def answer(self, outputs: list[float], allowed: Allowed) -> PolicyAnswer:
        """The answer to one observation. Raises PolicyFailed where the outputs are no probabilities."""
        require_finite(outputs)
        if min(outputs) < -1e-6 or abs(sum(outputs) - 1.0) > 1e-3:
            raise PolicyFailed(f"the outputs are no probabilities: {outputs}")
        if allowed is not None:
            outputs = [share if allows else 0.0 for share, allows in zip(outputs, allowed, strict=True)]
            if sum(outputs) <= 0.0:
                raise PolicyFailed("every allowed action has the probability 0")
        total = sum(outputs)
        probabilities = tuple([max(share, 0.0) / total for share in outputs])
        best = max(probabilities)
        return PolicyAnswer(probabilities.index(best), probabilities, best)

    def figures(self, outputs: list[float], allowed: Allowed) -> tuple[float, ...]:
        """What golden pairs hold: the probabilities."""
        return self.answer(outputs, allowed).probabilities


class QHead:
    """The allowed action of the highest value; its confidence is a softmax, which nobody has calibrated."""

    def __init__(self, head: QValues) -> None:
        self._temperature = head.temperature

    def answer(self, outputs: list[float], allowed: Allowed) -> PolicyAnswer:
        """The answer to one observation. Raises PolicyFailed where an output is no number."""
        require_finite(outputs)
        if allowed is None:
            best = max(outputs)
            probabilities = softmax(outputs, self._temperature)
            action = outputs.index(best)
        else:
            indices = [index for index, allows in enumerate(allowed) if allows]
            action = max(indices, key=outputs.__getitem__)
            best = outputs[action]
            shares = dict(zip(indices, softmax([outputs[index] for index in indices], self._temperature), strict=True))
            probabilities = tuple([shares.get(index, 0.0) for index in range(len(outputs))])
        return PolicyAnswer(action, probabilities, probabilities[action], best)

    def figures(self, outputs: list[float], allowed: Allowed) -> tuple[float, ...]:
        """What golden pairs hold: the values."""
        return tuple(outputs)


class GaussianHead:
    """The mean of a Gaussian, clipped or stretched; which action that is, its bands say.

    The confidence is exp(-entropy) = 1 / (sigma sqrt(2 pi e)), at most 1: a density, not a probability, and the same
    for every observation as long as sigma is.
    """

    def __init__(self, head: Gaussian) -> None:
        self._head = head
        entropy = 0.5 * math.log(2 * math.pi * math.e) + head.log_std
        self._confidence = min(1.0, math.exp(-entropy)) if entropy > 0 else 1.0

    def answer(self, outputs: list[float], allowed: Allowed) -> PolicyAnswer:
        """The answer to one observation; `value` is the number. Raises ValueError for a mask, which needs actions."""
        if allowed is not None:
            raise ValueError("mask: none expected, the policy's action is a number")
        require_finite(outputs)
        head = self._head
        if head.squash:
            number = head.low + 0.5 * (math.tanh(outputs[0]) + 1.0) * (head.high - head.low)
        else:
            number = min(max(outputs[0], head.low), head.high)
        return PolicyAnswer(bisect_right(head.bands, number), (), self._confidence, number)

    def figures(self, outputs: list[float], allowed: Allowed) -> tuple[float, ...]:
        """What golden pairs hold: the number that the action is."""
        value = self.answer(outputs, allowed).value
        assert value is not None
        return (value,)


AnyHead = CategoricalHead | ProbabilityHead | QHead | GaussianHead


def head_of(head: Head) -> AnyHead:
    """The head that a manifest names."""
    if isinstance(head, QValues):
        return QHead(head)
    if isinstance(head, Gaussian):
        return GaussianHead(head)
    return ProbabilityHead() if isinstance(head, Probabilities) else CategoricalHead()


def require_finite(outputs: list[float]) -> None:
    """Raises PolicyFailed where an output is NaN or infinite."""
    if not math.isfinite(sum(outputs)) and not all(map(math.isfinite, outputs)):
        raise PolicyFailed(f"the network's outputs are no numbers: {outputs}")
