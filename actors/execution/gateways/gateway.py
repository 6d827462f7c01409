"""The actor that trades one account at its venue: commands in, reports out, and a private stream that it keeps open.

It is a shell: what is sent, asked and reported is decided in `core.py` and the venue's own module. All reports go to
the account whose path it is given, in order, for as long as it takes. When it ends, what it knew is gone: the account
says AdoptOrders to its next life before anything else.
"""

from __future__ import annotations

import math
import random
from collections import deque
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import trio

from actors.execution.gateways.core import GatewayCore
from actors.execution.gateways.findings import Call, Gathering
from actors.execution.gateways.http import GatewayHttp, NoAnswer, NotSent
from actors.execution.gateways.settings import GatewaySettings
from actors.execution.gateways.stream import PrivateStream
from actors.execution.gateways.venues import LIMITS, open_venue, urls_of
from actors.market.venue_clock import VenueClock
from protocols.budget import CONNECT
from protocols.control import ExitReason, Message, Probe, ProbeReport, Refused, Unknown
from protocols.gateways import (
    AdoptOrders,
    CancelAll,
    CancelMany,
    GatewayState,
    GatewayWord,
    GetGatewayState,
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
from protocols.orders import NewOrder, VenueRefusedChange, VenueRejected, VenueReport
from protocols.paths import INSTRUMENTS, VENUE, venue_budget
from protocols.venues.errors import VenueError, WireError
from protocols.venues.rest import RestCall
from protocols.venues.simulated import GetVenueAddress
from runtime import Actor, ActorRef, Mailbox, receive

_ASK_S: Final = 5.0
_INSTRUMENT_S: Final = 2.0
_SEND_S: Final = 60.0
_TICK_S: Final = 0.25
_CONNECT: Final = Call(
    what="clock", rest=RestCall(purpose="connect", path=""), buckets=((CONNECT, 1.0),), priority="recovery"
)
_AGAIN_S: Final = 1.0


class _Tick(Message, frozen=True, gc=False, tag="gateway_tick"):
    """Time passes."""


class _Survey(Message, frozen=True, gc=False, tag="gateway_survey"):
    """Compare everything with the venue."""


class _Open(Message, frozen=True, gc=False, tag="gateway_open"):
    """Look again for the venue and the key."""


class _Answered(Message, frozen=True, gc=False, tag="gateway_answered"):
    call: Call
    status: int
    body: bytes
    left: int
    marks: frozenset[str]


class _Failed(Message, frozen=True, gc=False, tag="gateway_failed"):
    call: Call
    reason: str
    left: int | None


class _Surveyed(Message, frozen=True, gc=False, tag="gateway_surveyed"):
    gathering: Any
    reason: str


class _Opened(Message, frozen=True, gc=False, tag="gateway_stream_opened"):
    connection: int
    marks: frozenset[str]


class _Heard(Message, frozen=True, gc=False, tag="gateway_heard"):
    connection: int
    raw: bytes


class _Ended(Message, frozen=True, gc=False, tag="gateway_stream_ended"):
    connection: int
    reason: str


class Gateway(Actor):
    """One account at one venue. `settings`: the fields of GatewaySettings; `enabled`: `[execution.live] enabled`;
    `report_to`: the account's path."""

    mailbox = Mailbox(capacity=8192)

    def __init__(self, settings: dict[str, Any], enabled: bool, report_to: str) -> None:
        self.settings = msgspec.convert(settings, GatewaySettings)
        self.enabled = enabled
        self.report_to = report_to
        self.venue_clock = VenueClock()
        self.core: GatewayCore | None = None
        self.problem = ""
        self.connection = 0
        self.reports = 0
        self._url = ""
        self._instruments: dict[str, Instrument] = {}
        self._http: GatewayHttp | None = None
        self._stream: PrivateStream | None = None
        self._lanes: dict[tuple[str, ...], trio.MemorySendChannel[tuple[Call, float]]] = {}
        self._introduced = False
        """Whether the account has said which orders are its own."""
        self._surveying = False
        self._surveyed = False
        self._out: deque[VenueReport] = deque()
        self._more = trio.Event()
        self._said: tuple[GatewayWord, str, int, int] | None = None
        # Jitter has to differ between processes; nothing else here is random.
        self._random = random.SystemRandom()

    # -- begin and end -----------------------------------------------------------------------------------------

    def on_start(self) -> None:
        """Nothing leaves unless configuration and account both say so. The start waits for no network."""
        if not self.enabled:
            self.problem = "live trading is off: [execution.live] enabled is not set"
        elif not self.settings.live:
            self.problem = f"the account {self.settings.account} is not live"
        else:
            self.ref.tell(_Open())
        self.spawn(self._report_for_ever, name="reports")
        self.subscribe(Instrument)

    async def on_stop(self, reason: ExitReason) -> None:
        """End the connections."""
        if self._http is not None:
            await self._http.aclose()

    @receive
    async def open(self, message: _Open) -> None:
        """Find the venue and the key; ask for time and limits, and open the private stream."""
        settings = self.settings
        try:
            rest_url, self._url, key_id, key_file = await self._find()
            secret = await self.offload(Path(key_file).read_bytes, timeout=_ASK_S)
            venue = open_venue(settings, rest_url, key_id, secret)
        except (Refused, Unknown, OSError, ValueError, trio.TooSlowError) as error:
            self.problem = f"{type(error).__name__}: {error}"
            self.logger.warning("the gateway cannot trade yet", why=self.problem)
            self._tell_state()
            self.after(_AGAIN_S, _Open())
            return
        self.problem = ""
        self.core = GatewayCore(settings, venue)
        self.core.instruments |= self._instruments
        self._http = GatewayHttp(
            rest_url,
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
        self.every(min(_TICK_S, settings.ask_s / 2), _Tick())
        self.every(settings.reconcile_s, _Survey())
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
        gathering = core.venue.gather(request.since, request.markets, core.tracker.ids())
        reason = await self._gather(gathering)
        if reason:
            raise Refused("unavailable", reason)
        try:
            return gathering.state(self.settings.account, core.tracker.ids())
        except ValueError as error:
            raise Refused("unavailable", f"the venue's answer cannot be read: {error}") from None

    # -- calls -------------------------------------------------------------------------------------------------

    def _flush(self) -> None:
        """Make the calls and send the reports that have come up."""
        core = self.core
        if core is not None:
            self._out += core.take_reports()
            for call in core.take_calls():
                self._line_up(call)
            for name, tokens, tokens_s in core.limits:
                assert self._http is not None
                self._http.limit(name, tokens, tokens_s)
            core.limits.clear()
            if core.wants_survey and not self._surveying:
                core.wants_survey, self._surveying = False, True
                self.spawn(self._survey, core, name="survey")
        if self._out:
            self._more.set()
        self._tell_state()

    def _line_up(self, call: Call) -> None:
        """Calls of one priority leave in the order in which they came up; a cancel waits behind no order."""
        lane = (call.priority, *(name for name, _ in call.buckets))
        if lane not in self._lanes:
            self._lanes[lane], calls = trio.open_memory_channel[tuple[Call, float]](math.inf)
            self.spawn(self._dispatch, calls, name=f"calls {' '.join(lane)}")
        self._lanes[lane].send_nowait((call, trio.current_time()))

    async def _dispatch(self, calls: trio.MemoryReceiveChannel[tuple[Call, float]]) -> None:
        assert self._http is not None
        async for call, since in calls:
            try:
                await self._http.admit(call, since)
            except NotSent as error:
                await self.ref.send(_Failed(call, str(error), None), timeout=_SEND_S)
            else:
                self.spawn(self._perform, call, name=call.what)

    async def _perform(self, call: Call) -> None:
        assert self._http is not None
        message: Message
        try:
            answer = await self._http.send(call)
        except NotSent as error:
            message = _Failed(call, str(error), None)
        except NoAnswer as error:
            message = _Failed(call, str(error), error.left)
        else:
            message = _Answered(call, answer.status, answer.body, answer.left, answer.marks)
        await self.ref.send(message, timeout=_SEND_S)

    @receive
    def answered(self, message: _Answered) -> None:
        """An answer of the venue."""
        assert self.core is not None
        self._check(message.marks)
        self.core.answered(message.call, message.status, message.body, message.left, self._now())
        if self.core.clock_ms is not None:
            # Between when the question left and now: as fine as the way there and back.
            at, received = self.core.clock_ms * 1_000_000, self.clock.now()
            self.venue_clock.bound(at - received, at + 1_000_000 - message.left + self.venue_clock.offset)
            self.core.clock_ms = None
        self._flush()

    @receive
    def failed(self, message: _Failed) -> None:
        """A call without an answer."""
        assert self.core is not None
        self.logger.warning("no answer of the venue", call=message.call.what, why=message.reason)
        self.core.failed(message.call, message.reason, message.left, self._now())
        self._flush()

    @receive
    def tick(self, message: _Tick) -> None:
        """Ask for what is unknown."""
        assert self.core is not None
        self.core.tick(self._now())
        self._flush()

    # -- comparing ---------------------------------------------------------------------------------------------

    @receive
    def survey(self, message: _Survey) -> None:
        """Compare open orders: the private channels cannot show that they lost something."""
        assert self.core is not None
        self.core.wants_survey = True
        self._flush()

    async def _survey(self, core: GatewayCore) -> None:
        markets = tuple(sorted({each.order.market for each in core.tracker.open()}))
        gathering = core.venue.gather(None, markets, core.tracker.ids())
        reason = await self._gather(gathering)
        await self.ref.send(_Surveyed(gathering, reason), timeout=_SEND_S)

    async def _gather(self, gathering: Gathering) -> str:
        """Ask all its questions; why it cannot be done, empty if it was."""
        assert self._http is not None
        call: Call | None = gathering.first()
        try:
            while call is not None:
                answer = await self._http.perform(call)
                call = gathering.take(call, answer.status, answer.body, self._now())
        except (NotSent, NoAnswer, VenueError, WireError) as error:
            return str(error)
        return ""

    @receive
    def surveyed(self, message: _Surveyed) -> None:
        """All open orders, or none because the venue did not say."""
        assert self.core is not None
        self._surveying = False
        if message.reason:
            self.logger.warning("the venue was not compared", why=message.reason)
            self.after(self.settings.ask_s, _Survey())
        else:
            self._surveyed = self.core.streaming
            self.core.surveyed(message.gathering, self._now())
        self._flush()

    # -- the private stream ------------------------------------------------------------------------------------

    async def _stream_for_ever(self) -> None:
        assert self.core is not None
        venue, settings = self.core.venue, self.settings
        attempt = 0
        while True:
            self.connection += 1
            connection, heard_any = self.connection, False
            self._stream = stream = PrivateStream(self._url, settings.silence_s)

            async def opened(marks: frozenset[str], connection: int = connection) -> None:
                await self.ref.send(_Opened(connection, marks), timeout=_SEND_S)

            async def heard(raw: bytes, connection: int = connection) -> None:
                nonlocal heard_any
                heard_any = True
                await self.ref.send(_Heard(connection, raw), timeout=_SEND_S)

            try:
                assert self._http is not None
                await self._http.admit(_CONNECT, trio.current_time())
            except NotSent as error:
                reason = str(error)
            else:
                headers = venue.handshake(self._now())
                reason = await stream.run(headers, lambda: venue.subscriptions(self._now()), opened, heard)
            await self.ref.send(_Ended(connection, reason), timeout=_SEND_S)
            attempt = 1 if heard_any else attempt + 1
            most = min(settings.backoff_most_s, settings.backoff_s * 2.0 ** min(attempt - 1, 30))
            await trio.sleep(self._random.random() * most)

    @receive
    def stream_opened(self, message: _Opened) -> None:
        """The venue has let us in."""
        self._check(message.marks)

    @receive
    def heard(self, message: _Heard) -> None:
        """A private message."""
        if message.connection != self.connection or self.core is None:
            return
        try:
            self.core.heard(message.raw, self._now())
        except (WireError, ValueError) as error:
            self.core.faults += 1
            if self._stream is not None:
                self._stream.end(f"not a message: {error}")
        self._flush()

    @receive
    def stream_ended(self, message: _Ended) -> None:
        """It is opened anew; then everything is compared, because what was said meanwhile is lost."""
        assert self.core is not None
        self.logger.warning("the private stream has ended", why=message.reason)
        self.core.disconnected()
        self._surveyed = False
        self._flush()

    # -- reports and state -------------------------------------------------------------------------------------

    async def _report_for_ever(self) -> None:
        account: ActorRef = self.lookup(self.report_to)
        while True:
            while self._out:
                try:
                    await account.send(self._out[0], timeout=_SEND_S)
                except (Refused, Unknown) as error:
                    self.logger.warning("the account takes no report", why=str(error))
                    await trio.sleep(_TICK_S)
                    continue
                self._out.popleft()
                self.reports += 1
            # Live means, too, that all is told.
            self._tell_state()
            self._more = trio.Event()
            await self._more.wait()

    def _check(self, marks: frozenset[str]) -> None:
        """A venue that says it is not real must not be taken for a real one."""
        if tainted := marks & self.settings.refused_marks:
            environment, said = self.settings.environment, ", ".join(sorted(tainted))
            self.problem = f"this is no venue for a {environment} account: it marks its data {said}"
            self.logger.error("the gateway cannot trade", why=self.problem)

    def _state(self) -> tuple[GatewayWord, str, int, int]:
        if not (self.enabled and self.settings.live):
            return "disabled", self.problem, 0, 0
        core = self.core
        if self.problem:
            return "failed", self.problem, 0, 0
        if core is None or not core.streaming:
            return (
                "connecting",
                "",
                0 if core is None else core.unknown,
                0 if core is None else len(core.tracker.open()),
            )
        # It becomes live when all is known and told; then only what nobody knows makes it recover again, and not a fill
        # that comes a moment after its order's answer.
        was_live = self._said is not None and self._said[0] == "live"
        settled = core.doubtful == 0 if was_live else core.unknown == 0 and not self._out
        word: GatewayWord = "live" if self._surveyed and settled else "recovering"
        return word, "", core.unknown, len(core.tracker.open())

    def _tell_state(self) -> None:
        state = self._state()
        if self._said is None or state[:2] != self._said[:2]:
            self.publish(self._gateway_state(state))
        self._said = state

    def _gateway_state(self, state: tuple[GatewayWord, str, int, int]) -> GatewayState:
        word, detail, unknown, open_orders = state
        return GatewayState(
            account=self.settings.account,
            venue=self.settings.venue,
            state=word,
            detail=detail,
            ts=self.clock.now(),
            unknown=unknown,
            open_orders=open_orders,
        )

    @receive
    def get_state(self, request: GetGatewayState) -> GatewayState:
        """How it is."""
        return self._gateway_state(self._state())

    @receive
    def probe(self, request: Probe) -> ProbeReport:
        """How it is, for the monitor."""
        word, detail, unknown, open_orders = self._state()
        figures: list[tuple[str, str | int | float | bool | None]] = [
            ("state", word),
            ("open orders", open_orders),
            ("unknown", unknown),
            ("reports", self.reports),
            ("clock offset ms", self.venue_clock.offset / 1e6),
        ]
        if self.core is not None:
            tracker = self.core.tracker
            figures += [
                ("unreadable", self.core.faults),
                ("refused by rate", self.core.limited),
                ("fills told again", tracker.repeats),
                ("not ours", tracker.foreign),
            ]
        status: Literal["ok", "degraded", "failed"] = "degraded"
        if word in ("failed", "live", "disabled"):
            status = "failed" if word == "failed" else "ok"
        return ProbeReport(status, detail, word != "failed", tuple(figures))

    def _budget(self) -> ActorRef:
        return self.lookup(self.settings.budget or venue_budget(self.settings.venue))

    def _now(self) -> int:
        """The venue's time, as we know it."""
        return self.clock.now() + self.venue_clock.offset
