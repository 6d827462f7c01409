"""From an ONNX model (scikit-learn through skl2onnx, TensorFlow through tf2onnx, torch.onnx) to a bundle. A core.

What its outputs are is found out where that can be known: rows that are not negative and add up to one are
probabilities. Values of actions look like logits, so they have to be said to be values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

import msgspec
import numpy as np

from actors.decisions.bundles.bundle import Bundle, decode, encode
from actors.decisions.bundles.checking import Array, BundleError
from actors.decisions.bundles.inputs import Encoder
from actors.decisions.bundles.loading import policy_of
from actors.decisions.bundles.manifest import (
    CONFIDENCE_OF,
    Categorical,
    Head,
    Layout,
    Manifest,
    Normaliser,
    OnnxModel,
    Probabilities,
    QValues,
    Training,
    input_size,
)
from actors.decisions.bundles.onnx import TYPES, OnnxNetwork, OnnxPolicy, session_of
from actors.decisions.policy import ActionMeaning, PolicyFailed, Values

GOLDEN_PAIRS: Final = 64
STATISTICS: Final = ("mean", "variance")
Outputs = Literal["auto", "probabilities", "logits", "q_values"]


def onnx_bundle(
    model: bytes,
    *,
    algorithm: str,
    feature_set: str,
    features: Sequence[str],
    actions: Sequence[ActionMeaning],
    observations: Values,
    normalise: tuple[Sequence[float] | Values, Sequence[float] | Values] | None = None,
    outputs: Outputs = "auto",
    output: str = "",
    temperature: float = 1.0,
    layout: Layout = "values",
    min_features: int = 1,
    trained: Training | str = "",
    marks: Sequence[str] = (),
    libraries: dict[str, str] | None = None,
    original: Callable[[Values], Values] | None = None,
) -> Bundle:
    """The bundle of a model, proved and ready to be written.

    `actions`: in the order of the model's columns (of scikit-learn: of `classes_`). `observations`: raw ones (n,
    features), of which the golden pairs are made. `normalise`: mean and variance, where the model does not normalise by
    itself. `output`: its name, where there are several that could be it. `original`: the model itself as a function of
    the observations; then the golden pairs are its words, and the file has to repeat them.

    Raises BundleError.
    """
    rows = chosen(np.asarray(observations, np.float64), len(features))
    arrays: dict[str, Array] = {}
    if normalise is not None:
        arrays = {f"normaliser.{name}": np.array(each, "<f8") for name, each in zip(STATISTICS, normalise, strict=True)}
    manifest = Manifest(
        kind="onnx",
        algorithm=algorithm,
        feature_set=feature_set,
        features=tuple(features),
        actions=tuple(actions),
        confidence_kind="probability",
        layout=layout,
        min_features=min_features,
        normaliser=None if normalise is None else Normaliser(1e-8, 10.0),
        trained=Training(trained) if isinstance(trained, str) else trained,
        marks=tuple(marks),
        libraries=dict(libraries or {}),
    )
    plan, seen = called(model, manifest, Encoder(manifest, arrays).many(rows), output)
    head = head_of(outputs, seen, temperature)
    manifest = msgspec.structs.replace(manifest, onnx=plan, head=head, confidence_kind=CONFIDENCE_OF[type(head)])
    policy = OnnxPolicy(Bundle(manifest, arrays, model))
    try:
        said = np.asarray(original(rows), np.float64) if original is not None else policy.figures(rows)
    except PolicyFailed as error:
        raise BundleError("golden", f"the policy does not answer them: {error}") from error
    arrays |= {
        "golden.observations": rows.astype("<f8"),
        "golden.outputs": said.astype("<f8"),
        "golden.actions": said.argmax(axis=1).astype("<i8"),
        **reference_of(rows),
    }
    made = decode(encode(Bundle(manifest, arrays, model)))
    policy_of(made)
    return made


def chosen(rows: Values, features: int) -> Values:
    """Up to 64 observations, spread evenly over those that were given."""
    if rows.ndim != 2 or rows.shape[1] != features or not len(rows):
        raise BundleError("observations", f"an array of shape (n, {features}) expected; got {rows.shape}")
    spread: Values = rows[np.linspace(0, len(rows) - 1, min(len(rows), GOLDEN_PAIRS)).astype(int)]
    return spread


def called(model: bytes, manifest: Manifest, inputs: Any, output: str) -> tuple[OnnxModel, Values]:
    """How the model is called, and what it says to some inputs: its output with a column for each action."""
    session = session_of(model)
    taken = session.get_inputs()
    if len(taken) != 1 or taken[0].type not in TYPES:
        said = ", ".join(f"{each.name} {each.type}" for each in taken)
        raise BundleError("onnx.input", f"one tensor of floats expected; the model takes {said}")
    given = session.get_outputs()
    names = [each.name for each in given]
    if output and output not in names:
        raise BundleError("onnx.output", f"the model has no output {output!r}; it has {', '.join(names)}")
    size, count = input_size(manifest), len(manifest.actions)
    for each in given:
        if (output and each.name != output) or not ("float" in each.type or "double" in each.type):
            continue
        plan = OnnxModel(taken[0].name, each.name, TYPES[taken[0].type], classes_of(session, each, inputs))
        try:
            columns: Values = np.asarray(OnnxNetwork(model, plan, size, count)(inputs), np.float64)
        except PolicyFailed:
            continue  # it has other columns: a label, or a figure of its own
        return plan, columns
    raise BundleError(
        "onnx.output", f"no output with {count} columns for the actions; the model has {', '.join(names)}"
    )


def classes_of(session: Any, output: Any, inputs: Any) -> tuple[str, ...]:
    """The keys of an output that is a sequence of maps; empty for a tensor."""
    if not output.type.startswith("seq(map("):
        return ()
    taken = session.get_inputs()[0]
    (rows,) = session.run([output.name], {taken.name: inputs[:1].astype(TYPES[taken.type])})
    return tuple(str(key) for key in rows[0])


def head_of(outputs: Outputs, seen: Values, temperature: float) -> Head:
    """What the outputs are: as it is said, or probabilities where they are."""
    if outputs == "q_values":
        return QValues(temperature)
    adds_up = bool((seen >= 0).all()) and bool((np.abs(seen.sum(axis=1) - 1.0) < 1e-4).all())
    return Probabilities() if outputs == "probabilities" or (outputs == "auto" and adds_up) else Categorical()


def reference_of(rows: Values) -> dict[str, Array]:
    """What is usual of each feature in these observations, NaN left out; 0 and 0 of one that is nowhere known."""
    known = ~np.isnan(rows)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, rows, 0.0).sum(axis=0) / count
    return {
        "reference": mean,
        "spread": np.sqrt((np.where(known, rows - mean, 0.0) ** 2).sum(axis=0) / count),
    }
