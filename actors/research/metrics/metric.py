"""One figure of a run: a value, or the reason why there is none. Never a number that means nothing."""

from __future__ import annotations

from typing import Literal

import msgspec

Unit = Literal["share", "ratio", "money", "days", "count"]
"""`share`: a part of one (0.05 is 5 %). `money`: in the run's currency."""

State = Literal["value", "unknown", "refused"]


class Unknown(Exception):
    """There is no such figure of these data. Its text says why, for people."""


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """A figure with all that says what it is.

    `value` is None unless `state` is `value`; `reason` then says why: `unknown` (too few samples, no variance, nothing
    to compare with) or `refused` (what came out is not possible). `minimum`, `samples`: how many observations (of
    `counted`) the formula needs to mean something and how many it had. `benchmark`: the same figure of buying and
    holding. `warning`: a value that is to be read with care.
    """

    key: str
    """What never changes: `sharpe`."""
    name: str
    """What is shown, with the period in it: `Sharpe Ratio (252 days)`."""
    group: str
    unit: Unit
    state: State
    value: float | None = None
    benchmark: float | None = None
    reason: str = ""
    warning: str = ""
    better: Literal["higher", "lower", ""] = ""
    formula: str
    source: str
    minimum: int
    samples: int
    counted: str
