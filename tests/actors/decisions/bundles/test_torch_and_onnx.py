"""Policies that other libraries run answer as their originals do."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actors.decisions.bundles.bundle import Bundle, BundleError, encode, write
from actors.decisions.bundles.importing import onnx_bundle
from actors.decisions.bundles.loading import load_policy
from actors.decisions.bundles.manifest import Activate, BatchNorm, LayerNorm, Linear
from actors.decisions.policy import PolicyFailed
from tests.actors.decisions.bundles.samples import ACTIONS, FEATURES, MEAN, VARIANCE, encoded, mlp_bundle, observations

ROWS = observations(500, seed=21)
LABELS = np.clip(((ROWS[:, 0] - 50) / 20 + ROWS[:, 1] / 4 + 1).round(), 0, 2).astype(int)


def onnx(model: bytes, path: Path, **options: Any) -> Any:
    given: dict[str, Any] = {
        "algorithm": "classifier",
        "feature_set": "samples",
        "features": FEATURES,
        "actions": ACTIONS,
        "observations": ROWS,
        "marks": ["synthetic"],
        **options,
    }
    write(onnx_bundle(model, **given), path)
    return load_policy(path)


@pytest.fixture(scope="module")
def forest() -> Any:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), RandomForestClassifier(8, max_depth=4, random_state=1)).fit(ROWS, LABELS)


@pytest.mark.parametrize("zipmap", [True, False])
def test_a_classifier_of_scikit_learn_is_served_with_its_probabilities(
    forest: Any, tmp_path: Path, zipmap: bool
) -> None:
    from skl2onnx import to_onnx

    rows = ROWS.astype(np.float32)
    model = to_onnx(forest, rows[:1], options={id(forest): {"zipmap": zipmap}}).SerializeToString()
    policy = onnx(model, tmp_path / "p.bundle")
    expected = forest.predict_proba(rows)
    answers = policy.act(ROWS)
    np.testing.assert_allclose([answer.probabilities for answer in answers], expected, rtol=0, atol=1e-5)
    clear = np.sort(expected, axis=1)[:, -1] - np.sort(expected, axis=1)[:, -2] > 1e-4
    taken = np.array([answer.action for answer in answers])
    assert (taken == forest.predict(rows))[clear].all()
    assert len(set(taken.tolist())) == 3
    info = policy.info
    assert (info.kind, info.threaded, info.confidence_kind, info.takes_missing) == ("onnx", True, "probability", False)


def network() -> Any:
    import torch
    from torch import nn

    torch.manual_seed(5)
    return nn.Sequential(nn.Linear(4, 16), nn.LayerNorm(16), nn.GELU(), nn.Linear(16, 3)).eval()


def by_hand(outputs: str = "logits", nan: bool = False) -> bytes:
    """Gemm and Tanh, as torch and TensorFlow export a small network; weights from the sample bundle."""
    from onnx import TensorProto, helper, numpy_helper

    arrays = mlp_bundle("values").arrays
    weights = [numpy_helper.from_array(np.array(arrays[f"layers.{i}.{k}"]), f"{k}{i}")
               for i in (0, 2, 4) for k in ("weight", "bias")]  # fmt: skip
    steps = []
    last = "observation"
    for i in (0, 2, 4):
        steps.append(helper.make_node("Gemm", [last, f"weight{i}", f"bias{i}"], [f"linear{i}"], transB=1))
        last = f"tanh{i}" if i < 4 else "linear4"
        if i < 4:
            steps.append(helper.make_node("Tanh", [f"linear{i}"], [last]))
    ending = "Log" if nan else "Softmax" if outputs == "probabilities" else "Identity"
    steps.append(helper.make_node(ending, [last], ["out"]))
    graph = helper.make_graph(
        steps,
        "policy",
        [helper.make_tensor_value_info("observation", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", 3])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


@pytest.mark.parametrize("outputs", ["logits", "probabilities"])
def test_a_network_in_onnx_answers_as_the_same_network_in_numpy(tmp_path: Path, outputs: str) -> None:
    from actors.decisions.bundles.mlp import MlpPolicy

    whole = mlp_bundle("values")
    policy = onnx(by_hand(outputs), tmp_path / "p.bundle", normalise=(MEAN, VARIANCE))
    expected = [answer.probabilities for answer in MlpPolicy(whole).act(ROWS)]
    np.testing.assert_allclose([answer.probabilities for answer in policy.act(ROWS)], expected, rtol=0, atol=1e-5)
    mask = np.tile([True, False, True], (len(ROWS), 1))
    masked = [answer.probabilities for answer in MlpPolicy(whole).act(ROWS, mask)]
    np.testing.assert_allclose([a.probabilities for a in policy.act(ROWS, mask)], masked, rtol=0, atol=1e-5)


def test_a_network_of_torch_is_served_through_torchs_own_export(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnxscript", reason="torch.onnx needs it")
    net = network()
    torch.onnx.export(net, (torch.zeros(2, 4),), str(tmp_path / "net.onnx"), dynamo=True)
    policy = onnx((tmp_path / "net.onnx").read_bytes(), tmp_path / "p.bundle", normalise=(MEAN, VARIANCE))
    with torch.no_grad():
        expected = torch.softmax(net(torch.from_numpy(encoded(ROWS, "values"))), 1).numpy()
    np.testing.assert_allclose([a.probabilities for a in policy.act(ROWS)], expected, rtol=0, atol=1e-5)


def test_golden_pairs_of_the_original_itself_are_compared_with_what_the_file_says(forest: Any, tmp_path: Path) -> None:
    from skl2onnx import to_onnx

    model = to_onnx(forest, ROWS[:1].astype(np.float32)).SerializeToString()
    policy = onnx(model, tmp_path / "p.bundle", original=lambda rows: forest.predict_proba(rows.astype(np.float32)))
    assert policy.info.version
    with pytest.raises(BundleError, match=r"^golden\[\d+\]: the policy answers .* they differ by"):
        onnx(model, tmp_path / "q.bundle", original=lambda rows: np.full((len(rows), 3), 1 / 3))


def test_values_have_to_be_said_to_be_values(tmp_path: Path) -> None:
    policy = onnx(by_hand(), tmp_path / "p.bundle", normalise=(MEAN, VARIANCE), outputs="q_values")
    assert policy.info.confidence_kind == "q_softmax"
    (answer,) = policy.act(ROWS[:1])
    assert answer.value == pytest.approx(float(policy.figures(ROWS[:1]).max()))


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (b"no model", {}, r"^model.onnx: onnxruntime refuses it: "),
        (
            None,
            {"features": FEATURES[:3], "observations": ROWS[:, :3]},
            r"^onnx.input: shape \(n, 3\) expected; the mo",
        ),
        (None, {"actions": ACTIONS[:2]}, r"^onnx.output: no output with 2 columns for the actions; the model has out"),
        (None, {"output": "absent"}, r"^onnx.output: the model has no output 'absent'; it has out$"),
        (None, {"outputs": "probabilities"}, r"^golden: the policy does not answer them: the outputs are no probab"),
    ],
)
def test_a_model_that_does_not_fit_is_one_error(tmp_path: Path, model: Any, options: Any, message: str) -> None:
    with pytest.raises(BundleError, match=message):
        onnx(model or by_hand(), tmp_path / "p.bundle", **options)


@pytest.mark.filterwarnings("ignore:invalid value")
def test_an_output_that_is_no_number_is_a_failure_of_the_policy(tmp_path: Path) -> None:
    from actors.decisions.bundles.onnx import OnnxPolicy

    whole = onnx_bundle(
        by_hand(),
        algorithm="classifier",
        feature_set="samples",
        features=FEATURES,
        actions=ACTIONS,
        observations=ROWS,
        normalise=(MEAN, VARIANCE),
    )
    policy = OnnxPolicy(Bundle(whole.manifest, whole.arrays, by_hand(nan=True)))
    with pytest.raises(PolicyFailed, match=r"^the network's outputs are no numbers: "):
        policy.act(ROWS[:20])


def test_without_onnxruntime_there_is_one_error_that_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    onnx(by_hand(), tmp_path / "p.bundle", normalise=(MEAN, VARIANCE))
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(
        BundleError, match=r"^kind: onnx models need onnxruntime; install it with: pip install 'troupe\[onnx\]'"
    ):
        load_policy(tmp_path / "p.bundle")


def torch_bundle() -> Bundle:
    """LayerNorm, GELU, BatchNorm and Softplus, with the pairs that torch's own modules give."""
    import msgspec
    import torch
    from torch import nn

    from actors.decisions.bundles.torch_net import arrays_of

    torch.manual_seed(3)
    net = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.GELU(), nn.BatchNorm1d(8), nn.Softplus(), nn.Linear(8, 3))
    net(torch.randn(64, 4))
    net.eval()
    whole = mlp_bundle("values")
    layers = (
        Linear(4, 8),
        LayerNorm(8, 1e-5),
        Activate("gelu"),
        BatchNorm(8, 1e-5),
        Activate("softplus"),
        Linear(8, 3),
    )
    arrays = {name: array for name, array in whole.arrays.items() if not name.startswith("layers.")}
    for index, module in enumerate(net):
        arrays |= arrays_of(module, index)
    with torch.no_grad():
        outputs = torch.softmax(net(torch.from_numpy(encoded(arrays["golden.observations"], "values"))), 1).numpy()
    arrays |= {"golden.outputs": outputs.astype("<f8"), "golden.actions": outputs.argmax(axis=1).astype("<i8")}
    return Bundle(msgspec.structs.replace(whole.manifest, kind="torch", layers=layers), arrays)


def test_layers_that_numpy_has_no_function_for_are_served_by_torch_as_torch_computes_them(tmp_path: Path) -> None:
    write(torch_bundle(), tmp_path / "p.bundle")
    policy = load_policy(tmp_path / "p.bundle")
    assert (policy.info.kind, policy.info.threaded) == ("torch", True)
    assert len({answer.action for answer in policy.act(ROWS)}) > 1


def test_a_thread_that_serves_through_torch_has_one_thread_inside_each_operation(tmp_path: Path) -> None:
    import torch

    write(torch_bundle(), tmp_path / "p.bundle")
    policy = load_policy(tmp_path / "p.bundle")
    seen: list[int] = []

    def serve() -> None:
        torch.set_num_threads(2)
        policy.act(ROWS[:1])
        seen.append(torch.get_num_threads())

    before = torch.get_num_threads()
    thread = threading.Thread(target=serve)
    thread.start()
    thread.join(10)
    torch.set_num_threads(before)
    assert seen == [1]


def test_a_torch_bundle_whose_weights_were_changed_is_refused(tmp_path: Path) -> None:
    whole = torch_bundle()
    arrays = dict(whole.arrays)
    arrays["layers.3.variance"] = arrays["layers.3.variance"] * 1.1
    (tmp_path / "p.bundle").write_bytes(encode(Bundle(whole.manifest, arrays)))
    with pytest.raises(BundleError, match=r"^golden\[\d+\]: "):
        load_policy(tmp_path / "p.bundle")
