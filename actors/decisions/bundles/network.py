"""What policies of one network have in common: shapes, inputs, answers, and what is known of them. A core."""

from __future__ import annotations

import hashlib
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from actors.decisions.bundles.bundle import Bundle
from actors.decisions.bundles.heads import head_of
from actors.decisions.bundles.inputs import Encoder, Input, checked_shapes
from actors.decisions.bundles.manifest import Head
from actors.decisions.policy import Mask, PolicyAnswer, PolicyInfo, Values

Outputs = NDArray[np.float32] | NDArray[np.float64]


class Network(Protocol):
    """Inputs (n, inputs) in, outputs (n, outputs) out."""

    def __call__(self, inputs: Input) -> Outputs:
        """The outputs, not masked, not normalised."""
        ...


class NetworkPolicy:
    """A policy whose thinking is one network. `regimes` make no difference to it."""

    def __init__(self, bundle: Bundle, network: Network) -> None:
        self.info = info_of(bundle)
        self.network = network
        self.encoder = Encoder(bundle.manifest, bundle.arrays)
        self.head = head_of(cast(Head, bundle.manifest.head))
        self._features = len(bundle.manifest.features)
        self._actions = len(bundle.manifest.actions)

    def act(self, values: Values, mask: Mask | None = None, regimes: Values | None = None) -> list[PolicyAnswer]:
        """See `Policy.act`."""
        outputs, allowed = self._outputs(values, mask)
        answer = self.head.answer
        return [answer(row, allows) for row, allows in zip(outputs, allowed, strict=True)]

    def figures(self, values: Values, mask: Mask | None = None) -> Values:
        """What golden pairs hold of each observation: probabilities, Q-values, or the number of a Box action."""
        outputs, allowed = self._outputs(values, mask)
        figures = [self.head.figures(row, allows) for row, allows in zip(outputs, allowed, strict=True)]
        return np.array(figures, np.float64)

    def _outputs(self, values: Values, mask: Mask | None) -> tuple[list[list[float]], list[list[bool] | None]]:
        rows, allowed = checked_shapes(values, mask, self._features, self._actions)
        if not len(rows):
            return [], []
        outputs: list[list[float]] = self.network(self.encoder.many(rows)).tolist()
        masks: list[list[bool] | None] = (
            [None] * len(rows) if allowed is None else cast(list[list[bool] | None], allowed.tolist())
        )
        return outputs, masks


def info_of(bundle: Bundle) -> PolicyInfo:
    """What a bundle says of its policy, in the server's words."""
    manifest = bundle.manifest
    normaliser = ""
    if manifest.normaliser is not None:
        # Two bundles with this in common see equal observations as equal inputs.
        normaliser = digest(bundle, ("normaliser.mean", "normaliser.variance"), repr(manifest.normaliser))
    return PolicyInfo(
        kind=manifest.kind,
        algorithm=manifest.algorithm,
        version=bundle.sha256[:12],
        feature_set=manifest.feature_set,
        features=manifest.features,
        actions=manifest.actions,
        confidence_kind=manifest.confidence_kind,
        min_features=manifest.min_features,
        threaded=manifest.kind != "mlp",
        cacheable=manifest.cacheable,
        normaliser=normaliser,
        trained=str(manifest.trained),
        marks=manifest.marks,
        members=tuple(member.name for member in manifest.ensemble.members) if manifest.ensemble else (),
        takes_missing=manifest.layout == "values+mask" or manifest.kind == "ensemble",
        reference=tuple(bundle.arrays["reference"].tolist()) if "reference" in bundle.arrays else (),
        spread=tuple(bundle.arrays["spread"].tolist()) if "spread" in bundle.arrays else (),
    )


def digest(bundle: Bundle, names: tuple[str, ...], text: str) -> str:
    """12 hex digits of the SHA-256 over arrays and a text."""
    content = hashlib.sha256(text.encode())
    for name in names:
        content.update(np.ascontiguousarray(bundle.arrays[name]).tobytes())
    return content.hexdigest()[:12]
