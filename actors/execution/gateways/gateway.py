"""The actor that trades one account at its venue: commands in, reports out, and a private stream that it keeps open.

It is a shell: what is sent, asked and reported is decided in `core.py` and the venue's own module. All reports go to
the account whose path it is given, in order, for as long as it takes. When it ends, what it knew is gone: the account
says AdoptOrders to its next life before anything else.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import trio

from actors.edge.clients import http_tls
from actors.execution.gateways.core import GatewayCore
from actors.execution.gateways.gateway_link import GatewayLink
from actors.execution.gateways.gateway_messages import (
    Open,
    Survey,
    Tick,
)
from actors.execution.gateways.http import GatewayHttp
from actors.execution.gateways.venues import LIMITS, open_venue, urls_of
from protocols.control import ExitReason, Refused, Unknown
from protocols.gateways import (
    AdoptOrders,
    CancelAll,
    CancelMany,
    QueryOrder,
    Reconcile,
    SendAmend,
    SendCancel,
    SendOrder,
    SendOrders,
    UseInstruments,
    VenueState,
)
from protocols.instruments import GetInstrument, Instrument
from protocols.orders import NewOrder, VenueRefusedChange, VenueRejected
from protocols.paths import INSTRUMENTS, VENUE
from protocols.venues.simulated import GetVenueAddress
from runtime import Mailbox, receive

_ASK_S: Final = 5.0
_INSTRUMENT_S: Final = 2.0
_TICK_S: Final = 0.25
_AGAIN_S: Final = 1.0


class Gateway(GatewayLink):
    """One account at one venue. `settings`: the fields of GatewaySettings; `enabled`: `[execution] live`;
    `report_to`: the account's path."""

    mailbox = Mailbox(capacity=8192)

    # -- begin and end -----------------------------------------------------------------------------------------

    def on_start(self) -> None:
        """Nothing leaves unless configuration and account both say so. The start waits for no network."""
        if not self.enabled:
            self.problem = "live trading is off: [execution] live is not set"
        elif not self.settings.live:
            self.problem = f"the account {self.settings.account} is not live"
        else:
            self.ref.tell(Open())
        self.spawn(self._report_for_ever, name="reports")
        self.subscribe(Instrument)

    async def on_stop(self, reason: ExitReason) -> None:
        """End the connections."""
        if self._http is not None:
            await self._http.aclose()

    @receive
    async def open(self, message: Open) -> None:
        """Find the venue and the key; ask for time and limits, and open the private stream."""
        settings = self.settings
        try:
            rest_url, self._url, key_id, key_file = await self._find()
            tls = await http_tls(rest_url)
            secret = await self.offload(Path(key_file).read_bytes, timeout=_ASK_S)
            venue = open_venue(settings, rest_url, key_id, secret)
        except (Refused, Unknown, OSError, ValueError, trio.TooSlowError) as error:
            self.problem = f"{type(error).__name__}: {error}"
            self.logger.warning("the gateway cannot trade yet", why=self.problem)
            self._tell_state()
            self.after(_AGAIN_S, Open())
            return
        self.problem = ""
        self.core = GatewayCore(settings, venue)
        self.core.instruments |= self._instruments
        self._http = GatewayHttp(
            rest_url,
            tls,
            self.clock,
            self.venue_clock,
            self._budget(),
            venue.prepared,
            timeout_s=settings.timeout_s,
            budget_s=settings.budget_s,
            limits=LIMITS[settings.venue],
        )
        self.core.begin()
        self.spawn(self._stream_for_ever, name="stream")
        self.every(min(_TICK_S, settings.ask_s / 2), Tick())
        self.every(settings.reconcile_s, Survey())
        self.unstash()
        self._flush()

    async def _find(self) -> tuple[str, str, str, str]:
        """(REST address, WebSocket address, key id, key file)."""
        settings = self.settings
        if settings.environment != "simulated" or settings.url:
            rest_url, url = urls_of(settings)
            return rest_url, url, settings.key_id, settings.key_file
        venue = await self.lookup(VENUE).ask(GetVenueAddress(settings.venue), timeout=_ASK_S)
        face = next((each for each in venue.faces if each.venue == settings.venue), None)
        if face is None:
            raise Refused("not_found", f"the simulated venue does not speak as {settings.venue}")
        rest_url, url = urls_of(settings, face.rest_url, face.url)
        return rest_url, url, settings.key_id or venue.key_id, settings.key_file or venue.key_file

    # -- commands ----------------------------------------------------------------------------------------------

    @receive
    async def send_order(self, message: SendOrder) -> None:
        """Send one order."""
        if message.instrument is not None:
            self.use_instruments(UseInstruments((message.instrument,)))
        await self._send((message.order,))

    @receive
    async def send_orders(self, message: SendOrders) -> None:
        """Send several."""
        await self._send(message.orders)

    @property
    def _begins(self) -> bool:
        """Whether what comes has to wait for the venue and the key to be found."""
        return self.core is None and not self.problem

    async def _send(self, orders: tuple[NewOrder, ...]) -> None:
        core = self.core
        if core is None and self._begins:
            self.stash()
            return
        if core is None or self.problem:
            code = "gateway_failed" if self.enabled and self.settings.live else "live_disabled"
            for order in orders:
                self._out.append(VenueRejected(order.client_order_id, code, self.problem, self._now()))
            self._flush()
            return
        for market in {order.market for order in orders} - core.instruments.keys():
            try:
                found = await self.lookup(INSTRUMENTS).ask(GetInstrument(market), timeout=_INSTRUMENT_S)
            except (Refused, Unknown) as error:
                self.logger.warning("no definition of an order's market", market=market, why=str(error))
            else:
                core.instruments[market] = found
        core.send(orders, self._now())
        self._flush()

    @receive
    def use_instruments(self, message: UseInstruments) -> None:
        """Take definitions."""
        known = self._instruments if self.core is None else self.core.instruments
        known |= {each.market: each for each in message.instruments}

    @receive
    def redefine(self, message: Instrument) -> None:
        """Ticks and lots change while a market is open; of others nothing is kept."""
        known = self._instruments if self.core is None else self.core.instruments
        if message.market in known:
            known[message.market] = message

    @receive
    def cancel(self, message: SendCancel) -> None:
        """Cancel one order."""
        self._cancel((message.client_order_id,))

    @receive
    def cancel_many(self, message: CancelMany) -> None:
        """Cancel several."""
        self._cancel(message.client_order_ids)

    def _cancel(self, ids: tuple[str, ...]) -> None:
        if self.core is not None:
            self.core.cancel(ids, self._now())
        elif self._begins:
            self.stash()
        else:
            self._out += [VenueRefusedChange(id, "cancel", "gateway_failed", self.problem, self._now()) for id in ids]
        self._flush()

    @receive
    def cancel_all(self, message: CancelAll) -> None:
        """Cancel everything there is at the venue."""
        if self.core is not None:
            self.core.cancel_all(self._now())
            self._flush()
        elif self._begins:
            self.stash()

    @receive
    def amend(self, message: SendAmend) -> None:
        """Change an order."""
        if self.core is not None:
            self.core.amend(message, self._now())
        elif self._begins:
            self.stash()
        else:
            refused = VenueRefusedChange(message.client_order_id, "amend", "gateway_failed", self.problem, self._now())
            self._out.append(refused)
        self._flush()

    @receive
    def query(self, message: QueryOrder) -> None:
        """Ask for one order."""
        if self.core is not None:
            self.core.query(message.client_order_id, self._now())
            self._flush()

    @receive
    def adopt(self, message: AdoptOrders) -> None:
        """Look after an earlier life's orders."""
        if self.core is None:
            if self.enabled and self.settings.live:
                # Said before the venue was found: it must not be lost.
                self.stash()
            return
        self._introduced = True
        self.core.adopt(message.orders, self._now())
        self._flush()

    @receive
    def reconcile(self, request: Reconcile) -> None:
        """Ask the venue for everything."""
        if self.core is None or self.problem:
            raise Refused("unavailable", self.problem or "the gateway begins")
        if not self._introduced:
            # What is found could not be called by the account's own names.
            raise Refused("unavailable", "the account has not said AdoptOrders")
        self.answer_later(self._reconcile, request, self.core)

    async def _reconcile(self, request: Reconcile, core: GatewayCore) -> VenueState:
        ours = request.named | core.tracker.ids()
        gathering = core.venue.gather(request.since, request.markets, ours)
        reason = await self._gather(gathering)
        if reason:
            raise Refused("unavailable", reason)
        try:
            return gathering.state(self.settings.account, ours | core.tracker.ids())
        except ValueError as error:
            raise Refused("unavailable", f"the venue's answer cannot be read: {error}") from None
