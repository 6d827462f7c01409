"""Tells the trading service what came of a decision."""

from __future__ import annotations

import msgspec

from actors.edge.call import Call
from protocols.bridges import SendFeedback
from protocols.paths import TRADING_BRIDGE


def forward(call: Call, user_id: str, decision_id: str, outcome: float | msgspec.Struct, ts: int) -> bool:
    """Pass an outcome of `ts` (ns; 0: now) on, and whether there is a bridge that took it.

    Nobody waits for what the service says: the outcome is stored here whatever becomes of it there.
    """
    if call.node.find(TRADING_BRIDGE) is None:
        return False
    told = msgspec.to_builtins(outcome)
    if isinstance(told, dict):  # what was not said is not passed on as null
        told = {name: value for name, value in told.items() if value not in (None, "")}
    said = SendFeedback(
        user_id=user_id,
        prediction_id=decision_id,
        outcome=msgspec.Raw(msgspec.json.encode(told)),
        ts=ts or call.node.clock.now(),
    )
    return call.ref(TRADING_BRIDGE).tell(said)
