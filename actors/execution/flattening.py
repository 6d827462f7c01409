"""The kill switch inside an engine: one flatten at a time, of the account or of a deployment (`risk/flatten.py`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from actors.execution.inputs import Flatten as FlattenInput
from actors.execution.risk.flatten import Flatten, Standing, WorkingOrder, outcome
from protocols.orders import NewOrder

if TYPE_CHECKING:
    from actors.execution.engine_orders import OrderDesk

NEVER = 2**63 - 1


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
        return () if self.core is None else outcome(self.core.reports)

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
        orders = [
            NewOrder(
                client_order_id=f"{self._prefix(engine)}{self.number}-{close.market}-{close.attempt}",
                market=close.market,
                side=close.side,
                kind="market",
                size=close.size,
                reduce_only=True,
                position_side=close.position_side,
                deployment_id=self.deployment_id,
                source="liquidation" if self._liquidates else "flatten",
            )
            for close in step.close
        ]
        if orders:
            engine.submit(orders, ts)
        return bool(step.cancel or orders)

    def _prefix(self, engine: OrderDesk) -> str:
        return "liq-" if self._liquidates else "flat-"

    def _standing(self, engine: OrderDesk) -> Standing:
        orders = tuple(
            WorkingOrder(
                client_order_id=working.order.client_order_id,
                market=working.order.market,
                closing=working.order.source in ("flatten", "liquidation"),
            )
            for working in engine.blotter
            if not self.deployment_id or working.order.deployment_id == self.deployment_id
        )
        positions = tuple(engine.positions(self.deployment_id))
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
