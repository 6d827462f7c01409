"""Several policies as one: each has its say as far as its regime is probable. A core.

A member is named by the regime that it was trained for; the generalist was trained on all of them. It has what no
member has: the regimes without a member, the weight of one that failed, half of everything while no regime is
probable enough, and everything while the regime is not known. Any member may be left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from actors.decisions.features.names import REGIMES
from actors.decisions.policy import Mask, Policy, PolicyAnswer, PolicyFailed, PolicyInfo, Values

GENERALIST: Final = "generalist"
"""The name of the fallback member in `PolicyAnswer.weights`."""

Report = Callable[[str, Exception], None]


class Ensemble:
    """A policy of policies, which all take the same features and give the same actions.

    `least_confidence`: a top regime below it leaves half of the weight to `fallback`. `report` is called with the name
    and the error of each member that fails; `failures` counts them. Raises ValueError for members that do not fit.
    """

    def __init__(
        self,
        members: Mapping[str, Policy],
        fallback: Policy,
        *,
        version: str,
        least_confidence: float = 0.7,
        report: Report | None = None,
    ) -> None:
        if not 0.0 <= least_confidence <= 1.0:
            raise ValueError(f"least_confidence: expected a number from 0 to 1, got {least_confidence}")
        for name, member in members.items():
            _fits(name, member.info, fallback.info)
        if not fallback.info.actions or fallback.info.confidence_kind == "density":
            raise ValueError(f"{GENERALIST}: expected a policy with a probability for each action")
        self.least_confidence = least_confidence
        self.failures: dict[str, int] = {}
        self._members = {name: members[name] for name in REGIMES if name in members}
        self._fallback = fallback
        self._report = report
        self.info = self._described(version)

    def without(self, name: str) -> Ensemble:
        """The same ensemble with one member fewer. Raises ValueError where it has none of the name."""
        if name not in self._members:
            raise ValueError(f"member: expected any of {', '.join(self._members)}, got {name!r}")
        rest = {each: member for each, member in self._members.items() if each != name}
        return Ensemble(
            rest, self._fallback, version=self.info.version, least_confidence=self.least_confidence,
            report=self._report,
        )  # fmt: skip

    def act(self, values: Values, mask: Mask | None = None, regimes: Values | None = None) -> list[PolicyAnswer]:
        """Answers for `values` (n, features), with `mask` (n, actions) and `regimes` (n, 4; NaN: not known).

        Raises ValueError for another shape, regimes that are no probabilities or a mask that allows nothing;
        PolicyFailed where the generalist is needed and fails.
        """
        count = self._checked(values, mask)
        weights = self._weights(count, regimes)
        said: dict[str, tuple[list[PolicyAnswer], Values]] = {}
        for place, (name, member) in enumerate(self._members.items(), 1):
            if not weights[:, place].any():
                continue
            try:
                said[name] = self._asked(member, values, mask, regimes)
            except Exception as error:  # A member is anybody's code: it costs its say, not the answer.
                self._failed(name, error)
                weights[:, 0] += weights[:, place]
                weights[:, place] = 0.0
        if weights[:, 0].any():
            try:
                said[GENERALIST] = self._asked(self._fallback, values, mask, regimes)
            except Exception as error:
                self._failed(GENERALIST, error)
                raise PolicyFailed(f"{GENERALIST}: {error}") from error
        return [self._mixed(row, weights[row], said, mask) for row in range(count)]

    def _checked(self, values: Values, mask: Mask | None) -> int:
        features, actions = len(self.info.features), len(self.info.actions)
        if values.ndim != 2 or values.shape[1] != features:
            raise ValueError(f"values: expected the shape (n, {features}), got {values.shape}")
        if mask is not None and mask.shape != (len(values), actions):
            raise ValueError(f"mask: expected the shape ({len(values)}, {actions}), got {mask.shape}")
        if mask is not None and not mask.any(axis=1).all():
            raise ValueError("mask: expected an action that is allowed, got none")
        return len(values)

    def _weights(self, count: int, regimes: Values | None) -> Values:
        """(n, 1 + members): the generalist's weight, then each member's."""
        weights = np.zeros((count, 1 + len(self._members)))
        weights[:, 0] = 1.0
        if regimes is None:
            return weights
        if regimes.shape != (count, len(REGIMES)):
            raise ValueError(f"regimes: expected the shape ({count}, {len(REGIMES)}), got {regimes.shape}")
        known = ~np.isnan(regimes).any(axis=1)
        told = regimes[known]
        if (told < 0).any() or (np.abs(told.sum(axis=1) - 1.0) > 1e-6).any():
            raise ValueError("regimes: expected probabilities that sum to 1")
        sure = told.max(axis=1, initial=0.0) >= self.least_confidence
        share = told * np.where(sure, 1.0, 0.5)[:, None]
        for place, name in enumerate(self._members, 1):
            weights[known, place] = share[:, REGIMES.index(name)]
        weights[:, 0] = np.maximum(1.0 - weights[:, 1:].sum(axis=1), 0.0)
        weights[weights < 1e-12] = 0.0
        return weights

    def _asked(
        self, member: Policy, values: Values, mask: Mask | None, regimes: Values | None
    ) -> tuple[list[PolicyAnswer], Values]:
        answers = member.act(values, mask, regimes)
        try:
            probabilities = np.array([each.probabilities for each in answers], dtype=np.float64)
        except ValueError:
            raise PolicyFailed("answers of different lengths") from None
        if probabilities.shape != (len(values), len(self.info.actions)):
            raise PolicyFailed(f"probabilities of the shape {probabilities.shape}")
        if not np.isfinite(probabilities).all() or (probabilities < 0).any():
            raise PolicyFailed("probabilities that are none")
        return answers, probabilities

    def _mixed(
        self, row: int, weights: Values, said: Mapping[str, tuple[list[PolicyAnswer], Values]], mask: Mask | None
    ) -> PolicyAnswer:
        shares = [
            (name, float(weight))
            for name, weight in zip((GENERALIST, *self._members), weights, strict=True)
            if weight > 0
        ]
        mixture = sum((weight * said[name][1][row] for name, weight in shares), np.zeros(len(self.info.actions)))
        if mask is not None:
            mixture = np.where(mask[row], mixture, 0.0)
        total = float(mixture.sum())
        if total <= 0:
            raise PolicyFailed("no member gives any allowed action a chance")
        mixture = mixture / total
        action = int(mixture.argmax())
        worths = [(weight, said[name][0][row].value) for name, weight in shares]
        told = [weight * worth for weight, worth in worths if worth is not None]
        return PolicyAnswer(
            action=action,
            probabilities=tuple(mixture.tolist()),
            confidence=float(mixture[action]),
            value=float(sum(told)) if len(told) == len(worths) else None,
            weights=tuple(shares),
        )

    def _failed(self, name: str, error: Exception) -> None:
        self.failures[name] = self.failures.get(name, 0) + 1
        if self._report is not None:
            self._report(name, error)

    def _described(self, version: str) -> PolicyInfo:
        own = self._fallback.info
        every = [own, *(member.info for member in self._members.values())]
        return PolicyInfo(
            kind="ensemble",
            algorithm="ensemble",
            version=version,
            feature_set=own.feature_set,
            features=own.features,
            actions=own.actions,
            confidence_kind="vote",
            min_features=max(each.min_features for each in every),
            threaded=any(each.threaded for each in every),
            cacheable=all(each.cacheable for each in every),
            trained=own.trained,
            marks=tuple(sorted({mark for each in every for mark in each.marks})),
            members=(*self._members, GENERALIST),
            takes_missing=all(each.takes_missing for each in every),
            reference=own.reference,
            spread=own.spread,
        )


def _fits(name: str, info: PolicyInfo, wanted: PolicyInfo) -> None:
    if name not in REGIMES:
        raise ValueError(f"member: expected any of {', '.join(REGIMES)}, got {name!r}")
    if info.confidence_kind == "density":
        raise ValueError(f"{name}: expected a policy with a probability for each action")
    if (info.feature_set, info.features) != (wanted.feature_set, wanted.features):
        raise ValueError(f"{name}: expected the features of the {GENERALIST}, {_named(wanted)}, got {_named(info)}")
    if info.actions != wanted.actions:
        expected, got = (", ".join(each.name for each in found.actions) for found in (wanted, info))
        raise ValueError(f"{name}: expected the actions of the {GENERALIST}, {expected}, got {got}")


def _named(info: PolicyInfo) -> str:
    return f"{len(info.features)} of {info.feature_set}"
