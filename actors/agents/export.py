"""From a trained model of Stable-Baselines3 to a bundle that is served without it.

PPO, A2C, DQN and sb3-contrib's MaskablePPO with an observation of one vector. What numpy can serve becomes kind `mlp`;
other sequences of known layers become kind `torch`; anything else is refused, with the name of what stands in the way.

The golden pairs are the model's own words (`get_distribution`, `q_net`), and the bundle is written only when it
repeats them. Reading a model's zip or a VecNormalize file runs code that is in it (pickle): export only your own.
"""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from actors.decisions.bundles import bundle as bundles
from actors.decisions.bundles.bundle import Bundle, BundleError
from actors.decisions.bundles.checking import Array, outputs_of
from actors.decisions.bundles.loading import policy_of
from actors.decisions.bundles.manifest import (
    CONFIDENCE_OF,
    NUMPY_ACTIVATIONS,
    Activate,
    Categorical,
    Gaussian,
    Head,
    Layer,
    Layout,
    Linear,
    Manifest,
    Normaliser,
    QValues,
    Training,
)
from actors.decisions.policy import ActionMeaning, Values

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm

GOLDEN_PAIRS: Final = 64
ALGORITHMS: Final = {"PPO": "ppo", "A2C": "a2c", "DQN": "dqn", "MaskablePPO": "maskable_ppo"}
LIBRARIES: Final = ("stable_baselines3", "sb3_contrib", "gymnasium", "torch", "numpy")


class Statistics(msgspec.Struct, frozen=True):
    """A normaliser that is no VecNormalize: mean and variance of every feature, (features,).

    `observation`: the type in which the environment computed with raw values.
    """

    mean: Sequence[float] | NDArray[np.float64]
    variance: Sequence[float] | NDArray[np.float64]
    epsilon: float = 1e-8
    clip: float = 10.0
    observation: str = "float64"


def export(
    model: BaseAlgorithm | Path | str,
    path: Path,
    *,
    feature_set: str,
    features: Sequence[str],
    actions: Sequence[ActionMeaning],
    normalise: Any = None,
    trained: Training | str = "",
    marks: Sequence[str] = (),
    min_features: int = 1,
    layout: Layout = "values",
    observations: Values | None = None,
    bands: Sequence[float] = (),
    temperature: float = 1.0,
    algorithm: str = "",
) -> str:
    """Write the bundle of a model (or of its zip) and give its SHA-256.

    `normalise`: a VecNormalize, the path of a saved one, `Statistics`, or None. With the layout `values+mask` it may
    know the features alone (a missing one is 0 after it) or the mask bits too (a missing one was 0 before it).
    `observations`: raw ones (n, features) of which the golden pairs are made, NaN where missing; without them they are
    drawn around the normaliser's mean. `bands`: of a Box action, see `manifest.Gaussian`. `temperature`: of the
    confidence of DQN. `algorithm`: PPO, A2C, DQN or MaskablePPO, where a zip does not tell.

    Raises BundleError for what cannot be exported, and names it.
    """
    trained_model = opened(model, algorithm)
    name = algorithm_of(trained_model)
    layers, arrays = layers_of(trained_model, name)
    normaliser, statistics = normaliser_of(normalise, trained_model, len(features), layout)
    arrays |= statistics
    head = head_of(trained_model, name, actions, bands, temperature)
    manifest = Manifest(
        kind="mlp" if all(is_for_numpy(layer) for layer in layers) else "torch",
        algorithm=name,
        feature_set=feature_set,
        features=tuple(features),
        actions=tuple(actions),
        confidence_kind=CONFIDENCE_OF[type(head)],
        layout=layout,
        min_features=min_features,
        mask_rule="trained" if name == "maskable_ppo" else "imposed",
        head=head,
        layers=tuple(layers),
        normaliser=normaliser,
        trained=Training(trained) if isinstance(trained, str) else trained,
        marks=tuple(marks),
        libraries=versions(),
        git_sha=git_sha(),
    )
    check_sizes(trained_model, manifest)
    rows = golden_observations(manifest, arrays, observations)
    arrays |= golden_pairs(trained_model, manifest, arrays, rows)
    arrays |= reference_of(manifest, arrays, rows)
    made = bundles.decode(bundles.encode(Bundle(manifest, arrays)))
    policy_of(made)
    return bundles.write(made, path)


def opened(model: BaseAlgorithm | Path | str, algorithm: str) -> BaseAlgorithm:
    """The model; a zip is loaded, on the processor. Raises BundleError."""
    if not isinstance(model, Path | str):
        return model
    import sb3_contrib
    import stable_baselines3

    path = Path(model)
    name = algorithm or named_in(path)
    if name not in ALGORITHMS:
        raise BundleError("algorithm", f"{', '.join(ALGORITHMS)} can be exported; got {name}")
    kind = getattr(stable_baselines3, name, None) or getattr(sb3_contrib, name)
    try:
        loaded: BaseAlgorithm = kind.load(path, device="cpu")
    except Exception as error:
        raise BundleError("model", f"{path} is not a model of {name}: {type(error).__name__}: {error}") from error
    return loaded


def named_in(path: Path) -> str:
    """The algorithm of a model's zip, by what the algorithm keeps in it. Raises BundleError."""
    try:
        with zipfile.ZipFile(path) as archive:
            kept = json.loads(archive.read("data"))
        policy = str(kept["policy_class"].get("__module__", ""))
    except (OSError, KeyError, AttributeError, ValueError, zipfile.BadZipFile) as error:
        raise BundleError("model", f"{path} is not a zip of Stable-Baselines3: {error}") from error
    if policy.startswith("sb3_contrib.common.recurrent"):
        return "RecurrentPPO"
    if policy.startswith("sb3_contrib.common.maskable"):
        return "MaskablePPO"
    if "exploration_rate" in kept:
        return "DQN"
    if "clip_range" in kept:
        return "PPO"
    if "actor_critic" in policy or "gae_lambda" in kept:
        return "A2C"
    raise BundleError("algorithm", f"{path} does not tell its algorithm; say which of {', '.join(ALGORITHMS)} it is")


def algorithm_of(model: BaseAlgorithm) -> str:
    """The name in a bundle of the model's algorithm. Raises BundleError for one that is not exported."""
    from gymnasium import spaces

    names = [each.__name__ for each in type(model).__mro__]
    if "RecurrentPPO" in names:
        raise BundleError("algorithm", "RecurrentPPO remembers earlier observations; a bundle holds no memory")
    name = next((ALGORITHMS[each] for each in names if each in ALGORITHMS), None)
    if name is None:
        raise BundleError("algorithm", f"{', '.join(ALGORITHMS)} can be exported; got {names[0]}")
    space = model.observation_space
    if not isinstance(space, spaces.Box) or space.shape is None or len(space.shape) != 1:
        raise BundleError("observation_space", f"a Box of one dimension expected; got {space}")
    return name


def layers_of(model: BaseAlgorithm, name: str) -> tuple[list[Layer], dict[str, Array]]:
    """The layers from the observation to the action, in order, and their arrays. Raises BundleError for one that no
    bundle can describe; that they are really applied in this order, the golden pairs prove."""
    from actors.decisions.bundles.torch_net import arrays_of, layer_of

    policy: Any = model.policy
    if name == "dqn":
        parts = [policy.q_net.features_extractor, policy.q_net.q_net]
    else:
        extractor = policy.pi_features_extractor
        parts = [extractor, policy.mlp_extractor.policy_net, policy.action_net]
    layers: list[Layer] = []
    arrays: dict[str, Array] = {}
    for module in (leaf for part in parts for leaf in leaves(part)):
        layer = layer_of(module)
        if layer is None:
            raise BundleError("layers", f"no bundle can hold the layer {module}; it is served by a class of your own")
        if isinstance(layer, Activate) and layer.name == "identity":
            continue
        arrays |= arrays_of(module, len(layers))
        layers.append(layer)
    return layers, arrays


def leaves(module: Any) -> list[Any]:
    """The modules that have none inside, in order; flattening and dropout change nothing in a vector that is served."""
    from torch import nn

    inner = list(module.children())
    if inner:
        return [leaf for child in inner for leaf in leaves(child)]
    if isinstance(module, nn.Flatten | nn.Dropout | nn.Sequential) or (
        not list(module.parameters()) + list(module.buffers())
        and type(module).__module__.startswith("stable_baselines3.")
    ):
        return []
    return [module]


def is_for_numpy(layer: Layer) -> bool:
    """Whether a layer can be served without torch."""
    return isinstance(layer, Linear) or (isinstance(layer, Activate) and layer.name in NUMPY_ACTIVATIONS)


def normaliser_of(
    normalise: Any, model: BaseAlgorithm, features: int, layout: Layout
) -> tuple[Normaliser | None, dict[str, Array]]:
    """The frozen normaliser and its arrays. Raises BundleError."""
    from stable_baselines3.common.running_mean_std import RunningMeanStd
    from stable_baselines3.common.vec_env import VecNormalize

    if isinstance(normalise, Path | str):
        normalise = loaded_normaliser(Path(normalise))
    if normalise is None or (isinstance(normalise, VecNormalize) and not normalise.norm_obs):
        return None, {}
    if isinstance(normalise, VecNormalize):
        running = normalise.obs_rms
        if not isinstance(running, RunningMeanStd):
            raise BundleError("normalise", "it normalises a dictionary of observations; one vector expected")
        mean, variance, epsilon, clip = running.mean, running.var, normalise.epsilon, normalise.clip_obs
        observation = str(model.observation_space.dtype)
    elif isinstance(normalise, Statistics):
        mean, variance, epsilon, clip = normalise.mean, normalise.variance, normalise.epsilon, normalise.clip
        observation = normalise.observation
    else:
        raise BundleError(
            "normalise", f"VecNormalize, its path, or Statistics expected; got {type(normalise).__name__}"
        )
    arrays = {
        "normaliser.mean": np.array(mean, "<f8"),
        "normaliser.variance": np.array(variance, "<f8"),
    }
    size = arrays["normaliser.mean"].shape
    whole = layout == "values+mask" and size == (2 * features,)
    if size != (features,) and not whole:
        raise BundleError("normalise", f"statistics of {features} features expected; got shape {size}")
    if observation not in ("float32", "float64"):
        raise BundleError("observation_space", f"float32 or float64 expected; got {observation}")
    frozen = Normaliser(
        epsilon=float(epsilon),
        clip=float(clip),
        over="input" if whole else "values",
        observation="float64" if observation == "float64" else "float32",
    )
    return frozen, arrays


def loaded_normaliser(path: Path) -> Any:
    """A saved VecNormalize, without an environment. Raises BundleError."""
    import pickle

    try:
        with path.open("rb") as file:
            return pickle.load(file)  # noqa: S301 - the docstring of the module says what that means
    except (OSError, pickle.UnpicklingError, EOFError, AttributeError, ImportError, IndexError) as error:
        raise BundleError("normalise", f"{path} is not a saved VecNormalize: {error}") from error


def head_of(
    model: BaseAlgorithm, name: str, actions: Sequence[ActionMeaning], bands: Sequence[float], temperature: float
) -> Head:
    """What the outputs are. Raises BundleError for actions that a bundle has no word for."""
    from gymnasium import spaces

    space = model.action_space
    if isinstance(space, spaces.Discrete):
        if space.start != 0:
            raise BundleError("action_space", f"actions counted from 0 expected; got a start of {space.start}")
        if len(actions) != space.n:
            raise BundleError("actions", f"{space.n} meanings expected, one for each action; got {len(actions)}")
        return QValues(temperature) if name == "dqn" else Categorical()
    if not isinstance(space, spaces.Box) or space.shape != (1,):
        raise BundleError("action_space", f"Discrete, or a Box of one number expected; got {space}")
    policy: Any = model.policy
    if getattr(policy, "use_sde", False) or not hasattr(policy, "log_std"):
        raise BundleError("policy", "a Gaussian with one log_std expected; state-dependent noise cannot be exported")
    return Gaussian(
        low=float(space.low[0]),
        high=float(space.high[0]),
        log_std=float(policy.log_std.detach().cpu()[0]),
        bands=tuple(bands),
    )


def check_sizes(model: BaseAlgorithm, manifest: Manifest) -> None:
    """Raises BundleError where the observation is not that of the features and the layout."""
    size = (model.observation_space.shape or (0,))[0]
    features = len(manifest.features)
    expected = features * (2 if manifest.layout == "values+mask" else 1)
    if size != expected:
        raise BundleError(
            "features",
            f"with {features} features and the layout {manifest.layout!r} the model would take {expected} numbers; "
            f"it takes {size}",
        )


def golden_observations(manifest: Manifest, arrays: dict[str, Array], given: Values | None) -> Values:
    """64 raw observations (64, features). Drawn ones say nothing of any market: they only touch every input."""
    count, features = GOLDEN_PAIRS, len(manifest.features)
    chance = np.random.default_rng(0)
    if given is not None:
        rows = np.asarray(given, np.float64)
        if rows.ndim != 2 or rows.shape[1] != features or not len(rows):
            raise BundleError("observations", f"an array of shape (n, {features}) expected; got {rows.shape}")
        return rows[np.sort(chance.choice(len(rows), count, replace=len(rows) < count))]
    rows = chance.normal(0.0, 1.5, (count, features))
    if manifest.normaliser is not None:
        deviation = np.sqrt(arrays["normaliser.variance"][:features])
        rows = arrays["normaliser.mean"][:features] + rows * deviation
    if manifest.layout == "values+mask":
        rows[chance.random(rows.shape) < 0.2] = np.nan
    return rows


def inputs_of(manifest: Manifest, arrays: dict[str, Array], rows: Values) -> NDArray[np.float32]:
    """What the model was given in training for these raw rows; written apart from what serves, to compare with it."""
    normaliser = manifest.normaliser
    known = ~np.isnan(rows)
    if normaliser is None:
        scaled = rows
    else:
        raw = rows.astype(normaliser.observation)
        if normaliser.over == "input":
            raw = np.concatenate([np.nan_to_num(raw, nan=0.0), known], axis=1).astype(normaliser.observation)
        spread = np.sqrt(arrays["normaliser.variance"] + normaliser.epsilon)
        scaled = np.clip((raw - arrays["normaliser.mean"]) / spread, -normaliser.clip, normaliser.clip)
        if normaliser.over == "input":
            return scaled.astype(np.float32)
    if manifest.layout == "values+mask":
        scaled = np.concatenate([np.nan_to_num(scaled, nan=0.0), known], axis=1)
    return scaled.astype(np.float32)


def golden_pairs(model: BaseAlgorithm, manifest: Manifest, arrays: dict[str, Array], rows: Values) -> dict[str, Array]:
    """What the model itself says to the rows: probabilities, Q-values, or the clipped action, and the action taken."""
    import torch

    policy: Any = model.policy
    policy.set_training_mode(False)
    inputs = inputs_of(manifest, arrays, rows)
    masks = masks_for(manifest, len(rows))
    given: dict[str, Any] = {"action_masks": masks} if masks is not None else {}
    with torch.no_grad():
        tensor, _ = policy.obs_to_tensor(inputs)
        if manifest.algorithm == "dqn":
            outputs = policy.q_net(tensor).cpu().numpy()
        elif isinstance(manifest.head, Gaussian):
            outputs = model.predict(inputs, deterministic=True)[0]
        else:
            outputs = policy.get_distribution(tensor, **given).distribution.probs.cpu().numpy()
    if isinstance(manifest.head, Gaussian):
        taken = np.digitize(outputs[:, 0], manifest.head.bands)
    else:
        taken, _ = model.predict(inputs, deterministic=True, **given)
    pairs: dict[str, Array] = {
        "golden.observations": rows.astype("<f8"),
        "golden.outputs": outputs.reshape(len(rows), outputs_of(manifest)).astype("<f8"),
        "golden.actions": np.asarray(taken).astype("<i8"),
    }
    if masks is not None:
        pairs["golden.masks"] = masks.astype("|u1")
    return pairs


def masks_for(manifest: Manifest, count: int) -> NDArray[np.bool_] | None:
    """Masks for the golden pairs of a policy that was trained with them; each allows at least one action."""
    if manifest.mask_rule != "trained":
        return None
    chance = np.random.default_rng(1)
    masks = chance.random((count, len(manifest.actions))) < 0.7
    masks[np.arange(count), chance.integers(0, len(manifest.actions), count)] = True
    return masks


def reference_of(manifest: Manifest, arrays: dict[str, Array], rows: Values) -> dict[str, Array]:
    """What is usual of each feature: the normaliser's mean and deviation, else those of the golden observations."""
    features = len(manifest.features)
    if manifest.normaliser is not None:
        spread = np.sqrt(arrays["normaliser.variance"][:features])
        return {"reference": arrays["normaliser.mean"][:features].copy(), "spread": spread}
    known = ~np.isnan(rows)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, rows, 0.0).sum(axis=0) / count
    spread = np.sqrt((np.where(known, rows - mean, 0.0) ** 2).sum(axis=0) / count)
    return {"reference": mean, "spread": spread}


def versions() -> dict[str, str]:
    """The libraries that the model was trained and exported with."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def git_sha() -> str:
    """The commit of the working folder; empty outside of git."""
    try:
        done = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=False)  # noqa: S607
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
