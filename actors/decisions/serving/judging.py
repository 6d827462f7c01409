"""What the node's own thresholds say of a proposal, asked by the server before it decides.

They are asked where they serve (an arm, users without a test, the fallback), and then for every user of it: the verdict
is recorded for each arm, whoever answers. A roster that is slow, hung or gone costs a request a part of its time at
most, and after some such requests none: a breaker leaves it alone for a second. Without a verdict the fixed rule is
what remains.
"""

from __future__ import annotations

from typing import Final

import msgspec

from actors.decisions.serving.settings import Settings
from protocols.control import Refused, Unknown
from protocols.decisions import THRESHOLDS, Decide, Verdict
from protocols.experiments import ExperimentPlan
from protocols.paths import THRESHOLD_ROSTER
from protocols.thresholds import EvaluateSignal, GatedSignal
from runtime import ActorRef, Node
from runtime.breaker import BreakerSettings, CircuitBreaker, CircuitOpen, Count

SHARE: Final = 0.5
"""The most of a request's time that is waited."""
JUDGED: Final = ("BUY", "SELL")
BREAKER: Final = BreakerSettings(
    window=Count(20),
    failure_rate=0.5,
    slow_call_rate=1.0,
    slow_call_s=1.0,
    minimum_calls=5,
    open_s=1.0,
    half_open_calls=1,
    half_open_timeout_s=5.0,
)


class Judging:
    """Asks the roster of thresholds. `on`: whether anything that is served needs a verdict."""

    def __init__(self, node: Node, settings: Settings) -> None:
        self.settings = settings
        self.on = False
        self.open = 0
        self.failures = 0
        self._now = node.clock.monotonic
        self._roster: ActorRef = node.ref(THRESHOLD_ROSTER)
        self._breaker = CircuitBreaker("thresholds", BREAKER, self._now())

    def follow(self, plans: tuple[ExperimentPlan, ...]) -> None:
        """These are the tests now."""
        serving = {arm.serves for plan in plans for arm in plan.arms} | {plan.reverted for plan in plans}
        self.on = THRESHOLDS in (self.settings.fallback, self.settings.unassigned, *serving)

    def wanted(self, request: Decide) -> bool:
        """Whether a verdict is to be asked for: of what is an order, and was not judged outside."""
        said = request.verdict is not None and request.verdict.approved is not None
        return self.on and not said and request.proposal.action in JUDGED and self.open < self.settings.capacity

    async def judged(self, request: Decide) -> Decide:
        """The request with the verdict, or with why there is none. Never raises for one."""
        now = self._now()
        proposal = request.proposal
        if now >= request.deadline:
            return self._without(request, "no time was left to ask")
        try:
            permit = self._breaker.acquire(now)
        except CircuitOpen:
            return self._without(request, "they do not answer, and are left alone for a while")
        within_s = min(self.settings.verdict_s, SHARE * (request.deadline - now) / 1e9)
        asked = EvaluateSignal(
            user_id=request.user_id,
            symbol=request.symbol,
            signal=GatedSignal(
                action=proposal.action,
                confidence=proposal.confidence,
                rsi=proposal.rsi,
                macd=proposal.macd,
                change_percent=proposal.change_percent,
                volume=proposal.volume,
            ),
            signal_id=request.signal_id,
            ts_event=request.observation.ts_event,
        )
        self.open += 1
        try:
            verdict = await self._roster.ask(asked, within_s)
        except Refused as refused:
            if refused.code == "invalid":
                permit.release()  # it is the request's fault
            else:
                self.failures += 1
                permit.failure(self._now())
            return self._without(request, str(refused))
        except Unknown:
            self.failures += 1
            permit.failure(self._now())
            return self._without(request, f"no answer within {within_s:.3g} s")
        except BaseException:
            permit.release()
            raise
        finally:
            self.open -= 1
        permit.success(self._now())
        why = f"{verdict.reasoning} (by defaults: what is stored cannot be read)" if verdict.provisional else None
        return self._with(request, Verdict(verdict.should_trade, why or verdict.reasoning, source=THRESHOLDS))

    def _without(self, request: Decide, why: str) -> Decide:
        return self._with(request, Verdict(None, why, source=THRESHOLDS))

    def _with(self, request: Decide, verdict: Verdict) -> Decide:
        verdict = msgspec.structs.replace(verdict, stands=self.settings.fallback == THRESHOLDS)
        return msgspec.structs.replace(request, verdict=verdict)
