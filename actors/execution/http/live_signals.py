"""Signals by hand: assessed, and handed to the hub as those of a deployment."""

from __future__ import annotations

import secrets
from typing import Any, Final

import msgspec

from actors.edge.call import Call
from actors.edge.errors import HttpError
from actors.execution.http.bodies import raw
from actors.execution.http.live_bodies import (
    SignalAnswer,
    SignalRequest,
)
from actors.execution.http.numbers import maybe_nanos, nanos
from actors.execution.http.orders import market_of
from actors.strategies.assessment import Assessment, assess
from actors.strategies.market_view import MarketFacts
from protocols.deployments import DEPLOYMENTS
from protocols.execution import (
    DeploymentView,
    MarketShown,
    ViewDeployment,
)
from protocols.nanos import NANO
from protocols.paths import HUB
from protocols.signals import Action, ExecutionParams, Signal, SubmitSignal

ASK_S: Final = 15.0
LEAST_CONFIDENCE: Final = 0.5
BARS: Final = 100
REGIMES: Final = frozenset({"volatile", "trending", "other"})
DONE_NOW: Final = "real_time"
ACTIONS: Final[dict[str, Action]] = {
    "entry_long": "BUY",
    "entry_short": "SELL",
    "exit_long": "CLOSE_LONG",
    "exit_short": "CLOSE_SHORT",
}
WORDS: Final[dict[Action, str]] = {"BUY": "buy", "SELL": "sell", "CLOSE_LONG": "sell", "CLOSE_SHORT": "buy"}
"""Which word an entry or an exit is said with."""
BY_WORD: Final[dict[str, Action]] = {"buy": "BUY", "sell": "SELL", "hold": "HOLD"}


async def submit_signal(request: SignalRequest, call: Call) -> SignalAnswer:
    """Assess a signal, and hand it to the hub as one of the deployment: what it makes of it is in its verdicts."""
    began = call.node.clock.monotonic()
    name = str(request.strategy_execution_id)
    if request.processing_mode != DONE_NOW:
        raise HttpError(400, "not_supported", f"expected {DONE_NOW}", "processing_mode")
    deployment = await call.ref(DEPLOYMENTS).ask(ViewDeployment(name), ASK_S)
    market = await market_of(call, deployment.account, request.symbol)
    action = _action(request)
    found = assessed(request, market)
    reason = ""
    if deployment.state != "active":
        reason = f"the deployment is {deployment.state}"
    elif request.symbol not in (markets := msgspec.json.decode(deployment.settings)["markets"]):
        reason = f"the deployment trades {', '.join(markets)}, not {request.symbol}"
    elif action in ("BUY", "SELL") and request.confidence < LEAST_CONFIDENCE:
        reason = f"confidence {request.confidence:g} is below {LEAST_CONFIDENCE:g}"
    signal = _signal(request, deployment, market, action, found, call.node.clock.now())
    seq = None if reason else (await call.ref(HUB).ask(SubmitSignal(signal), ASK_S)).seq
    return SignalAnswer(
        signal_accepted=not reason,
        signal_id=None if reason else signal.signal_id,
        seq=seq,
        processing_latency_ms=(call.node.clock.monotonic() - began) / 1e6,
        confidence_score=found.confidence,
        risk_score=found.risk_score,
        execution_recommendation=found.recommendation,
        action=action,
        reason=reason,
        unknown=found.unknown,
    )


def _action(request: SignalRequest) -> Action:
    """What the deployment is asked to do. Raises HttpError 400 where `action` contradicts the type."""
    meant = ACTIONS.get(request.signal_type)
    if meant is None or request.action == "hold":
        return BY_WORD[request.action]
    if request.action != WORDS[meant]:
        text = f"expected {WORDS[meant]} or hold for {request.signal_type}, got {request.action}"
        raise HttpError(400, "invalid", text, "action")
    return meant


def assessed(request: SignalRequest, market: MarketShown) -> Assessment:
    """The assessment of a signal by what the account and the client know of its market."""
    spread = None
    if market.bid is not None and market.ask is not None and market.bid + market.ask > 0:
        spread = max(0, market.ask - market.bid) * 2 / (market.bid + market.ask)
    said = request.features
    volatility = market.volatility
    if volatility is None and isinstance(given := said.get("volatility"), int | float) and given >= 0:
        volatility = float(given)
    regime: Any = said.get("regime") if said.get("regime") in REGIMES else None
    facts = MarketFacts(last_price=market.last, volatility=volatility, spread=spread, regime=regime)
    is_open = market.is_open
    if is_open is None and market.instrument.status in ("open", "closed", "halted"):
        is_open = market.instrument.status == "open"
    return assess(request.confidence, facts, wanted_bars=BARS, is_open=is_open)


def _signal(
    request: SignalRequest,
    deployment: DeploymentView,
    market: MarketShown,
    action: Action,
    found: Assessment,
    now: int,
) -> Signal:
    price = maybe_nanos(request.price, "price")
    params = ExecutionParams(
        quantity=None if request.quantity is None else nanos(request.quantity, "quantity", positive=True),
        price_target=price,
        stop_loss=maybe_nanos(request.stop_loss, "stop_loss"),
        take_profit=maybe_nanos(request.take_profit, "take_profit"),
        order_type="MARKET" if price is None else "LIMIT",
        max_slippage=nanos(request.max_slippage, "max_slippage"),
    )
    metadata = {
        "assessment": found.plain(),
        "signal_type": request.signal_type,
        "timeframe": request.timeframe,
        "priority": request.priority,
        "indicators": request.indicators,
        "features": request.features,
        "model_output": request.model_output,
    }
    return Signal(
        signal_id=request.signal_id or f"hand-{secrets.token_hex(8)}",
        ts_created=now,
        strategy_id=deployment.strategy_id,
        strategy_source="manual",
        symbol=request.symbol,
        exchange=market.instrument.venue,
        action=action,
        confidence=request.confidence,
        execution_params=params,
        risk_score=found.risk_score or 0.0,
        current_price=market.last,
        metadata=raw(metadata),
        ts_expires=now + round(request.validity_s * NANO),
        deployment_id=deployment.deployment_id,
        marks=market.instrument.marks,
    )
