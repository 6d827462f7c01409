"""Why a policy said what it said, for who asks. A core; the work is in `actors/decisions/explaining.py`."""

from __future__ import annotations

from actors.decisions.explaining import by_ablation
from actors.decisions.policy import Policy
from actors.decisions.serving.inference import Inputs
from protocols.decisions import Factor


def explain(policy: Policy, inputs: Inputs, row: int) -> tuple[tuple[Factor, ...], str]:
    """The features that mattered most to one answer; or none, and why there are none.

    One more call of the policy, with as many observations as there are features: it runs where the policy runs.
    """
    masks, regimes = inputs.masks, inputs.regimes
    try:
        return by_ablation(
            policy,
            inputs.values[row],
            None if masks is None else masks[row],
            None if regimes is None else regimes[row],
        ), ""
    except Exception as error:  # the policy is anybody's code; without a feature it may do what it did not with it
        return (), f"{type(error).__name__}: {error}"[:300]
