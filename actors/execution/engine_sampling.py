"""An engine's look at its equity every so often: the curve, each deployment's part, volatilities, the margin call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.execution.deployments import Deployment
from actors.execution.inputs import Flatten
from actors.execution.volatility import Volatility
from protocols.nanos import NANO

if TYPE_CHECKING:
    from actors.execution.engine import Engine


def sample(engine: Engine, ts: int) -> None:
    """Look at equity now, and say when the next time is. Too little of it for the positions liquidates the account."""
    step = engine.settings.sample_s * NANO
    engine.sample_at = (ts // step + 1) * step
    for market, mark in engine.marks.items():
        price = mark.mid()
        if price is not None:
            engine.moves.setdefault(market, Volatility()).add(price, ts)
    before = engine.account.curve.day_start
    taken = engine.account.sample(ts)
    if taken is None:
        return
    engine.gate.on_equity(taken.equity, ts)
    for deployment in engine.deployments.values():
        sample_deployment(engine, deployment, new_day=taken.day_start != before)
    if engine.account.margin_call() and not engine.flattening.active:
        engine.flattening.begin(Flatten(reason="margin call", close=True), engine, ts, liquidates=True)


def sample_deployment(engine: Engine, deployment: Deployment, *, new_day: bool) -> None:
    """What a deployment began with, what its day did, and its peak, as far as prices are known."""
    if deployment.capital is None:
        equity = engine.account.equity()
        if equity is not None:
            deployment.capital = equity * round(deployment.settings.capital_share * NANO) // NANO
    value = engine.equity(deployment.id)
    if value is None:
        return
    if new_day or deployment.day_start is None:
        deployment.day_start = value
    if deployment.peak is None or value > deployment.peak:
        deployment.peak = value
