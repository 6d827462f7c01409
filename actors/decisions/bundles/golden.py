"""Golden pairs: what the trained model itself said to some observations, and whether the bundle still says it. A core.

Probabilities may differ by 1e-5, values and Box actions by 1e-5 of their size. The action has to be the same wherever
the best two differ by more than 1e-4; closer than that, rounding may decide.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from actors.decisions.bundles.bundle import Bundle
from actors.decisions.bundles.checking import BundleError
from actors.decisions.bundles.manifest import Gaussian, QValues
from actors.decisions.policy import Mask, Policy, PolicyFailed, Values

TOLERANCE: Final = 1e-5
CLOSE: Final = 1e-4


def check_golden_pairs(policy: Policy, bundle: Bundle) -> float:
    """The largest difference. Raises BundleError for a pair that differs, with the pair and by how much."""
    arrays = bundle.arrays
    if "golden.observations" not in arrays:
        return 0.0
    observations, expected = arrays["golden.observations"], arrays["golden.outputs"]
    mask = arrays["golden.masks"].astype(np.bool_) if "golden.masks" in arrays else None
    regimes = arrays.get("golden.regimes")
    try:
        answers = policy.act(observations, mask, regimes)
        if isinstance(bundle.manifest.head, QValues | Gaussian):
            got = policy.figures(observations, mask)  # type: ignore[attr-defined]
        else:
            got = np.array([answer.probabilities for answer in answers], np.float64)
    except (PolicyFailed, ValueError) as error:
        raise BundleError("golden", f"the policy does not answer them: {error}") from error
    if got.shape != expected.shape:
        raise BundleError("golden", f"outputs of shape {expected.shape} expected; got {got.shape}")
    by_size = isinstance(bundle.manifest.head, QValues | Gaussian)
    scale = np.maximum(1.0, np.abs(expected)) if by_size else np.ones_like(expected)
    differences = np.abs(got - expected) / scale
    worst = int(np.argmax(differences.max(axis=1)))
    if not differences[worst].max() <= TOLERANCE:
        at = int(np.argmax(differences[worst]))
        raise BundleError(
            f"golden[{worst}]",
            f"the policy answers {got[worst, at]:.8g} where the trained model said {expected[worst, at]:.8g}: "
            f"they differ by {abs(got[worst, at] - expected[worst, at]):.3g}, at most {TOLERANCE:g} allowed",
        )
    check_actions(bundle, [answer.action for answer in answers], mask)
    return float(differences.max())


def check_actions(bundle: Bundle, actions: list[int], mask: Mask | None) -> None:
    """Raises BundleError for an action that is another, and not by rounding."""
    expected = bundle.arrays["golden.actions"]
    outputs = bundle.arrays["golden.outputs"]
    for index, action in enumerate(actions):
        if action == expected[index] or is_close_call(bundle, outputs[index], None if mask is None else mask[index]):
            continue
        names = [meaning.name for meaning in bundle.manifest.actions]
        raise BundleError(
            f"golden[{index}]",
            f"the policy takes {names[action]} where the trained model took {names[int(expected[index])]}",
        )


def is_close_call(bundle: Bundle, outputs: Values, allowed: Mask | None) -> bool:
    """Whether rounding may decide between the best two."""
    head = bundle.manifest.head
    if isinstance(head, Gaussian):
        return bool(head.bands) and min(abs(outputs[0] - band) for band in head.bands) <= CLOSE
    best = np.sort(outputs if allowed is None else outputs[allowed])[::-1]
    return len(best) > 1 and bool(best[0] - best[1] <= CLOSE)
