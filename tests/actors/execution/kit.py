"""An engine with two markets, and short ways to say what happens to it."""

from __future__ import annotations

from typing import Any

from actors.execution.accounts.settings import AccountSettings
from actors.execution.deployments import DeploymentSettings
from actors.execution.engine import Engine
from actors.execution.engine_state import EngineSettings
from actors.execution.inputs import Deploy, EngineInput, Opened, TakeSignal
from actors.execution.matching.settings import FillSettings
from actors.execution.risk.sizing import SizingSettings
from protocols.instruments import Instrument, PriceRange
from protocols.market import Bar, Quote, Trade
from protocols.nanos import NANO
from protocols.orders import NewOrder, OrderEvent, SubmitOrders
from protocols.signals import ExecutionParams, Signal

SECOND = NANO
WHOLE = SizingSettings(percentage=1.0, max_position_size=1.0)


def instrument(market: str = "X", **fields: Any) -> Instrument:
    """A spot market with ticks of a cent, lots of a thousandth, and fees of 0.1 %."""
    known: dict[str, Any] = {
        "market": market,
        "symbol": market,
        "venue": "test",
        "kind": "spot",
        "currency": "USD",
        "base": market,
        "price_ranges": (PriceRange(0, 10**6 * NANO, NANO // 100),),
        "lot": NANO // 1000,
        "maker_fee": "0.001",
        "taker_fee": "0.001",
        "status": "open",
    }
    return Instrument(**{**known, **fields})


class Desk:
    """An engine, its clock, and everything that came of it."""

    def __init__(self, **settings: Any) -> None:
        account = settings.pop("account", {})
        fields: dict[str, Any] = {"account_id": "a", "initial_capital": "100000", **account}
        settings.setdefault("fills", FillSettings())
        self.engine = Engine(EngineSettings(account=AccountSettings(**fields), **settings))
        self.ts = SECOND
        self.events: list[OrderEvent] = []
        self.inputs: list[tuple[EngineInput, int]] = []
        self.say(Opened())
        self.say(instrument())

    def say(self, item: EngineInput, later: int = 0) -> list[OrderEvent]:
        """Hand in an input, `later` nanoseconds after the last one; what came of it."""
        self.ts += later
        self.inputs.append((item, self.ts))
        self.engine.handle(item, self.ts)
        fresh = self.engine.take_events()
        self.events += fresh
        return fresh

    def quote(
        self, bid: float, ask: float, size: float = 5, market: str = "X", later: int = SECOND
    ) -> list[OrderEvent]:
        self.ts += later
        message = Quote(
            market, nanos(bid), nanos(size), nanos(ask), nanos(size), "s", self.ts // SECOND, self.ts, self.ts
        )
        return self.say(message)

    def trade(self, price: float, size: float, taker: Any = None, market: str = "X") -> list[OrderEvent]:
        self.ts += SECOND
        return self.say(
            Trade(market, nanos(price), nanos(size), taker, f"t{self.ts}", "s", self.ts // SECOND, self.ts, self.ts)
        )

    def bar(self, open_: float, high: float, low: float, close: float, market: str = "X") -> list[OrderEvent]:
        """A bar of a minute that ends now."""
        start = self.ts
        self.ts += 60 * SECOND
        prices = (nanos(open_), nanos(high), nanos(low), nanos(close))
        return self.say(Bar(market, "1m", start, self.ts, *prices, "1000", 1, None, "venue", self.ts))

    def order(self, name: str, side: Any, size: float, kind: Any = "market", **fields: Any) -> NewOrder:
        for each in ("price", "stop_price", "trail", "display"):
            if fields.get(each) is not None:
                fields[each] = nanos(fields[each])
        market = fields.pop("market", "X")
        return NewOrder(client_order_id=name, market=market, side=side, kind=kind, size=nanos(size), **fields)

    def submit(self, *orders: NewOrder) -> list[OrderEvent]:
        return self.say(SubmitOrders(orders))

    def deploy(self, **fields: Any) -> None:
        known: dict[str, Any] = {"deployment_id": "d", "strategy_id": "s", "account": "a", "sizing": WHOLE}
        self.say(Deploy(DeploymentSettings(**{**known, **fields})))

    def signal(self, number: int, action: Any, **fields: Any) -> list[OrderEvent]:
        params = {name: nanos(fields.pop(name)) for name in ("quantity", "stop_loss", "take_profit", "price_target")
                  if name in fields}  # fmt: skip
        kind = fields.pop("order_type", "MARKET")
        signal = Signal(
            signal_id=f"sig{number}",
            ts_created=self.ts,
            strategy_id="s",
            strategy_source="test",
            symbol="X",
            exchange="test",
            action=action,
            confidence=0.9,
            execution_params=ExecutionParams(order_type=kind, max_slippage=0, **params),
            **fields,
        )
        return self.say(TakeSignal.of(number, signal))

    def state(self, name: str) -> tuple[str, str]:
        """State and reason code of an order."""
        working = self.engine.blotter.get(name)
        assert working is not None, name
        return working.state, working.reason_code

    def position(self, market: str = "X") -> float:
        return self.engine.account.net_position(market) / NANO

    def fills(self) -> list[tuple[str, float, float]]:
        """(order, price, size) of every fill so far."""
        return [
            (event.order.order.client_order_id, event.fill.price / NANO, event.fill.size / NANO)
            for event in self.events
            if event.fill is not None
        ]


def nanos(value: float) -> int:
    """Nanos of a short decimal number."""
    return round(value * NANO)
