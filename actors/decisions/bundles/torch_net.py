"""Networks that numpy has no function for, in torch: layers of the manifest, never code of a file.

Imported with the first bundle of kind `torch`. One thread inside an operation: with more, small networks get slower.
"""

from __future__ import annotations

import threading

import numpy as np
import torch
from torch import nn

from actors.decisions.bundles.bundle import Bundle
from actors.decisions.bundles.checking import Array, BundleError
from actors.decisions.bundles.inputs import Input
from actors.decisions.bundles.manifest import Activate, BatchNorm, Layer, LayerNorm, Linear
from actors.decisions.bundles.network import NetworkPolicy, Outputs

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "sigmoid": nn.Sigmoid,
    "identity": nn.Identity,
    "gelu": nn.GELU,
    "softplus": nn.Softplus,
    "mish": nn.Mish,
    "hardtanh": nn.Hardtanh,
}


class TorchNetwork:
    """The layers of a manifest as torch modules."""

    def __init__(self, bundle: Bundle) -> None:
        # The number of threads is each thread's own.
        self._prepared = threading.local()
        layers = [module_of(layer) for layer in bundle.manifest.layers]
        for index, layer in enumerate(layers):
            fill(layer, {name: array for name, array in bundle.arrays.items() if name.startswith(f"layers.{index}.")})
        self._net = nn.Sequential(*layers).eval().requires_grad_(False)

    def __call__(self, inputs: Input) -> Outputs:
        """The outputs (n, outputs) of inputs (n, inputs)."""
        if not hasattr(self._prepared, "done"):
            torch.set_num_threads(1)
            self._prepared.done = True
        with torch.inference_mode():
            outputs: Outputs = self._net(torch.from_numpy(inputs)).numpy()
        return outputs


class TorchPolicy(NetworkPolicy):
    """Kind `torch`."""

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle, TorchNetwork(bundle))


def module_of(layer: Layer) -> nn.Module:
    """The module of a layer, with weights of no meaning yet."""
    if isinstance(layer, Linear):
        return nn.Linear(layer.inputs, layer.outputs, bias=layer.bias)
    if isinstance(layer, LayerNorm):
        return nn.LayerNorm(layer.size, eps=layer.epsilon)
    if isinstance(layer, BatchNorm):
        return nn.BatchNorm1d(layer.size, eps=layer.epsilon)
    if layer.name == "elu":
        return nn.ELU(layer.parameter)
    if layer.name == "leaky_relu":
        return nn.LeakyReLU(layer.parameter)
    return ACTIVATIONS[layer.name]()


def fill(module: nn.Module, arrays: dict[str, Array]) -> None:
    """Put the arrays in; their names end as the manifest says."""
    names = {"weight": "weight", "bias": "bias", "mean": "running_mean", "variance": "running_var"}
    with torch.no_grad():
        for name, array in arrays.items():
            target = getattr(module, names[name.rpartition(".")[2]], None)
            if not isinstance(target, torch.Tensor):
                raise BundleError(name, f"{type(module).__name__} has none")
            target.copy_(torch.from_numpy(np.array(array)))


def layer_of(module: nn.Module) -> Layer | None:
    """The layer that describes a module, the other way round; None for one that no bundle can describe."""
    if isinstance(module, nn.Linear):
        return Linear(module.in_features, module.out_features, module.bias is not None)
    if isinstance(module, nn.LayerNorm) and len(module.normalized_shape) == 1 and module.elementwise_affine:
        return LayerNorm(module.normalized_shape[0], module.eps) if module.bias is not None else None
    if isinstance(module, nn.BatchNorm1d) and module.affine and module.track_running_stats:
        return BatchNorm(module.num_features, module.eps)
    if type(module) is nn.ELU:
        return Activate("elu", module.alpha)
    if type(module) is nn.LeakyReLU:
        return Activate("leaky_relu", module.negative_slope)
    if type(module) is nn.GELU and module.approximate != "none":
        return None
    if type(module) is nn.Softplus and (module.beta, module.threshold) != (1.0, 20.0):
        return None
    if type(module) is nn.Hardtanh and (module.min_val, module.max_val) != (-1.0, 1.0):
        return None
    for name, kind in ACTIVATIONS.items():
        if type(module) is kind:
            return Activate(name)  # type: ignore[arg-type]
    return None


def arrays_of(module: nn.Module, index: int) -> dict[str, Array]:
    """The arrays of a module under the names of layer `index`."""
    names = {"weight": "weight", "bias": "bias", "running_mean": "mean", "running_var": "variance"}
    found: dict[str, Array] = {}
    for attribute, name in names.items():
        tensor = getattr(module, attribute, None)
        if isinstance(tensor, torch.Tensor):
            found[f"layers.{index}.{name}"] = tensor.detach().cpu().numpy().astype("<f4")
    return found
