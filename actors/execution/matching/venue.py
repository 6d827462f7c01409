"""The simulated venue: markets, what is on its way to it, and what it reports."""

from __future__ import annotations

from actors.execution.matching.mark import Mark
from actors.execution.matching.settings import FillSettings
from protocols.instruments import Instrument
from protocols.orders import MarketInput, NewOrder, VenueReport


class SimulatedVenue:
    """A venue for one account. `marks`: where each market stands."""

    def __init__(self, settings: FillSettings, *, seed: int = 0) -> None:
        self.settings = settings
        self.seed = seed
        self.marks: dict[str, Mark] = {}

    def define(self, instrument: Instrument) -> None:
        """A market's definition, or its next version."""
        raise NotImplementedError

    def submit(self, order: NewOrder, ts: int) -> None:
        """The order leaves us at `ts` and reaches the venue after the entry latency."""
        raise NotImplementedError

    def cancel(self, client_order_id: str, ts: int) -> None:
        """The cancel leaves us at `ts`."""
        raise NotImplementedError

    def amend(self, client_order_id: str, size: int | None, price: int | None, stop_price: int | None, ts: int) -> None:
        """The change leaves us at `ts`. Less size keeps the place in the queue, anything else loses it."""
        raise NotImplementedError

    def market(self, message: MarketInput, ts: int) -> None:
        """A market's message of the moment `ts`, behind everything of the venue's own before `ts`."""
        raise NotImplementedError

    def advance(self, ts: int) -> None:
        """Everything of the venue's own (arrivals, expiries) up to and including `ts`."""
        raise NotImplementedError

    def due(self) -> int | None:
        """The moment of the next own thing or report."""
        raise NotImplementedError

    def take(self, ts: int) -> list[VenueReport]:
        """Reports that are told at or before `ts`, in the order of telling."""
        raise NotImplementedError

    def open_orders(self) -> tuple[NewOrder, ...]:
        """What works at the venue, in the order of arrival."""
        raise NotImplementedError

    def snapshot(self) -> bytes:
        """Everything, as msgpack."""
        raise NotImplementedError

    def restore(self, data: bytes) -> None:
        """Become what `snapshot` has said; behaves as that one would have."""
        raise NotImplementedError
