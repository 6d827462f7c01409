"""What a bundle serves is what Stable-Baselines3 says: on a thousand observations, masked, normalised, or not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from actors.agents.export import Statistics, export, named_in
from actors.decisions.bundles.bundle import BundleError, read
from actors.decisions.bundles.loading import load_policy
from actors.decisions.bundles.manifest import Activate, Linear, Training
from actors.decisions.policy import ActionMeaning, FeaturesMissing, PolicyFailed
from tests.actors.agents.trained import COUNT, FEATURES, raw_observations, trained

ACTIONS = (
    ActionMeaning("SELL", "SELL", 1.0),
    ActionMeaning("HOLD", "HOLD"),
    ActionMeaning("BUY_HALF", "BUY", 0.5),
    ActionMeaning("BUY", "BUY", 1.0),
)
SAMPLES = raw_observations(1000)
Trained = Callable[[str, bool], tuple[Any, Any]]


@pytest.fixture(scope="session")
def models() -> Trained:
    """Each model is trained once, when it is first needed."""
    made: dict[tuple[str, bool], tuple[Any, Any]] = {}

    def model(name: str, normalises: bool) -> tuple[Any, Any]:
        if (name, normalises) not in made:
            made[name, normalises] = trained(name, normalises)
        return made[name, normalises]

    return model


def exported(model: Any, path: Path, **options: Any) -> str:
    given: dict[str, Any] = {"feature_set": "levels", "features": FEATURES, "actions": ACTIONS, **options}
    return export(model, path, **given)


def seen_by(model: Any, normalise: Any, rows: NDArray[np.float64]) -> Any:
    """What the model gets in training for raw rows: the environment's float32, then VecNormalize itself."""
    raw = rows.astype(np.float32)
    tensor, _ = model.policy.obs_to_tensor(raw if normalise is None else normalise.normalize_obs(raw))
    return tensor


def probabilities_of(model: Any, tensor: Any, mask: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
    import torch

    with torch.no_grad():
        given = {} if mask is None else {"action_masks": mask}
        distribution = model.policy.get_distribution(tensor, **given).distribution
    return np.asarray(distribution.probs.numpy(), np.float64)


def assert_same_probabilities(answers: list[Any], expected: NDArray[np.float64]) -> None:
    """Within 1e-5 of each probability; what is forbidden is 0 on both sides."""
    got = np.array([answer.probabilities for answer in answers])
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-12)


def assert_same_actions(taken: list[int], expected: NDArray[np.int64], scores: NDArray[np.float64]) -> None:
    best = np.sort(scores, axis=1)
    clear = best[:, -1] - best[:, -2] > 1e-4
    assert clear.sum() > 900
    assert (np.array(taken)[clear] == expected[clear]).all()


@pytest.mark.parametrize("normalises", [False, True])
@pytest.mark.parametrize("name", ["PPO", "A2C"])
def test_probabilities_and_actions_are_those_of_the_trained_model(
    models: Trained, tmp_path: Path, name: str, normalises: bool
) -> None:
    model, normalise = models(name, normalises)
    exported(model, tmp_path / "p.bundle", normalise=normalise)
    policy = load_policy(tmp_path / "p.bundle")
    assert (policy.info.kind, policy.info.algorithm) == ("mlp", name.lower())
    expected = probabilities_of(model, seen_by(model, normalise, SAMPLES))
    answers = policy.act(SAMPLES)
    assert len(answers) == 1000
    assert_same_probabilities(answers, expected)
    assert_same_probabilities([policy.act(row[np.newaxis])[0] for row in SAMPLES], expected)
    raw = SAMPLES.astype(np.float32)
    actions, _ = model.predict(raw if normalise is None else normalise.normalize_obs(raw), deterministic=True)
    assert_same_actions([answer.action for answer in answers], actions, expected)


def test_one_observation_is_answered_as_it_is_in_a_batch(models: Trained, tmp_path: Path) -> None:
    model, normalise = models("PPO", True)
    exported(model, tmp_path / "p.bundle", normalise=normalise)
    policy = load_policy(tmp_path / "p.bundle")
    together = policy.act(SAMPLES[:50])
    for row, answer in zip(SAMPLES, together, strict=False):
        (alone,) = policy.act(row[np.newaxis])
        np.testing.assert_allclose(alone.probabilities, answer.probabilities, rtol=0, atol=1e-6)
        assert alone.confidence == max(alone.probabilities)


@pytest.mark.parametrize("normalises", [False, True])
def test_masked_probabilities_are_those_of_maskable_ppo(models: Trained, tmp_path: Path, normalises: bool) -> None:
    model, normalise = models("MaskablePPO", normalises)
    exported(model, tmp_path / "p.bundle", normalise=normalise)
    policy = load_policy(tmp_path / "p.bundle")
    chance = np.random.default_rng(9)
    mask = chance.random((len(SAMPLES), len(ACTIONS))) < 0.6
    mask[np.arange(len(SAMPLES)), chance.integers(0, len(ACTIONS), len(SAMPLES))] = True
    tensor = seen_by(model, normalise, SAMPLES)
    for given in (mask, None):
        expected = probabilities_of(model, tensor, given)
        answers = policy.act(SAMPLES, given)
        assert_same_probabilities(answers, expected)
        actions, _ = model.predict(tensor.numpy(), deterministic=True, action_masks=given)
        assert_same_actions([answer.action for answer in answers], actions, expected)
    forbidden = [
        share
        for answer, row in zip(policy.act(SAMPLES, mask), mask, strict=True)
        for share, allows in zip(answer.probabilities, row, strict=True)
        if not allows
    ]
    assert forbidden
    assert set(forbidden) == {0.0}


@pytest.mark.parametrize("normalises", [False, True])
def test_values_are_those_of_dqn(models: Trained, tmp_path: Path, normalises: bool) -> None:
    import torch

    model, normalise = models("DQN", normalises)
    exported(model, tmp_path / "p.bundle", normalise=normalise, temperature=2.0)
    policy: Any = load_policy(tmp_path / "p.bundle")
    tensor = seen_by(model, normalise, SAMPLES)
    with torch.no_grad():
        expected = model.policy.q_net(tensor).numpy().astype(np.float64)
    size = np.abs(expected).max(axis=1, keepdims=True)
    # Relative to the values of the observation: one of them may be next to nothing.
    assert (np.abs(policy.figures(SAMPLES) - expected) <= 1e-5 * size).all()
    answers = policy.act(SAMPLES)
    assert_same_actions(
        [answer.action for answer in answers], model.predict(tensor.numpy(), deterministic=True)[0], expected / size
    )
    shares = np.exp((expected - expected.max(axis=1, keepdims=True)) / 2.0)
    shares /= shares.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(
        [answer.probabilities for answer in answers], shares, rtol=0, atol=2e-5 * max(1.0, float(size.max()))
    )
    assert policy.info.confidence_kind == "q_softmax"
    assert [answer.value for answer in answers] == pytest.approx(expected.max(axis=1).tolist(), rel=1e-5, abs=1e-5)


def test_a_box_action_is_the_clipped_mean_and_its_band_is_the_action(models: Trained, tmp_path: Path) -> None:
    model, normalise = models("Box", True)
    exported(model, tmp_path / "p.bundle", normalise=normalise, actions=ACTIONS[:3], bands=(-0.3, 0.3))
    policy = load_policy(tmp_path / "p.bundle")
    expected = model.predict(normalise.normalize_obs(SAMPLES.astype(np.float32)), deterministic=True)[0][:, 0]
    answers = policy.act(SAMPLES)
    np.testing.assert_allclose([answer.value for answer in answers], expected, rtol=0, atol=1e-5)
    assert len({answer.action for answer in answers}) > 1
    for answer in answers:
        value = answer.value
        assert value is not None
        assert answer.action == (0 if value < -0.3 else 1 if value < 0.3 else 2)
        assert answer.probabilities == ()
    sigma = float(np.exp(model.policy.log_std.detach().numpy()[0]))
    assert answers[0].confidence == pytest.approx(min(1.0, 1 / (sigma * np.sqrt(2 * np.pi * np.e))))
    assert policy.info.confidence_kind == "density"


@pytest.mark.parametrize("activation", ["Tanh", "ReLU", "ELU", "SiLU", "LeakyReLU", "Sigmoid"])
def test_every_activation_of_numpy_is_that_of_torch(tmp_path: Path, activation: str) -> None:
    from torch import nn

    options = {"activation_fn": getattr(nn, activation), "net_arch": [32, 24]}
    model, normalise = trained("PPO", True, steps=64, policy_kwargs=options)
    exported(model, tmp_path / "p.bundle", normalise=normalise)
    policy = load_policy(tmp_path / "p.bundle")
    assert policy.info.kind == "mlp"
    expected = probabilities_of(model, seen_by(model, normalise, SAMPLES))
    got = [policy.act(row[np.newaxis])[0].probabilities for row in SAMPLES[:100]]
    np.testing.assert_allclose(got, expected[:100], rtol=0, atol=1e-5)
    np.testing.assert_allclose([a.probabilities for a in policy.act(SAMPLES)], expected, rtol=0, atol=1e-5)


def test_with_mask_bits_a_missing_feature_is_zero_behind_the_normaliser(tmp_path: Path) -> None:
    from stable_baselines3 import PPO

    statistics = Statistics(mean=[50.0, 0.0, 1e5, -1.0, 10.0], variance=[1e4, 1e-4, 2.5e9, 1.0, 9.0])
    model = PPO("MlpPolicy", wide_environment(), seed=2, device="cpu", n_steps=64)
    exported(model, tmp_path / "p.bundle", normalise=statistics, layout="values+mask")
    policy = load_policy(tmp_path / "p.bundle")
    rows = raw_observations(200)
    rows[np.random.default_rng(4).random(rows.shape) < 0.3] = np.nan
    scaled = np.clip((rows - statistics.mean) / np.sqrt(np.array(statistics.variance) + 1e-8), -10, 10)
    inputs = np.concatenate([np.where(np.isnan(rows), 0.0, scaled), ~np.isnan(rows)], axis=1).astype(np.float32)
    expected = probabilities_of(model, model.policy.obs_to_tensor(inputs)[0])
    np.testing.assert_allclose([a.probabilities for a in policy.act(rows)], expected, rtol=0, atol=1e-5)
    assert policy.info.takes_missing


def test_a_normaliser_that_knows_the_mask_bits_is_given_zero_for_a_missing_feature(tmp_path: Path) -> None:
    from stable_baselines3 import PPO
    from stable_baselines3.common.vec_env import VecNormalize

    normalise = VecNormalize(wide_environment())
    model = PPO("MlpPolicy", normalise, seed=2, device="cpu", n_steps=64)
    model.learn(64)
    exported(model, tmp_path / "p.bundle", normalise=normalise, layout="values+mask")
    rows = raw_observations(200)
    rows[np.random.default_rng(4).random(rows.shape) < 0.3] = np.nan
    raw = np.concatenate([np.where(np.isnan(rows), 0.0, rows), ~np.isnan(rows)], axis=1).astype(np.float32)
    expected = probabilities_of(model, seen_by(model, normalise, raw))
    answers = load_policy(tmp_path / "p.bundle").act(rows)
    np.testing.assert_allclose([a.probabilities for a in answers], expected, rtol=0, atol=1e-5)


def wide_environment() -> Any:
    """The environment with a second half of bits in its observation."""
    import gymnasium
    from gymnasium import spaces
    from stable_baselines3.common.vec_env import DummyVecEnv

    from tests.actors.agents.trained import Levels

    class Wide(gymnasium.ObservationWrapper[Any, Any, Any]):
        def __init__(self) -> None:
            super().__init__(Levels(spaces.Discrete(4)))
            self.observation_space = spaces.Box(-np.inf, np.inf, (2 * COUNT,), np.float32)

        def observation(self, observation: Any) -> Any:
            bits = self.np_random.random(COUNT) < 0.8
            return np.concatenate([observation * bits, bits]).astype(np.float32)

    return DummyVecEnv([Wide])


def test_without_mask_bits_a_missing_feature_is_an_error_with_its_name(models: Trained, tmp_path: Path) -> None:
    model, normalise = models("PPO", True)
    exported(model, tmp_path / "p.bundle", normalise=normalise)
    policy = load_policy(tmp_path / "p.bundle")
    assert not policy.info.takes_missing
    rows = raw_observations(3)
    rows[1, 2] = np.nan
    with pytest.raises(FeaturesMissing, match=r"missing: volume_now$") as caught:
        policy.act(rows)
    assert caught.value.features == ("volume_now",)
    rows[1, 2] = np.inf
    with pytest.raises(PolicyFailed, match=r"^the feature volume_now is inf"):
        policy.act(rows)


def test_files_of_a_model_and_of_its_normaliser_give_the_bundle_that_they_give_in_memory(
    models: Trained, tmp_path: Path
) -> None:
    for name in ("PPO", "A2C", "DQN", "MaskablePPO"):
        model, normalise = models(name, True)
        model.save(tmp_path / "model.zip")
        normalise.save(str(tmp_path / "normaliser.pkl"))
        assert named_in(tmp_path / "model.zip") == name
        memory = exported(model, tmp_path / "m.bundle", normalise=normalise)
        files = exported(tmp_path / "model.zip", tmp_path / "f.bundle", normalise=tmp_path / "normaliser.pkl")
        assert memory == files, name


def test_what_a_bundle_was_trained_on_travels_in_it(models: Trained, tmp_path: Path) -> None:
    model, normalise = models("PPO", True)
    day = 86_400 * 10**9
    span = Training("levels, made up", ts_from=19_000 * day, ts_to=19_100 * day, steps=256)
    exported(model, tmp_path / "p.bundle", normalise=normalise, trained=span, marks=["synthetic"], min_features=2)
    policy = load_policy(tmp_path / "p.bundle")
    assert policy.info.trained == "levels, made up, 2022-01-08 to 2022-04-18, 256 steps"
    assert policy.info.marks == ("synthetic",)
    assert policy.info.min_features == 2
    manifest = read(tmp_path / "p.bundle").manifest
    assert manifest.libraries["stable_baselines3"]
    assert next(layer for layer in manifest.layers if isinstance(layer, Linear)).inputs == COUNT


def test_another_extractor_of_known_layers_is_served_through_torch(tmp_path: Path) -> None:
    from torch import nn

    model, normalise = trained("PPO", True, steps=64, policy_kwargs={"features_extractor_class": extractor(False)})
    exported(model, tmp_path / "p.bundle", normalise=normalise)
    policy = load_policy(tmp_path / "p.bundle")
    assert (policy.info.kind, policy.info.threaded) == ("torch", True)
    assert Activate("gelu") in read(tmp_path / "p.bundle").manifest.layers
    model.policy.set_training_mode(False)
    expected = probabilities_of(model, seen_by(model, normalise, SAMPLES))
    np.testing.assert_allclose([a.probabilities for a in policy.act(SAMPLES)], expected, rtol=0, atol=1e-5)
    assert isinstance(model.policy.features_extractor, nn.Module)


def test_an_extractor_that_does_more_than_its_layers_is_refused_by_the_golden_pairs(tmp_path: Path) -> None:
    model, _ = trained("PPO", False, steps=64, policy_kwargs={"features_extractor_class": extractor(True)})
    with pytest.raises(BundleError, match=r"^golden\[\d+\]: the policy answers .* they differ by"):
        exported(model, tmp_path / "p.bundle")
    assert not (tmp_path / "p.bundle").exists()


def extractor(adds_to_itself: bool) -> Any:
    """A features extractor of one's own; with a residual connection its layers are not the whole of it."""
    from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
    from torch import nn

    class Own(BaseFeaturesExtractor):
        def __init__(self, observation_space: Any) -> None:
            super().__init__(observation_space, COUNT)
            self.norm = nn.LayerNorm(COUNT)
            self.linear = nn.Linear(COUNT, COUNT)
            self.gelu = nn.GELU()

        def forward(self, observations: Any) -> Any:
            inner = self.gelu(self.linear(self.norm(observations)))
            return inner + observations if adds_to_itself else inner

    return Own


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("recurrent", r"^algorithm: RecurrentPPO remembers earlier observations"),
        ("sac", r"^algorithm: PPO, A2C, DQN, MaskablePPO can be exported; got SAC$"),
        ("images", r"^observation_space: a Box of one dimension expected; got Box\("),
        ("dictionary", r"^observation_space: a Box of one dimension expected; got Dict\("),
        ("actions", r"^actions: 4 meanings expected, one for each action; got 3$"),
        ("features", r"^features: with 4 features and the layout 'values' the model would take 4 numbers; it takes 5$"),
        ("statistics", r"^normalise: statistics of 5 features expected; got shape \(4,\)$"),
        ("normalise", r"^normalise: .*absent.pkl is not a saved VecNormalize"),
        ("zip", r"^model: .*absent.zip is not a zip of Stable-Baselines3"),
        ("convolution", r"^layers: no bundle can hold the layer Conv1d"),
        ("noise", r"^policy: a Gaussian with one log_std expected; state-dependent noise cannot be exported$"),
    ],
)
def test_what_cannot_be_exported_is_one_error_that_names_it(
    models: Trained, tmp_path: Path, case: str, message: str
) -> None:
    model, options = impossible(case, models, tmp_path)
    with pytest.raises(BundleError, match=message):
        exported(model, tmp_path / "p.bundle", **options)
    assert not (tmp_path / "p.bundle").exists()


def impossible(case: str, models: Trained, folder: Path) -> tuple[Any, dict[str, Any]]:
    import gymnasium
    from gymnasium import spaces
    from sb3_contrib import RecurrentPPO
    from stable_baselines3 import PPO, SAC
    from stable_baselines3.common.envs import IdentityEnvBox, SimpleMultiObsEnv
    from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
    from torch import nn

    class Images(gymnasium.Env[Any, Any]):
        observation_space = spaces.Box(-1.0, 1.0, (2, COUNT), np.float32)
        action_space = spaces.Discrete(4)

    class Convolution(BaseFeaturesExtractor):
        def __init__(self, observation_space: Any) -> None:
            super().__init__(observation_space, COUNT)
            self.convolution = nn.Conv1d(1, 1, 3, padding=1)

        def forward(self, observations: Any) -> Any:
            return self.convolution(observations.unsqueeze(1)).squeeze(1)

    made: dict[str, Callable[[], Any]] = {
        "recurrent": lambda: RecurrentPPO("MlpLstmPolicy", "CartPole-v1", device="cpu", n_steps=8),
        "sac": lambda: SAC("MlpPolicy", IdentityEnvBox(), device="cpu", buffer_size=10),
        "images": lambda: PPO("MlpPolicy", Images(), device="cpu", n_steps=8),
        "dictionary": lambda: PPO("MultiInputPolicy", SimpleMultiObsEnv(), device="cpu", n_steps=8),
        "zip": lambda: folder / "absent.zip",
        "convolution": lambda: trained("PPO", False, steps=8, policy_kwargs={"features_extractor_class": Convolution})[
            0
        ],
        "noise": lambda: trained("Box", False, steps=8, use_sde=True)[0],
    }
    options: dict[str, dict[str, Any]] = {
        "actions": {"actions": ACTIONS[:3]},
        "features": {"features": FEATURES[:4]},
        "statistics": {"normalise": Statistics([0.0] * 4, [1.0] * 4)},
        "normalise": {"normalise": folder / "absent.pkl"},
        "noise": {"actions": ACTIONS[:3], "bands": (-0.3, 0.3)},
    }
    return made.get(case, lambda: models("PPO", False)[0])(), options.get(case, {})
