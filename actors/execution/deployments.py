"""A deployment: a strategy's run or an agent bound to an account, and how its signals become orders.

    signal → (decision) → risk → order → fill → outcome

BUY and SELL raise a long or a short position; an opposite one is dealt with first, as `opposite` says. CLOSE_* only
reduce. HOLD is never an order. Where a decision server is named, BUY and SELL go on only if it says the same; where
there is none, thresholds may be a gate.
`stop_loss` and `take_profit` become a bracket, `max_slippage` the price protection. A signal without a quantity is
sized by the deployment. A core: no loop, no clock.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final, Literal, Protocol

import msgspec

from actors.execution.risk.limits import RiskLimits
from actors.execution.risk.sizing import SizingSettings
from protocols.decisions import DecisionAction, Reason
from protocols.instruments import Instrument
from protocols.nanos import NANO
from protocols.orders import NewOrder, PositionSide, Side
from protocols.paths import DECISIONS
from protocols.signals import Signal

Mode = Literal["paper", "replay", "live", "backtest"]
Opposite = Literal["close", "flip", "ignore"]
DeploymentState = Literal["active", "paused", "stopped", "error"]

ENTRY: Final = "e"
CLOSE: Final = "c"
STOP: Final = "s"
TARGET: Final = "t"
DECISION: Final = "d"
DECIDED: Final = frozenset({"BUY", "SELL"})
"""What is decided: what only reduces is never held back, and HOLD is no order anyway."""
MOST_DECISION_MS: Final = 60_000
KINDS: Final[dict[str, Any]] = {"MARKET": "market", "LIMIT": "limit", "STOP": "stop", "STOP_LIMIT": "stop_limit"}


class DeploymentSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a deployment is. `strategy_id`: whose signals it takes; `markets`: those it trades (empty: all of them).

    `capital_share`: the part of the account's equity that is its own, for sizing and limits. `entries`: how many
    signals may add to one position (None: any number). `min_confidence`: signals below it are left out. `sized_at`:
    "signal": when the signal comes; "open": in a market of bars, at the price that its order fills at. `decisions`: the
    path of the decision server that is asked, for `user`, about each BUY and SELL that nobody has decided yet (empty:
    none is), and answers within `decision_ms`. `gate`: without a decision server, the node's adaptive thresholds of
    `user` are asked instead; not with both, for thresholds act once per path.
    """

    deployment_id: str
    strategy_id: str
    account: str
    user: str = "local"
    name: str = ""
    markets: tuple[str, ...] = ()
    mode: Mode = "paper"
    sizing: SizingSettings = SizingSettings()
    sized_at: Literal["signal", "open"] = "signal"
    opposite: Opposite = "close"
    allow_short: bool = True
    entries: int | None = None
    capital_share: float = 1.0
    min_confidence: float = 0.0
    limits: RiskLimits = RiskLimits()
    use_brackets: bool = True
    expires_checked: bool = True
    decisions: str = ""
    decision_ms: int = 100
    gate: Literal["", "thresholds"] = ""

    def __post_init__(self) -> None:
        if not self.deployment_id:
            raise ValueError("deployment_id: expected text, got an empty one")
        if not 0 < self.capital_share <= 1:
            raise ValueError(f"capital_share: expected above 0 and at most 1, got {self.capital_share}")
        if self.entries is not None and self.entries < 1:
            raise ValueError(f"entries: expected at least 1, got {self.entries}")
        if self.decisions and not self.decisions.startswith("/"):
            raise ValueError(
                f"decisions: expected the path of a decision server, such as {DECISIONS}, got {self.decisions!r}"
            )
        if self.decisions and self.gate:
            raise ValueError(f"gate: expected none where {self.decisions} decides, got {self.gate}: it has its own")
        if not 1 <= self.decision_ms <= MOST_DECISION_MS:
            raise ValueError(f"decision_ms: expected 1 to {MOST_DECISION_MS}, got {self.decision_ms}")


class Decided(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What was decided about a signal for one deployment, as it is journaled with the signal: nobody is asked again.

    `served_by`, `reason`, `arm`: as in `protocols.decisions.Decision`. `text`: why, in words. `marks`: of the decision.
    """

    deployment_id: str
    decision_id: str
    should_trade: bool
    action: DecisionAction
    confidence: float
    served_by: str
    reason: Reason = ""
    arm: str = ""
    text: str = ""
    marks: tuple[str, ...] = ()


class Declined(Exception):
    """The signal becomes no order, for a reason."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


class SizingView(Protocol):
    """What sizing may look at; the engine answers."""

    def size_of(self, deployment: Deployment, signal: Signal, instrument: Instrument, side: Side) -> int:
        """The quantity in nanos, a multiple of the lot. Raises Declined where none can be said."""
        ...


class DeploymentMemory(msgspec.Struct, array_like=True):
    """What a deployment knows of itself, for a snapshot. Money in nanos.

    `entered`: how many signals have added to the position of each market. `capital`: its part of the account's equity
    when it began; None: no price was known yet.
    """

    state: DeploymentState = "active"
    reason: str = ""
    entered: dict[str, int] = {}
    capital: int | None = None
    day_start: int | None = None
    peak: int | None = None
    signals: int = 0
    declined: int = 0
    orders: int = 0
    fills: int = 0
    trades: int = 0
    wins: int = 0
    returns: list[float] = []


class Deployment:
    """One deployment while it runs."""

    def __init__(self, settings: DeploymentSettings, memory: DeploymentMemory | None = None) -> None:
        self.settings = settings
        memory = DeploymentMemory() if memory is None else memory
        self.state: DeploymentState = memory.state
        self.reason = memory.reason
        self.entered = dict(memory.entered)
        self.capital = memory.capital
        self.day_start = memory.day_start
        self.peak = memory.peak
        self.signals, self.declined = memory.signals, memory.declined
        self.orders, self.fills = memory.orders, memory.fills
        self.trades, self.wins = memory.trades, memory.wins
        self.returns = list(memory.returns)
        """Of closed trades, profit over stake, the oldest first, the last thousand."""
        # Two deployments of one strategy may share an account; Binance takes 36 characters.
        self._suffix = hashlib.blake2b(settings.deployment_id.encode(), digest_size=2).hexdigest()

    def memory(self) -> DeploymentMemory:
        """For a snapshot."""
        return DeploymentMemory(
            self.state,
            self.reason,
            self.entered,
            self.capital,
            self.day_start,
            self.peak,
            self.signals,
            self.declined,
            self.orders,
            self.fills,
            self.trades,
            self.wins,
            self.returns,
        )

    def flow(self, amount: int) -> None:
        """Money came into the account, or left it: its share of it is neither profit nor loss. Nanos."""
        part = amount * round(self.settings.capital_share * NANO) // NANO
        for name in ("capital", "day_start", "peak"):
            known = getattr(self, name)
            if known is not None:
                setattr(self, name, known + part)

    def take_over(self, before: Deployment) -> None:
        """Go on where the same deployment with other settings was; a changed share means new capital."""
        share = self.settings.capital_share
        self.__init__(self.settings, before.memory())  # type: ignore[misc]
        if share != before.settings.capital_share:
            self.capital = self.day_start = self.peak = None

    @property
    def id(self) -> str:
        """Its id."""
        return self.settings.deployment_id

    def takes(self, market: str) -> bool:
        """Whether it trades the market."""
        return not self.settings.markets or market in self.settings.markets

    def decides(self, signal: Signal) -> bool:
        """Whether a decision is to be asked for: what it does not act on anyway is not."""
        return (
            bool(self.settings.decisions or self.settings.gate)
            and signal.decision_id is None
            and signal.action in DECIDED
            and self.state == "active"
            and self.takes(signal.symbol)
            and signal.confidence >= self.settings.min_confidence
        )

    def decision_id(self, signal: Signal) -> str:
        """The id of the decision about a signal: the same however often it is asked."""
        return self._order_id(signal, DECISION)

    def decided(self, signal: Signal, decided: Decided | None, now: int) -> Signal:
        """The signal with its decision. Raises Declined where the decision is not to trade, or to do something else."""
        self._admit(signal, now)
        if decided is None:
            raise Declined("decision", f"{self.settings.decisions or self.settings.gate} was not asked")
        if not decided.should_trade or decided.action != signal.action:
            raise Declined("decision", _against(signal, decided))
        marks = tuple(sorted({*signal.marks, *decided.marks}))
        return msgspec.structs.replace(signal, decision_id=decided.decision_id, marks=marks)

    def orders_for(
        self,
        signal: Signal,
        instrument: Instrument,
        position: int,
        view: SizingView,
        now: int,
        hedging: bool = False,
        entering: int = 0,
    ) -> tuple[NewOrder, ...]:
        """The orders that a signal asks for, with the deployment's `position` (signed nanos) in that market.

        What its orders are about to trade at once is in it, and `entering` says how many of them have not begun to.
        With hedging `position` is the one of the signal's own side. Raises Declined.
        """
        self._admit(signal, now)
        action = signal.action
        if action in ("CLOSE_LONG", "CLOSE_SHORT", "CLOSE_ALL"):
            wanted = (position > 0 and action != "CLOSE_SHORT") or (position < 0 and action != "CLOSE_LONG")
            if not wanted:
                raise Declined("no_position", f"there is no position for {action}")
            return (self._close(signal, position, hedging),)
        side: Side = "buy" if action == "BUY" else "sell"
        direction = 1 if side == "buy" else -1
        orders: list[NewOrder] = []
        if position * direction < 0 and not hedging:
            if self.settings.opposite == "ignore":
                raise Declined("opposite_position", "the deployment ignores signals against its position")
            orders.append(self._close(signal, position, hedging))
            if self.settings.opposite == "close":
                return tuple(orders)
        if side == "sell" and not self.settings.allow_short:
            if orders:
                return tuple(orders)
            raise Declined("short_not_allowed", "the deployment takes no short positions")
        most = self.settings.entries
        entered = entering + (self.entered.get(signal.symbol, 0) if position else 0)
        if most is not None and not orders and entered >= most:
            raise Declined("entries", f"the position was added to {entered} times, {most} are allowed")
        size = signal.execution_params.quantity
        if size is None:
            size = view.size_of(self, signal, instrument, side)
        orders += self._entry(signal, side, size, hedging)
        return tuple(orders)

    def _admit(self, signal: Signal, now: int) -> None:
        if self.state != "active":
            raise Declined("deployment_" + self.state, self.reason or f"the deployment is {self.state}")
        if not self.takes(signal.symbol):
            raise Declined("market", f"the deployment does not trade {signal.symbol}")
        if signal.action == "HOLD":
            raise Declined("hold", "HOLD is never an order")
        if self.settings.expires_checked and signal.ts_expires is not None and signal.ts_expires <= now:
            raise Declined("expired", f"the signal has expired {(now - signal.ts_expires) / NANO:.3f} s ago")
        if signal.confidence < self.settings.min_confidence:
            raise Declined("confidence", f"{signal.confidence:g} is below {self.settings.min_confidence:g}")

    def _close(self, signal: Signal, position: int, hedging: bool) -> NewOrder:
        side: Side = "sell" if position > 0 else "buy"
        held: PositionSide = ("long" if position > 0 else "short") if hedging else ""
        return NewOrder(
            client_order_id=self._order_id(signal, CLOSE),
            market=signal.symbol,
            side=side,
            kind="market",
            size=abs(position),
            time_in_force="GTC",
            reduce_only=True,
            position_side=held,
            **self._chain(signal),
        )

    def _entry(self, signal: Signal, side: Side, size: int, hedging: bool) -> list[NewOrder]:
        params = signal.execution_params
        kind = KINDS[params.order_type]
        held: PositionSide = ("long" if side == "buy" else "short") if hedging else ""
        # A target without any price reached it would be a market order at the worst moment.
        price = params.price_target if kind in ("limit", "stop_limit") else None
        if kind in ("limit", "stop_limit") and price is None:
            raise Declined("price_missing", f"{params.order_type} wants price_target")
        if kind in ("stop", "stop_limit") and params.price_target is None:
            raise Declined("price_missing", f"{params.order_type} wants price_target")
        entry = NewOrder(
            client_order_id=self._order_id(signal, ENTRY),
            market=signal.symbol,
            side=side,
            kind=kind,
            size=size,
            price=price,
            stop_price=params.price_target if kind in ("stop", "stop_limit") else None,
            time_in_force=params.time_in_force,
            protection=params.max_slippage if kind == "market" and params.max_slippage else None,
            position_side=held,
            **self._chain(signal),
        )
        orders = [entry]
        if not self.settings.use_brackets:
            return orders
        away: Side = "sell" if side == "buy" else "buy"
        group = entry.client_order_id if params.stop_loss is not None and params.take_profit is not None else ""
        common: dict[str, Any] = {
            "market": signal.symbol,
            "side": away,
            "size": size,
            "reduce_only": True,
            "parent": entry.client_order_id,
            "oco": group,
            "position_side": held,
            **self._chain(signal),
            "source": "bracket",
        }
        if params.stop_loss is not None:
            orders.append(
                NewOrder(
                    client_order_id=self._order_id(signal, STOP), kind="stop", stop_price=params.stop_loss, **common
                )
            )
        if params.take_profit is not None:
            orders.append(
                NewOrder(
                    client_order_id=self._order_id(signal, TARGET), kind="limit", price=params.take_profit, **common
                )
            )
        return orders

    def _order_id(self, signal: Signal, leg: str) -> str:
        return f"{signal.signal_id}-{self._suffix}{leg}"

    def _chain(self, signal: Signal) -> dict[str, Any]:
        return {
            "deployment_id": self.id,
            "signal_id": signal.signal_id,
            "decision_id": signal.decision_id or "",
            "marks": signal.marks,
        }


def _against(signal: Signal, decided: Decided) -> str:
    """Why a signal goes no further, in words."""
    who = f"{decided.served_by} (arm {decided.arm})" if decided.arm else decided.served_by
    said = decided.action if decided.should_trade or decided.action == "HOLD" else f"not to trade, {decided.action}"
    text = f"the signal says {signal.action}, {who} says {said} with {decided.confidence:.3g}"
    return f"{text}: {decided.text} [{decided.decision_id}]" if decided.text else f"{text} [{decided.decision_id}]"
