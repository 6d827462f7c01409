"""How large a signal's order is, when the signal does not say: the deployment's sizing over what the engine knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.execution.deployments import Declined, Deployment
from actors.execution.risk.sizing import Sizing, SizingInputs, size
from protocols.instruments import Instrument
from protocols.orders import Side
from protocols.signals import Signal

if TYPE_CHECKING:
    from actors.execution.engine_state import EngineState


def size_of(engine: EngineState, deployment: Deployment, signal: Signal, instrument: Instrument, side: Side) -> int:
    """The quantity in nanos, a multiple of the lot. Raises Declined where there is none."""
    sized = sizing(engine, deployment, signal, instrument, side)
    if sized.quantity <= 0:
        raise Declined("size", sized.rationale)
    return sized.quantity


def sizing(engine: EngineState, deployment: Deployment, signal: Signal, instrument: Instrument, side: Side) -> Sizing:
    """What the deployment's sizing says of a signal. Raises Declined where a price or the equity is not known."""
    price = engine.reference_price(signal.symbol, side)
    if price is None:
        raise Declined("unknown_reference_price", f"nobody knows what {signal.symbol} costs now")
    equity = engine.equity(deployment.id)
    if equity is None:
        raise Declined("unknown_equity", "a price is missing, so the equity is not known")
    rate = engine.rate(instrument.currency)
    if rate is None:
        raise Declined("unknown_rate", f"nobody knows what {instrument.currency} is worth")
    held = engine.position(signal.symbol, deployment.id)
    # Volatilities take a few hundred logarithms, and only two of the six ask for them.
    method = deployment.settings.sizing.method
    markets = deployment.settings.markets if method == "risk_parity" else ()
    inputs = SizingInputs(
        equity=equity,
        price=price,
        instrument=instrument,
        side=side,
        stop=signal.execution_params.stop_loss,
        held=max(0, held if side == "buy" else -held),
        rate=rate,
        returns=deployment.returns,
        volatility=engine.volatility(signal.symbol) if method == "volatility_adjusted" else None,
        volatilities=engine.volatilities(markets),
    )
    try:
        return size(deployment.settings.sizing, inputs)
    except ValueError as error:
        raise Declined("size", str(error)) from None
