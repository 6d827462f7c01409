"""ONNX models: scikit-learn, TensorFlow and torch exports, served through onnxruntime (`pip install troupe[onnx]`).

One thread, no spinning: onnxruntime's waiting threads slow everything else on the machine (onnxruntime#13808).
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from actors.decisions.bundles.bundle import Bundle
from actors.decisions.bundles.checking import BundleError, outputs_of
from actors.decisions.bundles.inputs import Input
from actors.decisions.bundles.manifest import OnnxModel, input_size
from actors.decisions.bundles.network import NetworkPolicy, Outputs
from actors.decisions.policy import PolicyFailed

TYPES: dict[str, Literal["float32", "float64"]] = {"tensor(float)": "float32", "tensor(double)": "float64"}


def session_of(model: bytes) -> Any:
    """A session for a model. Raises BundleError without onnxruntime, and for bytes that are no model."""
    try:
        import onnxruntime
    except ImportError as error:
        raise BundleError(
            "kind", "onnx models need onnxruntime; install it with: pip install 'troupe[onnx]'"
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        # Its exceptions have no common base but Exception.
        raise BundleError("model.onnx", f"onnxruntime refuses it: {str(error).strip()[:300]}") from error


class OnnxNetwork:
    """A session, called with the input and for the output that the manifest names."""

    def __init__(self, model: bytes, plan: OnnxModel, inputs: int, outputs: int) -> None:
        self._session = session_of(model)
        self._plan = plan
        self._outputs = outputs
        self._type = np.dtype(plan.dtype)
        self._check(inputs)

    def _check(self, size: int) -> None:
        inputs = self._session.get_inputs()
        if [each.name for each in inputs] != [self._plan.input]:
            raise BundleError(
                "onnx.input", f"{self._plan.input!r} alone expected; the model takes {[i.name for i in inputs]}"
            )
        if TYPES.get(inputs[0].type) != self._plan.dtype:
            raise BundleError("onnx.dtype", f"{self._plan.dtype} expected; the model takes {inputs[0].type}")
        shape = inputs[0].shape
        if len(shape) != 2 or (isinstance(shape[1], int) and shape[1] != size):
            raise BundleError("onnx.input", f"shape (n, {size}) expected; the model takes {shape}")
        if self._plan.output not in [each.name for each in self._session.get_outputs()]:
            raise BundleError("onnx.output", f"the model has no output {self._plan.output!r}")

    def __call__(self, inputs: Input) -> Outputs:
        """The outputs (n, outputs) of inputs (n, inputs). Raises PolicyFailed for what is none."""
        try:
            (raw,) = self._session.run([self._plan.output], {self._plan.input: inputs.astype(self._type)})
        except Exception as error:
            raise PolicyFailed(f"onnxruntime failed: {str(error).strip()[:300]}") from error
        outputs = self._columns(raw)
        if outputs.shape != (len(inputs), self._outputs):
            raise PolicyFailed(f"outputs of shape ({len(inputs)}, {self._outputs}) expected; got {outputs.shape}")
        return outputs

    def _columns(self, raw: Any) -> NDArray[np.float64]:
        if not isinstance(raw, list):
            return np.asarray(raw, np.float64)
        try:
            by_name = [{str(key): value for key, value in row.items()} for row in raw]
            return np.array([[row[name] for name in self._plan.classes] for row in by_name], np.float64)
        except (KeyError, AttributeError) as error:
            raise PolicyFailed(f"a probability for each of {', '.join(self._plan.classes)} expected") from error


class OnnxPolicy(NetworkPolicy):
    """Kind `onnx`."""

    def __init__(self, bundle: Bundle) -> None:
        plan = bundle.manifest.onnx
        assert plan is not None
        size, outputs = input_size(bundle.manifest), outputs_of(bundle.manifest)
        super().__init__(bundle, OnnxNetwork(bundle.model, plan, size, outputs))
