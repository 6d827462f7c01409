"""Whether a manifest and its arrays can be a policy: sizes, types, names, finite numbers. A core."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from actors.decisions.bundles.manifest import (
    CONFIDENCE_OF,
    FORMAT_VERSION,
    NUMPY_ACTIVATIONS,
    Activate,
    Gaussian,
    Linear,
    Manifest,
    Probabilities,
    QValues,
    expected_arrays,
    input_size,
)
from actors.decisions.features.names import FEATURE_SETS

Array = NDArray[Any]
MOST_GOLDEN: Final = 4096
PLAIN: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")


class BundleError(Exception):
    """A bundle cannot be served. `field`: where it is wrong, as `manifest.features` or `golden[3]`."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(field, message)
        self.field = field
        self.message = message

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


def check(manifest: Manifest, arrays: Mapping[str, Array], model: bytes, members: Mapping[str, bytes]) -> None:
    """All that can be said without running the policy. Raises BundleError for the first thing that is wrong."""
    if manifest.format_version != FORMAT_VERSION:
        raise BundleError("format_version", f"this is read: {FORMAT_VERSION}; the bundle has {manifest.format_version}")
    check_names(manifest)
    check_actions(manifest)
    check_parts(manifest, model, members)
    check_head(manifest)
    check_layers(manifest)
    check_normaliser(manifest, arrays)
    check_arrays(manifest, arrays)
    check_golden(manifest, arrays)


def check_names(manifest: Manifest) -> None:
    """Features have names, each once; a known set has all of its own, in its order."""
    features = manifest.features
    if not features or "" in features or len(set(features)) != len(features):
        raise BundleError("features", f"names expected, each once; got {', '.join(map(repr, features)) or 'none'}")
    known = FEATURE_SETS.get(manifest.feature_set)
    if known is not None and features != known:
        if len(features) != len(known):
            raise BundleError(
                "features", f"the set {manifest.feature_set} has {len(known)} features; the bundle has {len(features)}"
            )
        at = next(index for index, name in enumerate(known) if features[index] != name)
        raise BundleError(
            f"features[{at}]",
            f"in the set {manifest.feature_set} this is {known[at]!r}; the bundle has {features[at]!r}",
        )
    if not 0 <= manifest.min_features <= len(features):
        raise BundleError("min_features", f"0 to {len(features)} expected; got {manifest.min_features}")


def check_actions(manifest: Manifest) -> None:
    """Actions have names, each once, and shares between 0 and 1."""
    names = [action.name for action in manifest.actions]
    if not names or "" in names or len(set(names)) != len(names):
        raise BundleError("actions", f"names expected, each once; got {', '.join(map(repr, names)) or 'none'}")
    for index, action in enumerate(manifest.actions):
        if not 0.0 <= action.share <= 1.0:
            raise BundleError(f"actions[{index}].share", f"0 to 1 expected; got {action.share}")


def check_parts(manifest: Manifest, model: bytes, members: Mapping[str, bytes]) -> None:
    """Every kind has what belongs to it, and nothing else."""
    present = {
        "layers": bool(manifest.layers),
        "onnx": manifest.onnx is not None,
        "ensemble": manifest.ensemble is not None,
        "head": manifest.head is not None,
        "normaliser": manifest.normaliser is not None,
        "model.onnx": bool(model),
    }
    wanted = {
        "mlp": {"layers", "head"},
        "torch": {"layers", "head"},
        "onnx": {"onnx", "head", "model.onnx"},
        "ensemble": {"ensemble"},
    }[manifest.kind]
    optional = set() if manifest.kind == "ensemble" else {"normaliser"}
    for name, is_there in present.items():
        if name in wanted and not is_there:
            raise BundleError(name, f"a bundle of kind {manifest.kind} needs it; there is none")
        if is_there and name not in wanted | optional:
            raise BundleError(name, f"it has no place in a bundle of kind {manifest.kind}")
    check_members(manifest, members)


def check_members(manifest: Manifest, members: Mapping[str, bytes]) -> None:
    """Members have names, each once, are inside the bundle or in a file beside it, and nowhere else."""
    plan = manifest.ensemble
    if plan is None:
        if members:
            raise BundleError("members", f"they have no place in a bundle of kind {manifest.kind}")
        return
    names = [member.name for member in plan.members]
    if not names or len(set(names)) != len(names):
        raise BundleError("ensemble.members", "at least one expected, each name once")
    for index, member in enumerate(plan.members):
        field = f"ensemble.members[{index}]"
        if not is_plain(member.name):
            raise BundleError(f"{field}.name", f"letters, digits, '_', '-' and '.' expected; got {member.name!r}")
        if member.file and not is_plain(member.file):
            raise BundleError(f"{field}.file", f"the name of a file beside the bundle expected; got {member.file!r}")
        if not member.file and member.name not in members:
            raise BundleError(f"{field}.file", "it names no file, and the bundle has no member of this name inside")
    inside = {member.name for member in plan.members if not member.file}
    if strange := sorted(set(members) - inside):
        raise BundleError("members", f"inside the bundle, but in no list: {', '.join(strange)}")


def is_plain(name: str) -> bool:
    """Whether a name can only be that of a file in one folder."""
    return len(name) <= 128 and PLAIN.fullmatch(name) is not None


def check_head(manifest: Manifest) -> None:
    """The head agrees with the actions, and the kind of confidence with the head."""
    head = manifest.head
    if head is None:
        return
    if manifest.confidence_kind != CONFIDENCE_OF[type(head)]:
        raise BundleError(
            "confidence_kind", f"with this head {CONFIDENCE_OF[type(head)]} expected; got {manifest.confidence_kind}"
        )
    if isinstance(head, Probabilities) and manifest.kind != "onnx":
        raise BundleError("head", f"probabilities come from models of kind onnx; this is {manifest.kind}")
    if isinstance(head, QValues) and not (head.temperature > 0 and math.isfinite(head.temperature)):
        raise BundleError("head.temperature", f"above 0 expected; got {head.temperature}")
    if isinstance(head, Gaussian):
        if not all(map(math.isfinite, (head.low, head.high, head.log_std, *head.bands))) or head.low >= head.high:
            raise BundleError("head", f"finite numbers and low < high expected; got {head}")
        if len(head.bands) != len(manifest.actions) - 1:
            raise BundleError(
                "head.bands", f"{len(manifest.actions) - 1} expected, one fewer than actions; got {len(head.bands)}"
            )
        if any(first >= second for first, second in pairwise(head.bands)):
            raise BundleError("head.bands", f"ascending thresholds expected; got {head.bands}")


def outputs_of(manifest: Manifest) -> int:
    """How many numbers the network has to answer with."""
    return 1 if isinstance(manifest.head, Gaussian) else len(manifest.actions)


def check_layers(manifest: Manifest) -> None:
    """Each layer takes what the one before gives; the first the observation, the last answers for the actions."""
    if not manifest.layers:
        return
    size = input_size(manifest)
    for index, layer in enumerate(manifest.layers):
        field = f"layers[{index}]"
        if isinstance(layer, Linear):
            if layer.inputs != size:
                raise BundleError(f"{field}.inputs", f"{size} expected, what comes in; got {layer.inputs}")
            if layer.outputs < 1:
                raise BundleError(f"{field}.outputs", f"at least 1 expected; got {layer.outputs}")
            size = layer.outputs
        elif isinstance(layer, Activate):
            if not math.isfinite(layer.parameter):
                raise BundleError(f"{field}.parameter", f"a finite number expected; got {layer.parameter}")
            if manifest.kind == "mlp" and layer.name not in NUMPY_ACTIVATIONS:
                raise BundleError(f"{field}.name", f"kind mlp has no {layer.name}; kind torch has")
        else:
            if manifest.kind == "mlp":
                raise BundleError(field, f"kind mlp has no {type(layer).__name__}; kind torch has")
            if layer.size != size:
                raise BundleError(f"{field}.size", f"{size} expected, what comes in; got {layer.size}")
            if not (layer.epsilon > 0 and math.isfinite(layer.epsilon)):
                raise BundleError(f"{field}.epsilon", f"above 0 expected; got {layer.epsilon}")
    if size != outputs_of(manifest):
        raise BundleError(
            "layers", f"{outputs_of(manifest)} outputs expected for the actions; the last layer has {size}"
        )


def check_normaliser(manifest: Manifest, arrays: Mapping[str, Array]) -> None:
    """The normaliser divides by no zero."""
    normaliser = manifest.normaliser
    if normaliser is None:
        return
    if not (normaliser.epsilon >= 0 and math.isfinite(normaliser.epsilon)):
        raise BundleError("normaliser.epsilon", f"0 or more expected; got {normaliser.epsilon}")
    if not normaliser.clip > 0:
        raise BundleError("normaliser.clip", f"above 0 expected; got {normaliser.clip}")
    if normaliser.over == "input" and manifest.layout == "values":
        raise BundleError("normaliser.over", "'values' expected: the layout has no mask bits")
    variance = arrays.get("normaliser.variance")
    if variance is not None and not bool(np.all(variance + normaliser.epsilon > 0)):
        raise BundleError("normaliser.variance", "above 0 expected")


def check_arrays(manifest: Manifest, arrays: Mapping[str, Array]) -> None:
    """The arrays are those that the manifest needs, of its sizes and types, and finite."""
    for name, (dtype, shape) in expected_arrays(manifest).items():
        array = arrays.get(name)
        if array is None:
            raise BundleError(name, f"an array of shape {shape} expected; there is none")
        if array.shape != shape or array.dtype != np.dtype(dtype):
            raise BundleError(
                name,
                f"{dtype} of shape {shape} expected; got {array.dtype.str} of shape {array.shape}",
            )
    optional = {"reference", "spread"} | {name for name in arrays if name.startswith("golden.")}
    if strange := sorted(set(arrays) - set(expected_arrays(manifest)) - optional):
        raise BundleError(strange[0], "a policy of this manifest has no such array")
    for name in ("reference", "spread"):
        array = arrays.get(name)
        if array is not None and (array.shape != (len(manifest.features),) or array.dtype != np.dtype("<f8")):
            raise BundleError(name, f"<f8 of shape ({len(manifest.features)},) expected; got {array.shape}")
    for name, array in arrays.items():
        may_miss = name in ("golden.observations", "golden.regimes")
        if array.dtype.kind == "f" and not may_miss and not bool(np.isfinite(array).all()):
            at = tuple(int(index) for index in np.argwhere(~np.isfinite(array))[0])
            raise BundleError(name, f"finite numbers expected; got {array[at]} at {list(at)}")


def check_golden(manifest: Manifest, arrays: Mapping[str, Array]) -> None:
    """There are golden pairs, and they are of the policy's sizes. An ensemble may have none: its members have."""
    observations = arrays.get("golden.observations")
    if observations is None:
        if manifest.kind != "ensemble":
            raise BundleError("golden.observations", "golden pairs expected; there are none")
        if strange := sorted(name for name in arrays if name.startswith("golden.")):
            raise BundleError(strange[0], "there are no observations to it")
        return
    count = len(observations) if observations.ndim == 2 else 0
    if not 1 <= count <= MOST_GOLDEN:
        raise BundleError("golden.observations", f"1 to {MOST_GOLDEN} rows expected; got shape {observations.shape}")
    shapes: dict[str, tuple[str, tuple[int, ...]]] = {
        "golden.observations": ("<f8", (count, len(manifest.features))),
        "golden.outputs": ("<f8", (count, outputs_of(manifest))),
        "golden.actions": ("<i8", (count,)),
    }
    if "golden.masks" in arrays:
        shapes["golden.masks"] = ("|u1", (count, len(manifest.actions)))
    if "golden.regimes" in arrays:
        shapes["golden.regimes"] = ("<f8", (count, 4))
    for name, (dtype, shape) in shapes.items():
        array = arrays.get(name)
        if array is None or array.shape != shape or array.dtype != np.dtype(dtype):
            got = "none" if array is None else f"{array.dtype.str} of shape {array.shape}"
            raise BundleError(name, f"{dtype} of shape {shape} expected; got {got}")
    if strange := sorted(name for name in arrays if name.startswith("golden.") and name not in shapes):
        raise BundleError(strange[0], "golden pairs have no such array")
    actions = arrays["golden.actions"]
    if bool(((actions < 0) | (actions >= len(manifest.actions))).any()):
        raise BundleError("golden.actions", f"0 to {len(manifest.actions) - 1} expected")
