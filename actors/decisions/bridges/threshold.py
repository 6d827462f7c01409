"""The bridge to an adaptive threshold service outside: whether a signal may be traded.

The service names neither the action nor a confidence, so the signal's own are what an approved trade comes out with.
Evaluating changes nothing there that matters: it is made again like a question.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from actors.decisions.bridges import answers
from actors.decisions.bridges.bridge import Bridge, encoded
from actors.decisions.bridges.trading import segment
from actors.decisions.bridges.upstream import Call
from protocols.bridges import EvaluateUpstream
from runtime import receive


class _Signal(msgspec.Struct, frozen=True, omit_defaults=True):
    symbol: str
    action: str
    confidence: float | None = None
    rsi: float | None = None
    change_percent: float | None = None
    volume: float | None = None


class _Evaluate(msgspec.Struct, frozen=True):
    signal: _Signal


class ThresholdBridge(Bridge):
    """Calls the threshold service."""

    title: ClassVar[str] = "threshold service"

    @receive
    def evaluate(self, request: EvaluateUpstream) -> None:
        """Ask about one signal."""
        signal = _Signal(
            request.symbol, request.action, request.confidence, request.rsi, request.change_percent, request.volume
        )
        call = Call(
            method="POST",
            target=f"/api/v1/evaluate/{segment('user_id', request.user_id)}",
            body=encoded(_Evaluate(signal)),
        )
        self.begin(call, lambda body: answers.verdict(body, request, self.clock.now()))
