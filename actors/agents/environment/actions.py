"""What an agent's actions mean: how each becomes a side and a share. A core.

`simple`: SELL, HOLD, BUY: everything or nothing.
`shares`: hold, buy 20 to 100 % of the cash, sell 20 to 100 % of the position. Each index says its own side: of the
eleven, 1 to 5 buy and 6 to 10 sell.
"""

from __future__ import annotations

from typing import Final, Literal

from actors.decisions.policy import ActionMeaning

ActionSet = Literal["simple", "shares"]

SIMPLE: Final = (
    ActionMeaning("SELL", "SELL", 1.0),
    ActionMeaning("HOLD", "HOLD", 0.0),
    ActionMeaning("BUY", "BUY", 1.0),
)
SHARES: Final = (
    ActionMeaning("HOLD", "HOLD", 0.0),
    *(ActionMeaning(f"BUY_{share}", "BUY", share / 100) for share in (20, 40, 60, 80, 100)),
    *(ActionMeaning(f"SELL_{share}", "SELL", share / 100) for share in (20, 40, 60, 80, 100)),
)
ACTIONS: Final[dict[ActionSet, tuple[ActionMeaning, ...]]] = {"simple": SIMPLE, "shares": SHARES}


def signed(action: ActionMeaning) -> int:
    """1 for an action that buys, -1 for one that sells, 0 for one that does neither."""
    return {"BUY": 1, "SELL": -1, "HOLD": 0}[action.side]
