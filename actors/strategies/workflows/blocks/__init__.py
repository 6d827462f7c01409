"""What compiled workflows import. It loads numpy, the indicator core and the SDK; TA-Lib at `warm`, or at first use."""

from __future__ import annotations

from actors.strategies.workflows.blocks.condition import Condition, Trigger, all_of, any_of, negated, odd_of
from actors.strategies.workflows.blocks.flow import Source, WorkflowStrategy, above, below, shifted
from actors.strategies.workflows.blocks.indicator import Indicator, price, warm

__all__ = [
    "Condition",
    "Indicator",
    "Source",
    "Trigger",
    "WorkflowStrategy",
    "above",
    "all_of",
    "any_of",
    "below",
    "negated",
    "odd_of",
    "price",
    "shifted",
    "warm",
]
