"""An engine as bytes, and back: what an account goes on from without replaying its whole journal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from actors.execution.blotter import BlotterState
from actors.execution.deployments import Deployment, DeploymentMemory, DeploymentSettings
from actors.execution.engine_signals import Waiting
from actors.execution.volatility import Volatility
from protocols.instruments import Instrument
from protocols.market import MarketPhase

if TYPE_CHECKING:
    from actors.execution.engine import Engine


class _State(msgspec.Struct, array_like=True):
    now: int
    blotter: BlotterState
    account: bytes
    venue: bytes
    gate: bytes
    held: bytes
    flattening: bytes
    trading: Any
    trading_reason: str
    sample_at: int
    signal_seq: int
    inputs: int
    instruments: list[Instrument]
    deployments: list[tuple[DeploymentSettings, DeploymentMemory]]
    waiting: list[Waiting]
    bar_markets: list[str]
    phases: dict[str, MarketPhase]
    senders: dict[str, tuple[int, int]]
    moves: dict[str, Any]
    opened: list[tuple[str, str, int]]
    seen_marks: list[str]
    verdicts: int
    samples: int
    last_fill: int
    transfers: list[str] = []


def snapshot_of(engine: Engine) -> bytes:
    """See `Engine.snapshot`."""
    return msgspec.msgpack.encode(
        _State(
            engine.now,
            engine.blotter.state(),
            engine.account.snapshot(),
            engine.venue.snapshot(),
            engine.gate.snapshot(),
            engine.held.snapshot(),
            engine.flattening.snapshot(),
            engine.trading,
            engine.trading_reason,
            engine.sample_at,
            engine.signal_seq,
            engine.inputs,
            list(engine.instruments.values()),
            [(each.settings, each.memory()) for each in engine.deployments.values()],
            engine.waiting,
            sorted(engine.bar_markets),
            engine.phases,
            engine.senders,
            {market: moves.state() for market, moves in engine.moves.items()},
            [(*key, ts) for key, ts in engine.opened.items()],
            sorted(engine.seen_marks),
            engine.verdicts_made,
            engine.samples_taken,
            engine.last_fill,
            list(engine.transfers),
        )
    )


def restore(engine: Engine, data: bytes) -> None:
    """See `Engine.restore`."""
    state = msgspec.msgpack.decode(data, type=_State)
    engine.now = state.now
    for instrument in state.instruments:
        engine.instruments[instrument.market] = instrument
        engine.venue.define(instrument)
        engine.account.define(instrument)
    engine.blotter.restore(state.blotter)
    engine.account.restore(state.account)
    engine.venue.restore(state.venue)
    for settings, memory in state.deployments:
        engine.deployments[settings.deployment_id] = Deployment(settings, memory)
        engine.gate.define(settings.deployment_id, settings.limits)
    engine.gate.restore(state.gate)
    engine.held.restore(state.held)
    engine.transfers = dict.fromkeys(state.transfers)
    engine.flattening.restore(state.flattening)
    engine.trading, engine.trading_reason = state.trading, state.trading_reason
    engine.sample_at, engine.signal_seq, engine.inputs = state.sample_at, state.signal_seq, state.inputs
    engine.waiting, engine.phases, engine.senders = state.waiting, state.phases, state.senders
    for market, moves in state.moves.items():
        engine.moves[market] = Volatility()
        engine.moves[market].load(moves)
    engine.bar_markets = set(state.bar_markets)
    engine.opened = {(deployment, market): ts for deployment, market, ts in state.opened}
    engine.seen_marks = set(state.seen_marks)
    engine.verdicts_made, engine.samples_taken, engine.last_fill = state.verdicts, state.samples, state.last_fill
