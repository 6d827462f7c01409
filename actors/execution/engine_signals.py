"""What an engine's deployments make of signals: which are meant for whom, the orders of each, or why there are none.

A signal is acted on at once or, where its deployment is sized at the open, when the next bar of its market says the
price. Each leaves a verdict.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from actors.execution.deployments import Decided, Declined, Deployment
from actors.execution.engine_sampling import sample_deployment
from actors.execution.inputs import Deploy, MoveDeployment, SkipSignals, TakeSignal
from protocols.market import Bar
from protocols.orders import NewOrder, PositionSide
from protocols.signals import Signal

if TYPE_CHECKING:
    from actors.execution.engine import Engine


class Verdict(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What a deployment made of a signal: its orders, or why none."""

    number: int
    """1, 2, 3 … of the account's."""
    deployment_id: str
    signal_id: str
    seq: int
    """The signal's place in the hub's stream; 0: it did not come from there."""
    ts: int
    orders: tuple[str, ...] = ()
    code: str = ""
    reason: str = ""


class Waiting(msgspec.Struct, array_like=True):
    """A signal's order waits for the price of the next bar."""

    deployment_id: str
    body: bytes
    """The signal as JSON."""
    ts: int
    market: str
    seq: int


# -- deployments -------------------------------------------------------------------------------------------------------


def deploy(engine: Engine, item: Deploy) -> None:
    """A deployment begins, or goes on with other settings."""
    settings = item.settings
    known = engine.deployments.get(settings.deployment_id)
    engine.deployments[settings.deployment_id] = deployment = Deployment(settings)
    if known is not None:
        deployment.take_over(known)
    engine.gate.define(settings.deployment_id, settings.limits)
    sample_deployment(engine, deployment, new_day=False)


def move_deployment(engine: Engine, item: MoveDeployment) -> None:
    """A deployment is active again, or only reduces from now on."""
    deployment = engine.deployments.get(item.deployment_id)
    if deployment is not None:
        deployment.state, deployment.reason = item.state, item.reason
        engine.gate.set_trading("active" if item.state == "active" else "reducing", item.reason, item.deployment_id)


# -- signals -----------------------------------------------------------------------------------------------------------


def take_signal(engine: Engine, item: TakeSignal) -> None:
    """Everybody acts on it whom it is meant for. One that was taken before is left out: the stream was read again."""
    if item.seq:
        if item.seq <= engine.signal_seq:
            return
        engine.signal_seq = item.seq
    signal = item.signal()
    decided = {each.deployment_id: each for each in item.decided}
    for deployment in takers(engine, signal):
        act_on(engine, deployment.id, signal, engine.now, item.seq, decided.get(deployment.id))


def skip_signals(engine: Engine, item: SkipSignals) -> None:
    """Signals up to there are not taken any more."""
    engine.signal_seq = max(engine.signal_seq, item.seq)


def takers(engine: Engine, signal: Signal) -> list[Deployment]:
    """The deployments that a signal is meant for."""
    if signal.deployment_id is not None:
        meant = engine.deployments.get(signal.deployment_id)
        return [] if meant is None else [meant]
    return [each for each in engine.deployments.values() if each.settings.strategy_id == signal.strategy_id]


def act_on(
    engine: Engine, deployment_id: str, signal: Signal, ts: int, seq: int = 0, decided: Decided | None = None
) -> None:
    """A deployment acts on a signal, at `ts`. What it makes of it is in `Engine.take_verdicts`."""
    deployment = engine.deployments[deployment_id]
    deployment.signals += 1
    if deployment.decides(signal):
        try:
            signal = deployment.decided(signal, decided, ts)
        except Declined as declined:
            _decline(engine, deployment, signal, declined, ts, seq)
            return
    if deployment.settings.sized_at == "open" and signal.symbol in engine.bar_markets:
        engine.waiting.append(Waiting(deployment_id, msgspec.json.encode(signal), ts, signal.symbol, seq))
        return
    _order(engine, deployment, signal, ts, seq)


def size_waiting(engine: Engine, bar: Bar) -> None:
    """Signals that are sized at the open of the next bar: the price is known now, and the orders fill at it."""
    mine = [each for each in engine.waiting if each.market == bar.market and each.ts <= bar.start]
    if not mine:
        return
    engine.waiting = [each for each in engine.waiting if each not in mine]
    engine.marks[bar.market].last = bar.open
    for each in mine:
        if (deployment := engine.deployments.get(each.deployment_id)) is not None:
            _order(engine, deployment, msgspec.json.decode(each.body, type=Signal), each.ts, each.seq)


def _order(engine: Engine, deployment: Deployment, signal: Signal, ts: int, seq: int) -> None:
    try:
        orders = _orders_of(engine, deployment, signal, ts)
    except Declined as declined:
        _decline(engine, deployment, signal, declined, ts, seq)
        return
    engine.submit(orders, ts)
    _judge(engine, deployment, signal, ts, seq, orders=tuple(order.client_order_id for order in orders))
    deployment.orders += len(orders)
    engine.wake_at(ts)


def _orders_of(engine: Engine, deployment: Deployment, signal: Signal, ts: int) -> tuple[NewOrder, ...]:
    instrument = engine.instruments.get(signal.symbol)
    if instrument is None:
        raise Declined("instrument_unknown", f"nothing is known of {signal.symbol}")
    hedging = engine.settings.account.position_mode == "hedging"
    if hedging:
        long = engine.position(signal.symbol, position_side="long")
        short = engine.position(signal.symbol, position_side="short")
        goes_long = signal.action in ("BUY", "CLOSE_LONG") or (signal.action == "CLOSE_ALL" and long)
        leg: PositionSide = "long" if goes_long else "short"
        own = long if goes_long else short
    else:
        own, leg = engine.account.deployment_position(deployment.id, signal.symbol), ""
    coming, entering = engine.coming(signal.symbol, deployment.id, leg, source="signal")
    return deployment.orders_for(signal, instrument, own + coming, engine, ts, hedging, entering)


# -- verdicts ----------------------------------------------------------------------------------------------------------


def _decline(engine: Engine, deployment: Deployment, signal: Signal, why: Declined, ts: int, seq: int) -> None:
    deployment.declined += 1
    _judge(engine, deployment, signal, ts, seq, code=why.code, reason=why.reason)


def _judge(
    engine: Engine,
    deployment: Deployment,
    signal: Signal,
    ts: int,
    seq: int,
    *,
    orders: tuple[str, ...] = (),
    code: str = "",
    reason: str = "",
) -> None:
    engine.verdicts_made += 1
    engine.verdicts.append(
        Verdict(
            number=engine.verdicts_made,
            deployment_id=deployment.id,
            signal_id=signal.signal_id,
            seq=seq,
            ts=ts,
            orders=orders,
            code=code,
            reason=reason,
        )
    )
