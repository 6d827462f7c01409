"""The part of a gateway that keeps in touch: calls that leave in order, a private stream, comparisons, reports.

What is called, asked and reported is the core's business. Reports go to the account in order, for as long as it takes.
"""

from __future__ import annotations

import math
import random
from collections import deque
from typing import Any, Final, Literal

import msgspec
import trio

from actors.execution.gateways.core import GatewayCore
from actors.execution.gateways.findings import Call, Gathering
from actors.execution.gateways.gateway_messages import (
    Answered,
    Ended,
    Failed,
    Heard,
    Opened,
    Survey,
    Surveyed,
    Tick,
)
from actors.execution.gateways.http import GatewayHttp, NoAnswer, NotSent
from actors.execution.gateways.settings import GatewaySettings
from actors.execution.gateways.stream import PrivateStream
from actors.market.venue_clock import VenueClock
from protocols.budget import CONNECT
from protocols.control import Message, Probe, ProbeReport, Refused, Unknown
from protocols.gateways import (
    GatewayState,
    GatewayWord,
    GetGatewayState,
)
from protocols.instruments import Instrument
from protocols.orders import VenueReport
from protocols.paths import venue_budget
from protocols.venues.errors import VenueError, WireError
from protocols.venues.rest import RestCall
from runtime import Actor, ActorRef, receive

_SEND_S: Final = 60.0
_TICK_S: Final = 0.25
_CONNECT: Final = Call(
    what="clock", rest=RestCall(purpose="connect", path=""), buckets=((CONNECT, 1.0),), priority="recovery"
)


class GatewayLink(Actor):
    """Has what a gateway keeps, and everything but its commands; for the arguments see `Gateway`."""

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
                await self.ref.send(Failed(call, str(error), None), timeout=_SEND_S)
            else:
                self.spawn(self._perform, call, name=call.what)

    async def _perform(self, call: Call) -> None:
        assert self._http is not None
        message: Message
        try:
            answer = await self._http.send(call)
        except NotSent as error:
            message = Failed(call, str(error), None)
        except NoAnswer as error:
            message = Failed(call, str(error), error.left)
        else:
            message = Answered(call, answer.status, answer.body, answer.left, answer.marks)
        await self.ref.send(message, timeout=_SEND_S)

    @receive
    def answered(self, message: Answered) -> None:
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
    def failed(self, message: Failed) -> None:
        """A call without an answer."""
        assert self.core is not None
        self.logger.warning("no answer of the venue", call=message.call.what, why=message.reason)
        self.core.failed(message.call, message.reason, message.left, self._now())
        self._flush()

    @receive
    def tick(self, message: Tick) -> None:
        """Ask for what is unknown."""
        assert self.core is not None
        self.core.tick(self._now())
        self._flush()

    # -- comparing ---------------------------------------------------------------------------------------------

    @receive
    def survey(self, message: Survey) -> None:
        """Compare open orders: the private channels cannot show that they lost something."""
        assert self.core is not None
        self.core.wants_survey = True
        self._flush()

    async def _survey(self, core: GatewayCore) -> None:
        markets = tuple(sorted({each.order.market for each in core.tracker.open()}))
        gathering = core.venue.gather(None, markets, core.tracker.ids())
        reason = await self._gather(gathering)
        await self.ref.send(Surveyed(gathering, reason), timeout=_SEND_S)

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
    def surveyed(self, message: Surveyed) -> None:
        """All open orders, or none because the venue did not say."""
        assert self.core is not None
        self._surveying = False
        if message.reason:
            self.logger.warning("the venue was not compared", why=message.reason)
            self.after(self.settings.ask_s, Survey())
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
                await self.ref.send(Opened(connection, marks), timeout=_SEND_S)

            async def heard(raw: bytes, connection: int = connection) -> None:
                nonlocal heard_any
                heard_any = True
                await self.ref.send(Heard(connection, raw), timeout=_SEND_S)

            try:
                assert self._http is not None
                await self._http.admit(_CONNECT, trio.current_time())
            except NotSent as error:
                reason = str(error)
            else:
                headers = venue.handshake(self._now())
                reason = await stream.run(headers, lambda: venue.subscriptions(self._now()), opened, heard)
            await self.ref.send(Ended(connection, reason), timeout=_SEND_S)
            attempt = 1 if heard_any else attempt + 1
            most = min(settings.backoff_most_s, settings.backoff_s * 2.0 ** min(attempt - 1, 30))
            await trio.sleep(self._random.random() * most)

    @receive
    def stream_opened(self, message: Opened) -> None:
        """The venue has let us in."""
        self._check(message.marks)

    @receive
    def heard(self, message: Heard) -> None:
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
    def stream_ended(self, message: Ended) -> None:
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
