"""Comparing finished backtests: what is asked, and the part that takes time, for a thread."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from protocols.control import Message, Refused, Request


class Compared(Message, frozen=True, gc=False, tag="backtests_compared"):
    """`comparison`: a JSON object, `actors.research.statistics.comparison.Comparison`."""

    comparison: bytes


class CompareBacktests(Request[Compared], frozen=True, gc=False, tag="compare_backtests"):
    """Asks for a comparison of 2 to 10 completed jobs. Refused `invalid`, `not_found`, `conflict`."""

    job_ids: tuple[str, ...]
    simulations: int = 1000
    seed: int = 0


def compared(paths: Sequence[Path], simulations: int, seed: int) -> bytes:
    """The comparison of these reports as JSON. Raises OSError, Refused `invalid`."""
    # What reads and compares reports brings tables with it (pandas, pyarrow), which a node does without until then.
    from actors.research.backtest.report import decode
    from actors.research.statistics.comparison import compare

    runs = [decode(path.read_bytes()).run for path in paths]
    try:
        return msgspec.json.encode(compare(runs, simulations=simulations, seed=seed))
    except ValueError as error:
        raise Refused("invalid", str(error), "job_ids") from None
