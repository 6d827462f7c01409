"""`numpy` of strategies: everything that calculates, nothing that reads, writes, or reaches into memory."""

from __future__ import annotations

import importlib
from typing import Any, Final

import numpy as np

from actors.strategies.sandbox.inside.facade import Facade, facade_of

WITHOUT: Final = (
    # Files.
    "load", "save", "savez", "savez_compressed", "savetxt", "loadtxt", "genfromtxt", "fromfile", "fromregex", "memmap",
    "DataSource",
    # The frames of the caller.
    "bmat",
    # Memory of others.
    "from_dlpack",
    # What the machine is like, and tests.
    "show_config", "show_runtime", "get_include", "info", "test", "seterrcall", "geterrcall", "setbufsize",
    "getbufsize",
)  # fmt: skip
_PARTS: Final = ("linalg", "fft", "ma", "polynomial", "exceptions", "emath", "char", "strings")
_RANDOM: Final = (
    "beta", "binomial", "chisquare", "choice", "dirichlet", "exponential", "f", "gamma", "geometric", "gumbel",
    "hypergeometric", "laplace", "logistic", "lognormal", "logseries", "multinomial", "multivariate_normal",
    "negative_binomial", "noncentral_chisquare", "noncentral_f", "normal", "pareto", "permutation", "poisson", "power",
    "rand", "randint", "randn", "random", "random_sample", "rayleigh", "seed", "shuffle", "standard_cauchy",
    "standard_exponential", "standard_gamma", "standard_normal", "standard_t", "triangular", "uniform", "vonmises",
    "wald", "weibull", "zipf",
)  # fmt: skip

_SHARED: Final = np.random.RandomState(0)


class RandomState(np.random.RandomState):
    """numpy's generator of old; without a seed it begins with 0."""

    def __init__(self, seed: Any = None) -> None:
        super().__init__(0 if seed is None else seed)


def default_rng(seed: Any = None) -> np.random.Generator:
    """numpy's generator; without a seed it begins with 0."""
    return np.random.default_rng(0 if seed is None else seed)


def _seed(seed: Any = None) -> None:
    """Begin anew; without a seed with 0."""
    _SHARED.seed(0 if seed is None else seed)


def seed_numpy(number: int) -> None:
    """Begin the shared generator anew."""
    _SHARED.seed(number)


def numpy_facades() -> dict[str, Facade]:
    """The facades by module."""
    found = {f"numpy.{part}": _part(part) for part in _PARTS}
    polynomials = ("polynomial", "chebyshev", "legendre", "laguerre", "hermite", "hermite_e")
    for each in polynomials:
        module = importlib.import_module(f"numpy.polynomial.{each}")
        found[f"numpy.polynomial.{each}"] = facade_of(module)
    found["numpy.random"] = Facade(
        "numpy.random",
        {
            "Generator": np.random.Generator,
            "RandomState": RandomState,
            "default_rng": default_rng,
            **{name: getattr(_SHARED, name) for name in _RANDOM},
            "seed": _seed,
        },
    )
    found["numpy.typing"] = facade_of(
        importlib.import_module("numpy.typing"), only=("NDArray", "ArrayLike", "DTypeLike")
    )
    found["numpy.lib.stride_tricks"] = Facade(
        "numpy.lib.stride_tricks", {"sliding_window_view": np.lib.stride_tricks.sliding_window_view}
    )
    found["numpy.lib"] = Facade("numpy.lib", {})
    found["numpy"] = facade_of(np, without=WITHOUT, instead={"__version__": np.__version__})
    return found


def _part(part: str) -> Facade:
    module = importlib.import_module(f"numpy.{part}") if part != "emath" else np.emath
    return facade_of(module, f"numpy.{part}", without=(*WITHOUT, "dump", "dumps"))
