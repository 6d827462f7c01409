"""Asks the services outside before a decision: for market fields that were not sent, and for a verdict on the signal.

All at once, and never for longer than half of the request's time: what is not there by then is missing, and the
decision is made without it. A call goes on without its asker; what the data aggregator answers late is there for the
next request. Where no bridge is configured, nothing is asked and nothing waits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
import trio

from actors.decisions.bridges import filling
from actors.decisions.features.table import scale
from actors.edge.call import Call
from protocols.bridges import (
    TIMED_OUT,
    AggregateSymbols,
    EvaluateUpstream,
    GetMarketWindow,
)
from protocols.control import Refused, Request, Unknown
from protocols.decisions import Decide, Observation, Proposal, Verdict
from protocols.paths import DATA_BRIDGE, THRESHOLD_BRIDGE
from runtime import Node

WAIT_S: Final = 1.0
"""The longest that a request waits for services outside."""
SHARE: Final = 0.5
"""The most of its own time that it does."""
OK: Final = "ok"


class _Asking:
    """One request while it is asked about. `raw`: raw fields of features, by feature; `upstreams`: `ok`, or why there
    is nothing, by what was asked: `market`, `aggregate`, `threshold`."""

    def __init__(self, node: Node, windows: filling.WindowFeatures, symbol: str, within_s: float) -> None:
        self.node = node
        self.windows = windows
        self.symbol = symbol
        self.within_s = within_s
        self.now = node.clock.now()
        self.raw: dict[str, float] = {}
        self.regimes: tuple[float, ...] = ()
        self.marks: dict[str, None] = {}
        self.verdict: Verdict | None = None
        self.upstreams: dict[str, str] = {}

    async def ask(self, name: str, path: str, request: Request[Any]) -> Any:
        """The answer, or None; `upstreams` says why."""
        try:
            answer = await self.node.ref(path).ask(request, self.within_s)
        except Refused as refused:
            # The ask's own deadline is a refusal, too, where the bridge had not begun.
            code = TIMED_OUT if refused.code == "expired" else refused.code
            self.upstreams[name] = f"{code}: {refused.message}"
        except Unknown:
            self.upstreams[name] = f"{TIMED_OUT}: no answer within {self.within_s:.3g} s"
        else:
            self.upstreams[name] = OK
            return answer
        return None

    async def window(self) -> None:
        """Bars."""
        request = GetMarketWindow(
            symbol=self.symbol,
            window_hours=filling.WINDOW_HOURS,
            resolution=filling.RESOLUTION,
            include_indicators=False,
        )
        window = await self.ask("market", DATA_BRIDGE, request)
        if window is None:
            return
        try:
            said = self.windows.at(self.now, window)
            self.raw |= said.raw
            self.regimes = said.regimes
            self.marks |= dict.fromkeys(window.marks)
        except filling.Unusable as why:
            self.upstreams["market"] = f"unusable: {why}"

    async def aggregate(self, sections: tuple[str, ...]) -> None:
        """What is known beside prices."""
        # Always all of it, so that those who lack different parts share one kept answer.
        found = await self.ask("aggregate", DATA_BRIDGE, AggregateSymbols(symbols=(self.symbol,)))
        if found is None:
            return
        try:
            self.raw |= filling.figures_of(found, self.symbol, self.now, sections)
            self.marks |= dict.fromkeys(found.marks)
        except filling.Unusable as why:
            self.upstreams["aggregate"] = f"unusable: {why}"

    async def threshold(self, user_id: str, proposal: Proposal) -> None:
        """A verdict on what is proposed."""
        assert proposal.action is not None
        request = EvaluateUpstream(
            user_id=user_id,
            symbol=self.symbol,
            action=proposal.action,
            confidence=proposal.confidence,
            rsi=proposal.rsi,
            change_percent=proposal.change_percent,
            volume=proposal.volume,
        )
        answer = await self.ask("threshold", THRESHOLD_BRIDGE, request)
        if answer is None:
            self.verdict = Verdict(None, self.upstreams["threshold"])
        else:
            self.verdict = Verdict(answer.should_trade, answer.reasoning or "")


async def consulted(
    request: Decide, signal: Mapping[str, object], market: Mapping[str, object] | None, call: Call
) -> tuple[Decide, dict[str, str]]:
    """The request with what services outside add to it, and how they answered. Never raises for one of them."""
    node = call.node
    data = node.find(DATA_BRIDGE) is not None
    judged = node.find(THRESHOLD_BRIDGE) is not None and request.proposal.action in ("BUY", "SELL")
    if not data and not judged:
        return request, {}
    left_s = (request.deadline - node.clock.monotonic()) / 1e9
    windows = call.router.once("decisions.windows", lambda _: filling.WindowFeatures())
    asking = _Asking(node, windows, request.symbol, max(0.0, min(WAIT_S, SHARE * left_s)))
    async with trio.open_nursery() as nursery:
        if data:
            wanted = filling.lacking(signal, market)
            if wanted.bars:
                nursery.start_soon(asking.window)
            if wanted.sections:
                nursery.start_soon(asking.aggregate, wanted.sections)
        if judged:
            nursery.start_soon(asking.threshold, request.user_id, request.proposal)
    if asking.verdict is not None:
        request = msgspec.structs.replace(request, verdict=asking.verdict)
    if asking.regimes and not request.regimes:
        request = msgspec.structs.replace(request, regimes=asking.regimes)
    if asking.raw:
        request = msgspec.structs.replace(request, observation=_filled(request.observation, asking.raw, asking.marks))
    return request, dict(sorted(asking.upstreams.items()))


def _filled(own: Observation, raw: Mapping[str, float], marks: Iterable[str]) -> Observation:
    """What the client said itself, and in its gaps what the aggregator says. The observation is of the moment that the
    client says: bars that are too old were left out."""
    others = scale(raw, own.feature_set)
    values = tuple([value if value == value else other for value, other in zip(own.values, others, strict=True)])
    return Observation(own.feature_set, values, own.ts_event, tuple(dict.fromkeys((*own.marks, *marks))))
