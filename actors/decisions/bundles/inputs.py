"""From raw feature values to what a network takes: rounding, normalising, clipping, mask bits. A core.

Exactly what the training did, in its order and its types (see `manifest.Normaliser`). A missing feature (NaN) is 0 with
mask bit 0 for a network that has learned with mask bits; for one that has not it is an error, never a number.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from actors.decisions.bundles.checking import Array
from actors.decisions.bundles.manifest import Manifest, input_size
from actors.decisions.policy import FeaturesMissing, PolicyFailed, Values

Input = NDArray[np.float32]


class Encoder:
    """Makes inputs from values. Its buffers are its own: the answer of `one` holds until the next call."""

    def __init__(self, manifest: Manifest, arrays: Mapping[str, Array]) -> None:
        self._features = manifest.features
        self._masked = manifest.layout == "values+mask"
        self._size = input_size(manifest)
        count = len(manifest.features)
        normaliser = manifest.normaliser
        rounds = normaliser is not None and normaliser.observation == "float32"
        self._rounded = np.zeros(self._size, np.float32 if rounds or normaliser is None else np.float64)
        self._scaled = np.zeros(self._size)
        self._input = np.zeros(self._size, np.float32)
        self._missing = np.zeros(count, np.bool_)
        # Views, once: making one costs as much as an operation on it.
        self._values = self._rounded[:count]
        self._bits = self._rounded[count:]
        self._fills_after = self._masked and normaliser is not None and normaliser.over == "values"
        if normaliser is not None:
            over = len(arrays["normaliser.mean"])
            self._mean = arrays["normaliser.mean"]
            self._deviation = np.sqrt(arrays["normaliser.variance"] + normaliser.epsilon)
            self._most = np.array(normaliser.clip)
            self._least = np.array(-normaliser.clip)
            self._from, self._to = self._rounded[:over], self._scaled[:over]
            self._rest_from, self._rest_to = self._rounded[over:], self._scaled[over:]
        self._normalises = normaliser is not None

    def one(self, row: Values) -> Input:
        """The input of one observation (features,). Raises FeaturesMissing, PolicyFailed for an infinite value."""
        values, missing = self._values, self._missing
        np.copyto(values, row, casting="same_kind")
        if self._masked:
            np.isnan(row, missing)
            np.copyto(values, 0.0, where=missing)
            np.copyto(self._bits, ~missing)
        # One sum of squares tells of all of them; for very large ones it is a false alarm, and no more.
        if not math.isfinite(np.dot(values, values)):
            self._complain(row)
        if not self._normalises:
            return self._rounded  # type: ignore[return-value]
        to = self._to
        np.subtract(self._from, self._mean, to)
        np.divide(to, self._deviation, to)
        np.minimum(to, self._most, out=to)
        np.maximum(to, self._least, out=to)
        if self._fills_after:
            np.copyto(to, 0.0, where=missing)
            np.copyto(self._rest_to, self._rest_from)
        np.copyto(self._input, self._scaled, casting="same_kind")
        return self._input

    def many(self, rows: Values) -> Input:
        """The inputs (n, inputs) of observations (n, features); a copy of its own."""
        inputs = np.empty((len(rows), self._size), np.float32)
        for index, row in enumerate(rows):
            inputs[index] = self.one(row)
        return inputs

    def _complain(self, row: Values) -> None:
        if not self._masked and (missing := np.flatnonzero(np.isnan(row))).size:
            raise FeaturesMissing(tuple(self._features[index] for index in missing))
        for index in np.flatnonzero(~np.isnan(row)):
            if not math.isfinite(self._values[index]):
                raise PolicyFailed(
                    f"the feature {self._features[index]} is {row[index]}, which is no number to decide by"
                )


def checked_shapes(
    values: Values, mask: NDArray[np.bool_] | None, features: int, actions: int
) -> tuple[Values, NDArray[np.bool_] | None]:
    """The values as float64, the mask as booleans. Raises ValueError for another shape, and for a mask that allows
    nothing."""
    rows = np.asarray(values, np.float64)
    if rows.ndim != 2 or rows.shape[1] != features:
        raise ValueError(f"values: an array of shape (n, {features}) expected; got {rows.shape}")
    if mask is None:
        return rows, None
    allowed = np.asarray(mask)
    if allowed.dtype != np.bool_ or allowed.shape != (len(rows), actions):
        raise ValueError(
            f"mask: booleans of shape ({len(rows)}, {actions}) expected; got {allowed.dtype} of shape {allowed.shape}"
        )
    if not bool(allowed.any(axis=1).all()):
        raise ValueError("mask: at least one allowed action in each row expected")
    return rows, allowed
