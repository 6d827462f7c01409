"""Cross-validation in time: purged and embargoed k folds, and the combinatorial kind."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np
from numpy.typing import NDArray


class Split(msgspec.Struct, frozen=True):
    """Indices of one fit and its test, ascending."""

    train: NDArray[np.int64]
    test: NDArray[np.int64]


def purged_folds(starts: NDArray[np.int64], ends: NDArray[np.int64], folds: int, embargo: int = 0) -> Iterator[Split]:
    """k contiguous folds. `starts`, `ends`: when each sample's label begins and is known, ns; `embargo` in ns."""
    raise NotImplementedError


def combinatorial(
    starts: NDArray[np.int64], ends: NDArray[np.int64], folds: int, tests: int, embargo: int = 0
) -> Iterator[Split]:
    """Every choice of `tests` of the `folds` as the test: combinatorial purged cross-validation."""
    raise NotImplementedError
