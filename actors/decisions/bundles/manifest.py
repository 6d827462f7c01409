"""What a bundle says of its policy: the manifest, field by field. A core.

The manifest is JSON (`manifest.json` in the bundle). It has no free-form part: a field that is not here is an error, so
that a reader never serves a policy of which it has understood only the half.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, Literal

import msgspec

from actors.decisions.policy import ActionMeaning
from protocols.decisions import ConfidenceKind

FORMAT: Final = "troupe-policy-bundle"
FORMAT_VERSION: Final = 1

Activation = Literal[
    "tanh", "relu", "elu", "silu", "leaky_relu", "sigmoid", "identity", "gelu", "softplus", "mish", "hardtanh"
]
NUMPY_ACTIVATIONS: Final[frozenset[str]] = frozenset(
    {"tanh", "relu", "elu", "silu", "leaky_relu", "sigmoid", "identity"}
)
"""What is served without torch."""
Layout = Literal["values", "values+mask"]
ArrayType = Literal["<f4", "<f8", "<i8", "|u1"]


class Linear(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="linear", tag_field="layer"):
    """y = W x + b; arrays `layers.<index>.weight` (outputs, inputs) and, with `bias`, `layers.<index>.bias`."""

    inputs: int
    outputs: int
    bias: bool = True


class Activate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="activation", tag_field="layer"):
    """An elementwise function. `parameter`: alpha of elu, the negative slope of leaky_relu; 0 for the others."""

    name: Activation
    parameter: float = 0.0


class LayerNorm(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="layer_norm", tag_field="layer"):
    """Normalisation over the features of one sample; arrays `.weight` and `.bias`. Kind `torch` only."""

    size: int
    epsilon: float


class BatchNorm(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="batch_norm", tag_field="layer"):
    """BatchNorm1d with frozen statistics; arrays `.weight`, `.bias`, `.mean`, `.variance`. Kind `torch` only."""

    size: int
    epsilon: float


Layer = Linear | Activate | LayerNorm | BatchNorm


class Categorical(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="categorical", tag_field="head"):
    """The outputs are logits: the policy takes the most probable action that is allowed."""


class Probabilities(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="probabilities", tag_field="head"):
    """The outputs are probabilities already (classifiers)."""


class QValues(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="q_values", tag_field="head"):
    """The outputs are values of actions: the highest wins; the confidence is softmax(Q / temperature)."""

    temperature: float = 1.0


class Gaussian(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="gaussian", tag_field="head"):
    """One Box action: the mean of a Gaussian, clipped to [low, high] (with `squash`: tanh, then stretched to it).

    `bands`: ascending thresholds, one fewer than there are actions; the action's meaning is the band that it lies in,
    a value on a threshold belongs to the upper band.
    """

    low: float
    high: float
    log_std: float
    bands: tuple[float, ...]
    squash: bool = False


Head = Categorical | Probabilities | QValues | Gaussian
CONFIDENCE_OF: Final[dict[type, ConfidenceKind]] = {
    Categorical: "probability",
    Probabilities: "probability",
    QValues: "q_softmax",
    Gaussian: "density",
}


class Normaliser(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The frozen normaliser: clip((x - mean) / sqrt(variance + epsilon), -clip, clip) in float64, then float32.

    That is Stable-Baselines3's `VecNormalize.normalize_obs`. Arrays `normaliser.mean`, `normaliser.variance`.
    `over`: `values`, it knows the features alone, and a missing one becomes 0 after it; `input`, it knows the mask bits
    too, and a missing feature was 0 before it, because that is how the training's environment gave it.
    """

    epsilon: float
    clip: float
    over: Literal["values", "input"] = "values"
    observation: Literal["float32", "float64"] = "float32"
    """The type in which the environment gave observations: raw values are rounded to it first, as they were there."""


class OnnxModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How `model.onnx` is called: the input's name and type, the output that counts.

    `classes`: the keys, in the order of the actions, where the output is a sequence of maps (scikit-learn's ZipMap).
    """

    input: str
    output: str
    dtype: Literal["float32", "float64"] = "float32"
    classes: tuple[str, ...] = ()


class Member(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A member of an ensemble: another bundle. `file`: beside this one; empty: inside it, as `members/<name>`."""

    name: str
    sha256: str
    file: str = ""


class EnsemblePlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who the members are, and the further arguments of `actors.decisions.regimes.ensemble:Ensemble`."""

    members: tuple[Member, ...]
    arguments: dict[str, bool | int | float | str] = {}


class Training(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the policy was trained on. Times in ns, UTC; 0: not known."""

    source: str = ""
    ts_from: int = 0
    ts_to: int = 0
    steps: int = 0

    def __str__(self) -> str:
        parts = [self.source] if self.source else []
        if self.ts_from and self.ts_to:
            first, last = (
                datetime.fromtimestamp(ts / 1e9, UTC).strftime("%Y-%m-%d") for ts in (self.ts_from, self.ts_to)
            )
            parts.append(f"{first} to {last}")
        if self.steps:
            parts.append(f"{self.steps} steps")
        return ", ".join(parts)


class ArraySpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One array: `arrays/<name>` holds its elements, little-endian, rows first, and nothing else."""

    name: str
    dtype: ArrayType
    shape: tuple[int, ...]


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that is to be known of a policy. Which fields a kind has: `mlp`, `torch`: `layers`; `onnx`: `onnx`;
    `ensemble`: `ensemble`; all but `ensemble`: `head`."""

    format: Literal["troupe-policy-bundle"] = FORMAT
    format_version: int = FORMAT_VERSION
    kind: Literal["mlp", "torch", "onnx", "ensemble"]
    algorithm: str
    feature_set: str
    features: tuple[str, ...]
    actions: tuple[ActionMeaning, ...]
    confidence_kind: ConfidenceKind
    layout: Layout = "values"
    min_features: int = 1
    mask_rule: Literal["trained", "imposed"] = "imposed"
    """`trained`: it has learned with masks (MaskablePPO). `imposed`: it has not; a mask is obeyed all the same."""
    cacheable: bool = True
    head: Head | None = None
    layers: tuple[Layer, ...] = ()
    normaliser: Normaliser | None = None
    onnx: OnnxModel | None = None
    ensemble: EnsemblePlan | None = None
    trained: Training = Training()
    marks: tuple[str, ...] = ()
    libraries: dict[str, str] = {}
    git_sha: str = ""
    arrays: tuple[ArraySpec, ...] = ()


def input_size(manifest: Manifest) -> int:
    """The length of what the network itself takes."""
    return len(manifest.features) * (2 if manifest.layout == "values+mask" else 1)


def expected_arrays(manifest: Manifest) -> dict[str, tuple[ArrayType, tuple[int, ...]]]:
    """The arrays that a policy of this manifest has to bring, golden pairs aside: name → (type, shape)."""
    features = len(manifest.features)
    expected: dict[str, tuple[ArrayType, tuple[int, ...]]] = {}
    for index, layer in enumerate(manifest.layers):
        if isinstance(layer, Linear):
            expected[f"layers.{index}.weight"] = ("<f4", (layer.outputs, layer.inputs))
            if layer.bias:
                expected[f"layers.{index}.bias"] = ("<f4", (layer.outputs,))
        elif isinstance(layer, LayerNorm | BatchNorm):
            names = ("weight", "bias") + (("mean", "variance") if isinstance(layer, BatchNorm) else ())
            expected |= {f"layers.{index}.{name}": ("<f4", (layer.size,)) for name in names}
    if manifest.normaliser is not None:
        size = input_size(manifest) if manifest.normaliser.over == "input" else features
        expected |= {f"normaliser.{name}": ("<f8", (size,)) for name in ("mean", "variance")}
    return expected
