"""Calling a policy: observations into arrays, answers checked. A core; it may run on any thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct
from typing import Final

import numpy as np

from actors.decisions.policy import Mask, Policy, PolicyAnswer, PolicyFailed, Values
from protocols.decisions import Decide

Answers = list[PolicyAnswer | Exception]
"""One for each observation; what raised stands in its place."""


class Inputs:
    """Several observations as a policy takes them: (n, features), (n, actions) or None, (n, 4) or None. What is no
    number in them, but infinite, is missing, too."""

    __slots__ = ("masks", "regimes", "values")

    def __init__(self, requests: Sequence[Decide], columns: list[int] | None, actions: int) -> None:
        told = [request.observation.values for request in requests]
        if len(told) == 1:  # the usual case: half as long as numpy takes to look at a list of tuples
            values = np.frombuffer(bytearray(packed(told[0])), np.float64).reshape(1, -1)
        else:
            values = np.array(told, dtype=np.float64)
        for row in told:
            if INFINITE in row or -INFINITE in row:
                values[np.isinf(values)] = np.nan
                break
        self.values: Values = values if columns is None else values[:, columns]
        self.masks: Mask | None = None
        self.regimes: Values | None = None
        masked = known = False
        for request in requests:
            masked = masked or bool(request.mask)
            known = known or bool(request.regimes)
        if masked:
            self.masks = np.array([request.mask or (True,) * actions for request in requests], dtype=np.bool_)
        if known:
            self.regimes = np.array([request.regimes or _UNKNOWN for request in requests], dtype=np.float64)


INFINITE: Final = float("inf")
_UNKNOWN: Final = (float("nan"),) * 4
_PACK: Final[dict[int, Callable[..., bytes]]] = {}


def packed(values: tuple[float, ...]) -> bytes:
    """The values as float64, so that NaN equals NaN."""
    pack = _PACK.get(len(values))
    if pack is None:
        pack = _PACK[len(values)] = Struct(f"{len(values)}d").pack
    return pack(*values)


def run(policy: Policy, inputs: Inputs) -> Answers:
    """Answers of a policy to several observations. One that makes it raise spoils no other's answer."""
    values, masks, regimes = inputs.values, inputs.masks, inputs.regimes
    count = len(values)
    # A policy raises for what it cannot answer, a user's own class for any reason at all: it is the answer.
    try:
        answers = policy.act(values, masks, regimes)
    except Exception as error:
        return [error] if count == 1 else _one_by_one(policy, inputs)
    if len(answers) != count:
        return [PolicyFailed(f"expected {count} answers, got {len(answers)}")] * count
    actions = len(policy.info.actions)
    return [_checked(answer, actions) for answer in answers]


def _one_by_one(policy: Policy, inputs: Inputs) -> Answers:
    found: Answers = []
    for row in range(len(inputs.values)):
        one = Inputs.__new__(Inputs)
        here = slice(row, row + 1)
        one.values = inputs.values[here]
        one.masks = None if inputs.masks is None else inputs.masks[here]
        one.regimes = None if inputs.regimes is None else inputs.regimes[here]
        found += run(policy, one)
    return found


def _checked(answer: PolicyAnswer, actions: int) -> PolicyAnswer | PolicyFailed:
    """The answer, if it is one; x - x is 0 for every finite number alone."""
    confidence, total = answer.confidence, sum(answer.probabilities)
    if confidence - confidence != 0 or total - total != 0:
        return PolicyFailed("the policy's answer is not finite")
    if not 0 <= confidence <= 1.000001:
        return PolicyFailed(f"expected a confidence from 0 to 1, got {confidence}")
    if not 0 <= answer.action < actions:
        return PolicyFailed(f"expected an action below {actions}, got {answer.action}")
    return answer
