"""Walk-forward: windows in calendar months, the stitched out-of-sample curve, and what it says of robustness."""

from __future__ import annotations

import msgspec

from actors.research.results import Series

DAY = 86_400_000_000_000


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """One fit and its test, [start, end) each, ns. Only [test_start, stitch_end) enters the stitched curve."""

    number: int
    train_start: int
    train_end: int
    test_start: int
    test_end: int
    stitch_end: int


def parse(text: str) -> tuple[int, int, int]:
    """`12/3/3`: months of training, test and step. Raises ValueError."""
    raise NotImplementedError


def windows(
    first: int, last: int, train: int, test: int, step: int, purge: int = 0, embargo: int = 0
) -> tuple[Window, ...]:
    """The windows over [first, last] (ns); `train`, `test`, `step` in months, `purge`, `embargo` in ns.

    The end of each training is cut by `purge` (labels that reach into the test) and the test begins `embargo` later.
    """
    raise NotImplementedError


class WindowOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a window came to: the equity in training with the chosen parameters, and in the test."""

    window: Window
    parameters: dict[str, object] = {}
    in_sample: Series
    out_of_sample: Series
    trials: int = 1


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One of the TradeStation rules. `passed` None: it cannot be told."""

    name: str
    passed: bool | None
    detail: str


class WalkForward(msgspec.Struct, frozen=True, kw_only=True):
    """The whole of a walk-forward. `efficiency` None: not applicable, see `reason`."""

    windows: tuple[WindowOutcome, ...]
    stitched: Series
    efficiency: float | None
    reason: str
    t_statistic: float | None
    rules: tuple[Rule, ...]


def stitch(outcomes: tuple[WindowOutcome, ...], capital: float) -> Series:
    """The out-of-sample parts as one compounded equity curve."""
    raise NotImplementedError


def assess(outcomes: tuple[WindowOutcome, ...], *, capital: float, periods: int) -> WalkForward:
    """Stitched curve, efficiency (Pardo), t-statistic, TradeStation's rules."""
    raise NotImplementedError
