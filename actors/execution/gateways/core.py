"""What a gateway decides: which calls a command becomes, what an answer means, what is asked next. No I/O, no clock.

    shell                                core
    the account commands                 send(), cancel(), amend() …   calls
    an answer came, or none              answered(), failed()          reports, more calls
    the venue said something             heard()                       reports
    time passes                          tick()                        questions about what is unknown

After every call the shell makes `take_calls()` and sends `take_reports()`. All times are the venue's, as we know it.

One order has one request under way at a time, so no cancel overtakes its order. A request that may have arrived is
never repeated, except a cancel, which does no harm twice; instead the venue is asked. "It does not have the order" is
believed when its answer is complete up to a moment at which the request could not arrive any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from actors.execution.gateways.findings import (
    Call,
    FillSeen,
    Finding,
    Gathering,
    Heard,
    Missing,
    OrderSeen,
    Refusal,
    Venue,
)
from actors.execution.gateways.native import lacking
from actors.execution.gateways.settings import GatewaySettings
from actors.execution.gateways.tracker import Tracked, Tracker
from protocols.gateways import Adopted, SendAmend
from protocols.instruments import Instrument
from protocols.nanos import decimal_text
from protocols.orders import NewOrder, VenueRefusedChange, VenueRejected, VenueReport
from protocols.venues.errors import VenueError, WireError

SECOND: Final = 1_000_000_000
KILL_WINDOW: Final = 60 * SECOND
_QUESTIONS: Final = frozenset({"find", "order", "fills"})
_DAY: Final = 86_400 * SECOND
_LIMITED: Final = frozenset({418, 429})
MOST_FINDS: Final = 4
"""Searches for orders that are under way at a time: after a crash there may be hundreds, and the account has limits."""


class GatewayCore:
    """One account at one venue."""

    def __init__(self, settings: GatewaySettings, venue: Venue) -> None:
        self.settings = settings
        self.venue = venue
        self.tracker = Tracker()
        self.instruments: dict[str, Instrument] = {}
        self.locked_until = 0
        self.limits: list[tuple[str, float, float]] = []
        """What the venue has said of the account's limits: (bucket, tokens, tokens a second)."""
        self.clock_ms: int | None = None
        self.wants_survey = False
        self.streaming = False
        self.faults = 0
        """Messages and answers that could not be read."""
        self.limited = 0
        """Calls that the venue refused because there were too many."""
        self._calls: list[Call] = []
        self._reports: list[VenueReport] = []
        self._again: list[tuple[int, Call]] = []
        """Cancels of everything that have not been answered, and when that was."""
        self._to_find: dict[str, Tracked] = {}
        self._finds = 0

    def take_calls(self) -> list[Call]:
        """Calls to make now."""
        self._find()
        calls, self._calls = self._calls, []
        return calls

    def take_reports(self) -> list[VenueReport]:
        """Reports for the account, in order."""
        reports, self._reports = self._reports, []
        return reports

    @property
    def doubtful(self) -> int:
        """Orders of which nobody knows whether the venue has taken or changed them."""
        return sum(each.stage == "unknown" or each.doubtful for each in self.tracker.open())

    @property
    def unknown(self) -> int:
        """Orders of which something is not known, or is being asked."""
        return sum(
            each.stage == "unknown" or each.doubtful or each.owed or each.puzzling or each.asking
            for each in self.tracker.open()
        )

    # -- commands --------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Ask what has to be known first."""
        self._calls += self.venue.opening()

    def send(self, orders: Sequence[NewOrder], ts: int) -> None:
        """Send new orders, in batches where there are several."""
        ready: list[NewOrder] = []
        for order in orders:
            problem = self._problem(order, ts)
            if problem is not None:
                self._reports.append(VenueRejected(order.client_order_id, *problem, ts))
            elif self.tracker.send(order, ts) is not None:
                ready.append(order)
        most = self.venue.most_batch
        for begin in range(0, len(ready), most):
            self._submit(tuple(ready[begin : begin + most]), ts)

    def _problem(self, order: NewOrder, ts: int) -> tuple[str, str] | None:
        """Why it stays here: (code, reason)."""
        if tainted := self.settings.refused_marks.intersection(order.marks):
            marks = ", ".join(sorted(tainted))
            return "tainted", f"it rests on data marked {marks}, which a {self.settings.environment} account refuses"
        if ts < self.locked_until:
            return "locked", f"after a cancel-all the venue kills new orders for {(self.locked_until - ts) / 1e9:.0f} s"
        if order.market not in self.instruments:
            return "no_instrument", f"{order.market} is not known, so its prices cannot be written"
        if self.instruments[order.market].data_only:
            return "no_instrument", f"{order.market} has finer steps than an order can hold"
        lacks = lacking(order, self.venue.native)
        return None if not lacks else ("unsupported", f"{self.settings.venue} has no {lacks}")

    def _submit(self, orders: tuple[NewOrder, ...], ts: int) -> None:
        try:
            call = self.venue.submit(orders, tuple(self.instruments[order.market] for order in orders))
        except ValueError as error:
            if len(orders) > 1:
                for order in orders:
                    self._submit((order,), ts)
                return
            self._reports += self.tracker.rejected(
                self.tracker.orders[orders[0].client_order_id], "invalid", str(error), ts
            )
        else:
            self._calls.append(call)

    def cancel(self, ids: Sequence[str], ts: int) -> None:
        """Cancel orders, in batches where there are several."""
        ready: list[Tracked] = []
        for id in dict.fromkeys(ids):
            tracked = self.tracker.orders.get(id)
            if tracked is None or tracked.over:
                code, reason = ("not_known", "it was not sent here") if tracked is None else ("ended", "it is over")
                gone = tracked is not None
                self._reports.append(VenueRefusedChange(id, "cancel", code, reason, ts, gone))
            elif tracked.stage != "working" or tracked.doing:
                if "cancel" not in tracked.waiting and tracked.doing != "cancel":
                    tracked.waiting.append("cancel")
            else:
                ready.append(tracked)
        for begin in range(0, len(ready), self.venue.most_batch):
            self._cancel(ready[begin : begin + self.venue.most_batch], ts)

    def _cancel(self, ready: Sequence[Tracked], ts: int) -> None:
        for tracked in ready:
            tracked.doing, tracked.doubtful, tracked.changed = "cancel", False, ts
        self._calls.append(self.venue.cancel(tuple(ready)))

    def cancel_all(self, ts: int) -> None:
        """Cancel everything that the account has at the venue; nothing new for as long as that lasts there."""
        markets = {each.order.market for each in self.tracker.open()}
        calls = self.venue.cancel_all(tuple(sorted(markets)))
        if any(call.note == "window" for call in calls):
            self.locked_until = ts + KILL_WINDOW
        self._calls += calls

    def amend(self, asked: SendAmend, ts: int) -> None:
        """Change an order."""
        tracked = self.tracker.orders.get(asked.client_order_id)
        if tracked is None or tracked.over:
            code = "not_known" if tracked is None else "ended"
            self._reports.append(
                VenueRefusedChange(
                    asked.client_order_id, "amend", code, "there is no such order", ts, tracked is not None
                )
            )
        elif tracked.stage != "working" or tracked.doing:
            tracked.waiting.append(asked)
        else:
            self._amend(tracked, asked, ts)

    def _amend(self, tracked: Tracked, asked: SendAmend, ts: int) -> None:
        size = tracked.size if asked.size is None else asked.size
        price = tracked.price if asked.price is None else asked.price
        tracked.doing, tracked.doubtful, tracked.changed = "amend", False, ts
        tracked.amending = SendAmend(tracked.id, size, price)
        instrument = self.instruments.get(tracked.order.market)
        reason = ""
        if instrument is None:
            reason = f"{tracked.order.market} is not known, so its prices cannot be written"
        elif size <= tracked.filled:
            filled = decimal_text(tracked.filled)
            reason = f"expected a size of more than the {filled} that are filled, got {decimal_text(size)}"
        else:
            try:
                self._calls.append(self.venue.amend(tracked, size, price, instrument))
            except ValueError as error:
                reason = str(error)
        if reason:
            self._reports += self.tracker.refused(tracked, "invalid", reason, ts, gone=False)
            self._go_on(tracked, ts)

    def query(self, id: str, ts: int) -> None:
        """Ask how an order stands."""
        tracked = self.tracker.orders.get(id)
        if tracked is not None and not tracked.over:
            self._ask(tracked, ts)

    def adopt(self, orders: Sequence[Adopted], ts: int) -> None:
        """Look after orders of an earlier life; ask for each of them."""
        for each in orders:
            # Of an earlier life the venue may say a name that only this makes ours again.
            self.venue.identify(each.order.client_order_id)
            self._reports += self.tracker.adopt(each)
            tracked = self.tracker.orders[each.order.client_order_id]
            # It may have left until that life ended, which was not after now.
            tracked.sent, tracked.since = ts, each.sent or ts - _DAY
            if not tracked.over:
                self._ask(tracked, ts)
            if tracked.nameless and tracked.venue_order_id:
                # Before a new fill could be taken for one of those.
                self._calls.append(self.venue.fills(tracked))

    def _ask(self, tracked: Tracked, ts: int) -> None:
        tracked.asked, tracked.asking = ts, True
        if tracked.venue_order_id and tracked.stage != "unknown":
            self._calls.append(self.venue.ask(tracked))
        else:
            self._to_find[tracked.id] = tracked

    def _find(self) -> None:
        """Look for orders whose venue id is not known, those of a market together where the venue lists them."""
        while self._to_find and self._finds < MOST_FINDS:
            market = next(iter(self._to_find.values())).order.market
            group = [each for each in self._to_find.values() if each.order.market == market][: self.venue.most_find]
            for each in group:
                del self._to_find[each.id]
            self._finds += 1
            self._calls.append(self.venue.find(tuple(group)))

    # -- answers ---------------------------------------------------------------------------------------------

    def answered(self, call: Call, status: int, body: bytes, left: int, ts: int) -> None:
        """An answer came; the request left at `left`."""
        try:
            heard = self.venue.read(call, status, body, ts)
        except VenueError as error:
            if error.status in _LIMITED:
                self.limited += 1
                self._not_done(call, "rate_limited", str(error), ts)
            elif error.code in self.venue.not_done:
                self._calls += self.venue.opening()
                self._not_done(call, "clock", str(error), ts)
            else:
                self.faults += error.code == "unreadable"
                self._doubtful(call, str(error), left, ts)
        except (WireError, ValueError) as error:
            self.faults += 1
            self._doubtful(call, str(error), left, ts)
        else:
            self._read(call, heard, ts)

    def failed(self, call: Call, reason: str, left: int | None, ts: int) -> None:
        """There is no answer. `left`: when the request left; None: it did not."""
        if left is None:
            self._not_done(call, "not_sent", reason, ts)
        else:
            self._doubtful(call, reason, left, ts)

    def _read(self, call: Call, heard: Heard, ts: int) -> None:
        self.limits += heard.limits
        if heard.clock_ms is not None:
            self.clock_ms = heard.clock_ms
        for finding in heard.findings:
            self._found(call, finding, ts)
        answered = self._tracked(call)
        if heard.next is not None:
            self._calls.append(heard.next)
            answered = [each for each in answered if each.id not in heard.next.orders]
        elif call.what == "find":
            self._finds -= 1
        elif call.what == "fills":
            for tracked in self._tracked(call):
                self._reports += self.tracker.listed(tracked)
        elif call.what == "cancel_all":
            self.wants_survey = True
        for tracked in answered:
            if call.what in _QUESTIONS:
                tracked.asking = False
            elif call.what == "amend" and tracked.doing == "amend" and not tracked.doubtful:
                # An answer that does not say how the order stands.
                tracked.doubtful = True
            self._go_on(tracked, ts)

    def _found(self, call: Call, finding: Finding, ts: int) -> None:
        if isinstance(finding, OrderSeen):
            self._reports += self.tracker.order(finding)
            tracked = self.tracker.find(finding.client_order_id, finding.venue_order_id)
            if tracked is not None and call.what == "order" and finding.status == "open":
                self._still_open(tracked, ts)
        elif isinstance(finding, Missing):
            tracked = self.tracker.orders.get(finding.client_order_id)
            if tracked is not None and finding.as_of >= tracked.sent + self._arrival:
                reason = f"the venue does not have it, {self.settings.arrival_s:g} s after it left"
                self._reports += self.tracker.rejected(tracked, "never_arrived", reason, ts)
        elif isinstance(finding, Refusal):
            self._refused(call, finding, ts)
        elif call.what == "fills":
            tracked = self.tracker.find(finding.client_order_id, finding.venue_order_id)
            if tracked is not None:
                tracked.listing.append(finding)
        else:
            self._reports += self.tracker.fill(finding)

    def _refused(self, call: Call, refusal: Refusal, ts: int) -> None:
        tracked = self.tracker.orders.get(refusal.client_order_id)
        if tracked is None:
            return
        if call.what == "submit" and refusal.exists:
            # An earlier try, or another life's: whose it is, the venue knows.
            tracked.stage = "unknown"
            self._ask(tracked, ts)
        elif call.what == "submit" and refusal.killed:
            self._reports += self.tracker.killed(tracked, refusal.reason, ts)
        elif call.what == "submit":
            self._reports += self.tracker.rejected(tracked, refusal.code, refusal.reason, ts)
        elif call.what in ("cancel", "amend"):
            if refusal.gone:
                # How it ended is worth more than that the change came too late.
                self._ask(tracked, ts)
            self._reports += self.tracker.refused(tracked, refusal.code, refusal.reason, ts, gone=refusal.gone)
        else:
            tracked.asking = False

    def _still_open(self, tracked: Tracked, ts: int) -> None:
        """An amendment that may have been lost: it was not made, and cannot be any more."""
        if tracked.doing == "amend" and tracked.doubtful and ts >= tracked.changed + self._arrival:
            self._reports += self.tracker.refused(tracked, "never_arrived", "the order is as it was", ts, gone=False)
            self._go_on(tracked, ts)

    def _not_done(self, call: Call, code: str, reason: str, ts: int) -> None:
        """The venue has certainly not performed it."""
        if call.what == "cancel_all":
            self._again.append((ts, call))
        self._finds -= call.what == "find"
        for tracked in self._tracked(call):
            if call.what == "submit":
                self._reports += self.tracker.rejected(tracked, code, reason, ts)
            elif call.what == "cancel":
                # A cancel goes on until the order is over.
                tracked.doubtful, tracked.asked = True, ts
            elif call.what == "amend":
                self._reports += self.tracker.refused(tracked, code, reason, ts, gone=False)
                self._go_on(tracked, ts)
            else:
                tracked.asking = False

    def _doubtful(self, call: Call, reason: str, left: int, ts: int) -> None:
        """Nobody knows whether the venue has performed it."""
        if call.what == "cancel_all":
            self._again.append((ts, call))
        self._finds -= call.what == "find"
        for tracked in self._tracked(call):
            if call.what == "submit":
                tracked.sent = max(tracked.sent, left)
                self._reports += self.tracker.unknown(tracked, "submit", reason, ts)
                tracked.asked = None
            elif call.what == "cancel" or call.what == "amend":
                tracked.changed = max(tracked.changed, left)
                self._reports += self.tracker.unknown(tracked, call.what, reason, ts)
                tracked.asked = None
            else:
                tracked.asking = False

    def _go_on(self, tracked: Tracked, ts: int) -> None:
        """What was asked while something else was under way."""
        while tracked.waiting and tracked.stage == "working" and not tracked.doing:
            asked = tracked.waiting.popleft()
            if isinstance(asked, SendAmend):
                self._amend(tracked, asked, ts)
            else:
                self._cancel((tracked,), ts)

    def _tracked(self, call: Call) -> list[Tracked]:
        return [tracked for id in call.orders if (tracked := self.tracker.orders.get(id)) is not None]

    # -- the private stream, time ----------------------------------------------------------------------------

    def heard(self, raw: bytes, ts: int) -> None:
        """A private message. Raises WireError: the connection cannot be trusted."""
        findings = self.venue.hear(raw)
        if isinstance(findings, bool):
            if findings and not self.streaming:
                self.streaming = self.wants_survey = True
            return
        for each in findings:
            finding = each
            if isinstance(finding, OrderSeen | FillSeen) and not finding.ts:
                finding = msgspec.structs.replace(finding, ts=ts)
            if isinstance(finding, OrderSeen):
                self._reports += self.tracker.order(finding)
                tracked = self.tracker.find(finding.client_order_id, finding.venue_order_id)
                if tracked is not None:
                    self._go_on(tracked, ts)
            elif not isinstance(finding, Missing | Refusal):
                self._reports += self.tracker.fill(finding)

    def disconnected(self) -> None:
        """The private stream has ended."""
        self.streaming = False

    def surveyed(self, gathering: Gathering, ts: int) -> None:
        """All open orders of the account are known as of some moment: ask for ours that are not among them."""
        for seen in gathering.orders:
            self._reports += self.tracker.order(seen)
        resting = {seen.venue_order_id for seen in gathering.orders}
        for tracked in self.tracker.open():
            absent = tracked.venue_order_id not in resting and tracked.stage == "working"
            if absent and not tracked.asking and tracked.sent < gathering.as_of:
                self._ask(tracked, ts)

    def tick(self, ts: int) -> None:
        """Ask for what is unknown or owed, not too often."""
        pause = round(self.settings.ask_s * SECOND)
        self._calls += [call for since, call in self._again if ts - since >= pause]
        self._again = [(since, call) for since, call in self._again if ts - since < pause]
        for tracked in self.tracker.open():
            doubt = tracked.stage == "unknown" or tracked.doubtful
            if tracked.asking or not (doubt or tracked.owed or tracked.puzzling):
                continue
            if tracked.asked is None and not doubt:
                # The private stream may tell it in a moment.
                tracked.asked = ts
            elif tracked.asked is not None and ts - tracked.asked < pause:
                continue
            elif tracked.doing == "cancel" and tracked.doubtful:
                tracked.asked = ts
                self._cancel((tracked,), ts)
            elif doubt or not tracked.owed:
                self._ask(tracked, ts)
            else:
                tracked.asked, tracked.asking, tracked.listing = ts, True, []
                self._calls.append(self.venue.fills(tracked))

    @property
    def _arrival(self) -> int:
        return round(self.settings.arrival_s * SECOND)
