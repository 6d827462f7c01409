"""A factor is what it says: the difference that one feature makes, and the feature that decides comes first."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from actors.decisions.bundles.bundle import Bundle, decode, encode
from actors.decisions.bundles.loading import policy_of
from actors.decisions.bundles.manifest import Activate, Gaussian, Layout, Linear
from actors.decisions.bundles.mlp import MlpPolicy
from actors.decisions.explaining import by_ablation, by_gradient, raw_of, text_of
from actors.decisions.features.names import FEATURE_SETS, MARKET_29
from actors.decisions.features.table import FEATURES as TABLE
from actors.decisions.policy import PolicyAnswer, PolicyInfo
from tests.actors.decisions.bundles.samples import ACTIONS, FEATURES, MEAN, encoded, mlp_bundle, observations, softmax


def policy(layout: Layout = "values+mask", **changes: Any) -> MlpPolicy:
    made = policy_of(decode(encode(mlp_bundle(layout, **changes))))
    assert isinstance(made, MlpPolicy)
    return made


def looks_at(feature: str, layout: Layout) -> MlpPolicy:
    """A policy that buys when one feature is below its mean, and knows no other."""
    inputs = len(FEATURES) * (2 if layout == "values+mask" else 1)
    weight = np.zeros((3, inputs), "<f4")
    weight[2, FEATURES.index(feature)] = -2.0
    weight[0, FEATURES.index(feature)] = 2.0
    whole = mlp_bundle(layout)
    manifest = msgspec.structs.replace(whole.manifest, layers=(Linear(inputs, 3, bias=False),))
    rows = whole.arrays["golden.observations"]
    outputs = encoded(rows, layout).astype(np.float64) @ weight.T
    arrays = {name: array for name, array in whole.arrays.items() if not name.startswith("layers.")}
    arrays |= {
        "layers.0.weight": weight,
        "golden.outputs": softmax(outputs),
        "golden.actions": outputs.argmax(axis=1).astype("<i8"),
    }
    return MlpPolicy(Bundle(manifest, arrays))


@pytest.mark.parametrize("layout", ["values", "values+mask"])
@pytest.mark.parametrize("feature", FEATURES)
def test_a_policy_that_looks_at_one_feature_names_that_one_and_no_other(feature: str, layout: Layout) -> None:
    decides = looks_at(feature, layout)
    for row in observations(20):
        assert [factor.feature for factor in by_ablation(decides, row)] == [feature]
        assert [factor.feature for factor in by_gradient(decides, row)] == [feature]


@pytest.mark.parametrize("layout", ["values", "values+mask"])
def test_every_effect_is_the_difference_that_taking_the_feature_away_makes(layout: Layout) -> None:
    decides = policy(layout)
    for row in observations(20, missing=layout == "values+mask"):
        found = by_ablation(decides, row, top=len(FEATURES))
        (whole,) = decides.act(row[np.newaxis])
        for factor in found:
            without = row.copy()
            index = FEATURES.index(factor.feature)
            without[index] = np.nan if layout == "values+mask" else MEAN[index]
            (answer,) = decides.act(without[np.newaxis])
            difference = whole.probabilities[whole.action] - answer.probabilities[whole.action]
            assert factor.effect == pytest.approx(difference, abs=1e-6)
            assert factor.value == row[index]
            assert factor.text == text_of(decides.info, index, factor.value, factor.effect, ACTIONS[whole.action].name)
        assert {factor.feature for factor in found} == {FEATURES[index] for index in np.flatnonzero(~np.isnan(row))}
        sizes = [abs(factor.effect) for factor in found]
        assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("activation", ["tanh", "relu", "elu", "silu", "leaky_relu", "sigmoid"])
@pytest.mark.parametrize("layout", ["values", "values+mask"])
def test_gradients_are_those_of_small_differences(layout: Layout, activation: str) -> None:
    parameter = 0.7 if activation in ("elu", "leaky_relu") else 0.0
    layers = mlp_bundle(layout).manifest.layers
    named = tuple(Activate(activation, parameter) if isinstance(each, Activate) else each for each in layers)  # type: ignore[arg-type]
    whole = mlp_bundle(layout, layers=named)
    decides = MlpPolicy(whole)
    for row in observations(5, missing=layout == "values+mask"):
        (answer,) = decides.act(row[np.newaxis])
        x = encoded(row[np.newaxis], layout)[0].astype(np.float64)
        expected = np.zeros(len(x))
        for index in range(len(x)):
            step = np.zeros(len(x))
            step[index] = 1e-5
            above, below = (forward(whole, activation, x + side * step)[answer.action] for side in (1, -1))
            expected[index] = (above - below) / 2e-5 * x[index]
        count = len(FEATURES)
        whole_effect = expected[:count] + (expected[count:] if len(x) > count else 0.0)
        np.testing.assert_allclose(decides.gradient_times_input(row[np.newaxis]), whole_effect, rtol=1e-3, atol=1e-5)


def forward(whole: Bundle, activation: str, x: Any) -> Any:
    """Probabilities in float64, with the activations as a textbook has them."""
    functions: dict[str, Any] = {
        "tanh": np.tanh,
        "relu": lambda y: np.where(y > 0, y, 0),
        "elu": lambda y: np.where(y > 0, y, 0.7 * (np.exp(np.minimum(y, 0)) - 1)),
        "silu": lambda y: y / (1 + np.exp(-y)),
        "leaky_relu": lambda y: np.where(y > 0, y, 0.7 * y),
        "sigmoid": lambda y: 1 / (1 + np.exp(-y)),
    }
    for index in (0, 2, 4):
        x = whole.arrays[f"layers.{index}.weight"].astype(np.float64) @ x + whole.arrays[f"layers.{index}.bias"]
        x = functions[activation](x) if index < 4 else x
    return softmax(x)


def test_a_factor_reads_as_a_sentence() -> None:
    info = policy().info
    assert text_of(info, 0, 28.4, 0.21, "BUY") == "rsi_now 28.4 (low) raised BUY by 0.21"
    assert text_of(info, 0, 71.0, -0.004, "SELL") == "rsi_now 71 (high) lowered SELL by 0.004"
    assert text_of(info, 1, 0.5, 1.0, "HOLD") == "trend 0.5 (usual) raised HOLD by 1.00"
    nothing_known = msgspec.structs.replace(info, reference=(), spread=())
    assert text_of(nothing_known, 0, 28.4, 0.21, "BUY") == "rsi_now 28.4 raised BUY by 0.21"


@given(st.sampled_from(sorted(TABLE)), st.floats(-0.95, 0.95))
def test_a_known_feature_is_told_in_the_unit_of_its_raw_field(name: str, scaled: float) -> None:
    feature = TABLE[name]
    assume(scaled >= feature.scaled(feature.least))
    raw = raw_of(feature, scaled)
    assert feature.least <= raw <= feature.most
    assert feature.scaled(raw) == pytest.approx(scaled, abs=1e-9)


def test_a_sentence_about_the_market_has_its_usual_numbers() -> None:
    names = FEATURE_SETS[MARKET_29]
    info = PolicyInfo(
        kind="mlp",
        algorithm="ppo",
        version="1",
        feature_set=MARKET_29,
        features=names,
        actions=ACTIONS,
        confidence_kind="probability",
    )
    for name, raw, told in (("rsi", 28.4, "28.4"), ("change_percent", -1.5, "-1.5"), ("volume_ratio", 2.0, "2"),
                            ("macd", 0.0, "0"), ("atr", 0.01, "0.01")):  # fmt: skip
        value = TABLE[name].scaled(raw)
        assert text_of(info, names.index(name), value, 0.21, "BUY") == f"{name} {told} raised BUY by 0.21"


def test_a_mask_and_regimes_are_those_of_the_decision() -> None:
    asked: list[Any] = []

    class Asked:
        def __init__(self, info: PolicyInfo) -> None:
            self.info = info

        def act(self, values: Any, mask: Any = None, regimes: Any = None) -> list[PolicyAnswer]:
            asked.append((values.shape, mask, regimes))
            return [PolicyAnswer(1, (0.2, 0.5 + 0.1 * bool(np.isnan(row[2])), 0.3), 0.5) for row in values]

    row = observations(1)[0]
    found = by_ablation(Asked(policy().info), row, np.array([True, True, False]), np.array([0.1, 0.2, 0.3, 0.4]))
    assert [(factor.feature, round(factor.effect, 9)) for factor in found] == [("volume_now", -0.1)]
    ((shape, mask, regimes),) = asked
    assert shape == (5, 4)
    assert mask.tolist() == [[True, True, False]] * 5
    assert regimes.tolist() == [[0.1, 0.2, 0.3, 0.4]] * 5


def test_of_a_box_action_the_effect_is_on_its_number() -> None:
    whole = mlp_bundle("values")
    weight = np.array([[0.0, 0.3, 0.0, 0.0]], "<f4")
    head = Gaussian(-1.0, 1.0, 0.0, (-0.5, 0.5))
    manifest = msgspec.structs.replace(
        whole.manifest, layers=(Linear(4, 1, bias=False),), head=head, confidence_kind="density"
    )
    arrays = {name: array for name, array in whole.arrays.items() if name.startswith(("norm", "ref", "spread"))}
    decides = MlpPolicy(Bundle(manifest, arrays | {"layers.0.weight": weight}))
    (factor,) = by_ablation(decides, np.array([50.0, 2.0, 1000.0, 0.01]))
    assert factor.effect == pytest.approx(0.6)
    assert factor.text == "trend 2 (high) raised the number by 0.60"
    assert by_gradient(decides, np.array([50.0, 2.0, 1000.0, 0.01]))[0].effect == pytest.approx(0.6)


def test_without_anything_usual_a_policy_that_takes_no_missing_features_cannot_be_explained_by_ablation() -> None:
    decides = policy("values")
    decides.info = msgspec.structs.replace(decides.info, reference=())
    with pytest.raises(ValueError, match="what is usual of them is not known"):
        by_ablation(decides, observations(1)[0])
