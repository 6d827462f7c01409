"""The kill switch inside an engine: one flatten at a time, of the account or of a deployment (`risk/flatten.py`)."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from actors.execution.inputs import Flatten as FlattenInput
from actors.execution.risk.flatten import Close, Flatten, Standing, WorkingOrder, outcome
from protocols.orders import NewOrder

if TYPE_CHECKING:
    from actors.execution.engine_orders import OrderDesk

NEVER = 2**63 - 1
_BETWEEN = "\x1f"
"""Between market and deployment in the names that the core knows positions by."""


class _State(msgspec.Struct, array_like=True):
    core: bytes | None
    deployment_id: str
    source_margin: bool
    number: int
    due: int


class Flattening:
    """What is being flattened, if anything is. `number`: how many there were."""

    def __init__(self) -> None:
        self.core: Flatten | None = None
        self.deployment_id = ""
        self.number = 0
        self.deadline = NEVER
        """When to look again, ns."""
        self._liquidates = False

    @property
    def active(self) -> bool:
        """Whether it is under way."""
        return self.core is not None and not self.core.done

    @property
    def phase(self) -> str:
        """The present phase; empty: there was none."""
        return "" if self.core is None else self.core.phase

    @property
    def reason(self) -> str:
        """Why."""
        return "" if self.core is None else self.core.reason

    @property
    def left(self) -> tuple[str, ...]:
        """What deadlines left behind, each with its phase."""
        return () if self.core is None else tuple(each.replace(_BETWEEN, " of ") for each in outcome(self.core.reports))

    def begin(self, item: FlattenInput, engine: OrderDesk, ts: int, *, liquidates: bool = False) -> None:
        """Begin; one that is under way goes on, and is widened to the account if this one is of the account."""
        if self.active and (not self.deployment_id or item.deployment_id == self.deployment_id):
            return
        settings = msgspec.structs.replace(engine.settings.flatten, close=item.close)
        self.core = Flatten(settings, item.reason, ts)
        self.deployment_id = item.deployment_id
        self._liquidates = liquidates
        self.number += 1
        self.go_on(engine, ts)

    def forget(self) -> None:
        """Trading goes on."""
        self.core = None
        self.deadline = NEVER

    def go_on(self, engine: OrderDesk, ts: int) -> bool:
        """Do what is to be done now; whether anything was."""
        core = self.core
        if core is None:
            return False
        step = core.step(self._standing(engine), ts)
        self.deadline = NEVER if core.done or step.due is None else max(step.due, ts + 1)
        for name in step.cancel:
            engine.cancel(name, ts, "flatten")
        orders = [self._order(close) for close in step.close]
        if orders:
            engine.submit(orders, ts)
        return bool(step.cancel or orders)

    def _order(self, close: Close) -> NewOrder:
        market, _, deployment_id = close.market.partition(_BETWEEN)
        whose = hashlib.blake2b(deployment_id.encode(), digest_size=2).hexdigest()
        kind = "liq" if self._liquidates else "flat"
        return NewOrder(
            client_order_id=f"{kind}-{self.number}-{whose}-{market}-{close.attempt}",
            market=market,
            side=close.side,
            kind="market",
            size=close.size,
            reduce_only=True,
            position_side=close.position_side,
            deployment_id=deployment_id,
            source="liquidation" if self._liquidates else "flatten",
        )

    def _standing(self, engine: OrderDesk) -> Standing:
        """Each deployment's part of a position is a position of its own: an account that is flat as a whole may consist
        of parts that are not."""
        orders = tuple(
            WorkingOrder(
                client_order_id=working.order.client_order_id,
                market=_name(working.order.market, working.order.deployment_id),
                closing=working.order.source in ("flatten", "liquidation"),
            )
            for working in engine.blotter
            if not self.deployment_id or working.order.deployment_id == self.deployment_id
        )
        positions = tuple(
            (_name(part.market, part.deployment_id), part.side, part.quantity)
            for part in engine.account.books.positions.all_parts()
            if part.quantity and (not self.deployment_id or part.deployment_id == self.deployment_id)
        )
        return Standing(stopped=True, orders=orders, positions=positions)

    def snapshot(self) -> bytes:
        """All of it, as msgpack."""
        core = None if self.core is None else self.core.snapshot()
        return msgspec.msgpack.encode(_State(core, self.deployment_id, self._liquidates, self.number, self.deadline))

    def restore(self, data: bytes) -> None:
        """Become what `snapshot` has said. Raises msgspec.ValidationError."""
        state = msgspec.msgpack.decode(data, type=_State)
        self.core = None if state.core is None else Flatten.restore(state.core)
        self.deployment_id, self._liquidates = state.deployment_id, state.source_margin
        self.number, self.deadline = state.number, state.due


def _name(market: str, deployment_id: str) -> str:
    return f"{market}{_BETWEEN}{deployment_id}"
