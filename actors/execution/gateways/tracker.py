"""The orders that a gateway looks after, and what has been reported of them. No I/O, no clock.

A venue says the same thing in several places: the answer to the order, a private message, a list over REST, in any
order and more than once. Here each becomes one report: accepted, then the fills, each once, then the end; the end waits
for fills that the venue has counted and not told yet.
"""

from __future__ import annotations

from collections import deque
from typing import Final, Literal

from actors.execution.gateways.findings import FillSeen, OrderSeen
from protocols.gateways import Adopted, SendAmend
from protocols.orders import (
    NewOrder,
    VenueAccepted,
    VenueAmended,
    VenueCancelled,
    VenueFilled,
    VenueRefusedChange,
    VenueRejected,
    VenueReport,
    VenueUnknown,
)

Stage = Literal["sending", "unknown", "working", "ended"]
_MOST_ENDED: Final = 10_000
_SECOND: Final = 1_000_000_000
_MOST_ORPHANS: Final = 1_000


class Tracked:
    """One order. `filled`: what the venue has counted; `told`: what has been reported; `size`, `price`: as amended.

    `doing`: the change that is under way; `waiting`: what was asked meanwhile. `sent`: when its request left, venue's
    time; `changed`: when that of `doing` did. `end`: the code of its end, once the venue has said that it is over.
    `asking`: a question about it is out; `asked`: when the last one began, or a reason to ask came up. `nameless`: of
    `told`, what an earlier life has booked by ids that were not said; `listing`: its fills as far as they are listed.
    """

    __slots__ = (
        "amending",
        "asked",
        "asking",
        "changed",
        "doing",
        "doubtful",
        "end",
        "filled",
        "fills",
        "listing",
        "nameless",
        "order",
        "price",
        "puzzling",
        "reason",
        "said",
        "sent",
        "since",
        "size",
        "stage",
        "told",
        "venue_order_id",
        "waiting",
    )

    def __init__(self, order: NewOrder, sent: int) -> None:
        self.order = order
        self.venue_order_id = ""
        self.size = order.size
        self.price = order.price
        self.filled = 0
        self.told = 0
        self.fills: set[str] = set()
        self.stage: Stage = "sending"
        self.sent = sent
        self.doing: Literal["", "cancel", "amend"] = ""
        self.doubtful = False
        """Nobody knows what became of `doing`."""
        self.amending: SendAmend | None = None
        self.waiting: deque[Literal["cancel"] | SendAmend] = deque()
        self.end = ""
        self.reason = ""
        self.asked: int | None = None
        self.asking = False
        self.changed = 0
        self.nameless = 0
        self.listing: list[FillSeen] = []
        self.said: list[VenueReport] = []
        """What was reported, for an account that has begun anew."""
        self.puzzling = False
        """It rests no more, and the venue has not said why."""
        self.since = sent
        """When it may have been sent at the earliest."""

    @property
    def id(self) -> str:
        """Our id."""
        return self.order.client_order_id

    @property
    def over(self) -> bool:
        """Whether nothing more will be reported."""
        return self.stage == "ended"

    @property
    def owed(self) -> bool:
        """Whether the venue has counted fills that it has not told."""
        return self.filled > self.told


class Tracker:
    """All of them, by our id."""

    def __init__(self) -> None:
        self.orders: dict[str, Tracked] = {}
        self.repeats = 0
        """Fills that were told again."""
        self.foreign = 0
        """Messages about orders that are not ours."""
        self._live: dict[str, Tracked] = {}
        self._by_venue_id: dict[str, str] = {}
        self._orphans: dict[str, list[FillSeen]] = {}
        self._ended: deque[str] = deque()

    def open(self) -> list[Tracked]:
        """What is not over."""
        return list(self._live.values())

    def ids(self) -> dict[str, str]:
        """Our ids by the venue's."""
        return dict(self._by_venue_id)

    # -- what we do ------------------------------------------------------------------------------------------

    def send(self, order: NewOrder, ts: int) -> Tracked | None:
        """An order is about to be sent; None: it is known already, and must not be."""
        if order.client_order_id in self.orders:
            return None
        tracked = self.orders[order.client_order_id] = Tracked(order, ts)
        self._live[order.client_order_id] = tracked
        return tracked

    def adopt(self, adopted: Adopted) -> list[VenueReport]:
        """Look after an order of an earlier life; of one known here, tell what the account's new life may lack."""
        tracked = self.send(adopted.order, adopted.sent)
        if tracked is None:
            return self._again(self.orders[adopted.order.client_order_id], adopted)
        tracked.fills = set(adopted.fill_ids)
        tracked.told = tracked.filled = adopted.filled
        tracked.nameless = 0 if adopted.fill_ids else adopted.filled
        tracked.stage = "working" if adopted.known else "unknown"
        return self._named(tracked, adopted.venue_order_id)

    def _again(self, tracked: Tracked, adopted: Adopted) -> list[VenueReport]:
        amended = [each for each in tracked.said if isinstance(each, VenueAmended)]
        return [
            each
            for each in tracked.said
            if not (isinstance(each, VenueAccepted) and adopted.known)
            and not (isinstance(each, VenueFilled) and each.fill_id in adopted.fill_ids)
            and not (isinstance(each, VenueAmended) and each is not amended[-1])
        ]

    # -- what the venue says ---------------------------------------------------------------------------------

    def find(self, client_order_id: str, venue_order_id: str) -> Tracked | None:
        """Whose order it is; None: not ours."""
        known = self._by_venue_id.get(venue_order_id, "") or client_order_id
        return self.orders.get(known)

    def order(self, seen: OrderSeen) -> list[VenueReport]:
        """How the venue says that an order stands."""
        tracked = self.find(seen.client_order_id, seen.venue_order_id)
        if tracked is None:
            self.foreign += 1
            return []
        if tracked.over:
            return []
        reports = self._accept(tracked, seen.venue_order_id, seen.ts)
        if seen.filled is not None:
            tracked.filled = max(tracked.filled, seen.filled)
        if seen.unfilled is not None:
            tracked.filled = max(tracked.filled, tracked.size - seen.unfilled)
        if seen.amended or (tracked.doing == "amend" and tracked.doubtful and self._as_amended(tracked, seen)):
            reports += self._amended(tracked, seen)
        if seen.status == "filled":
            # Of a size that somebody else may have made smaller.
            tracked.size = max(tracked.filled, tracked.told) if seen.filled is not None else tracked.size
            tracked.filled = tracked.size
        elif seen.status == "gone":
            tracked.puzzling = True
        elif seen.status == "ended":
            tracked.end = tracked.end or self._end_code(tracked, seen.reason, seen.ts)
            tracked.reason = tracked.reason or seen.reason
        return reports + self._finish(tracked, seen.ts)

    def fill(self, seen: FillSeen) -> list[VenueReport]:
        """A fill, reported the first time."""
        tracked = self.find(seen.client_order_id, seen.venue_order_id)
        if tracked is None:
            self._keep(seen)
            return []
        if seen.fill_id in tracked.fills:
            self.repeats += 1
            return []
        reports = self._accept(tracked, seen.venue_order_id, seen.ts)
        if seen.fill_id in tracked.fills:  # it was waiting for the name
            return reports
        tracked.fills.add(seen.fill_id)
        tracked.told += seen.size
        tracked.filled = max(tracked.filled, tracked.told)
        reports.append(self._say(tracked, filled(seen, tracked.id, max(0, tracked.size - tracked.told))))
        return reports + self._finish(tracked, seen.ts)

    def listed(self, tracked: Tracked) -> list[VenueReport]:
        """All its fills are listed: the oldest are those that an earlier life has booked."""
        distinct = {each.fill_id: each for each in tracked.listing}
        listing, tracked.listing = sorted(distinct.values(), key=lambda each: (each.ts, each.fill_id)), []
        for seen in listing:
            if 0 < seen.size <= tracked.nameless and seen.fill_id not in tracked.fills:
                tracked.nameless -= seen.size
                tracked.fills.add(seen.fill_id)
            else:
                break
        tracked.nameless = 0
        return [report for seen in listing for report in self.fill(seen)]

    def rejected(self, tracked: Tracked, code: str, reason: str, ts: int) -> list[VenueReport]:
        """The venue did not take it, or never will."""
        if tracked.stage == "working" or tracked.over:
            return []
        self._over(tracked)
        return [self._say(tracked, VenueRejected(tracked.id, code, reason, ts))]

    def killed(self, tracked: Tracked, reason: str, ts: int) -> list[VenueReport]:
        """Fill-or-kill, and it was killed: it was an order, and is over."""
        if tracked.stage == "working" or tracked.over:
            return []
        self._over(tracked)
        return [self._say(tracked, VenueCancelled(tracked.id, "fok", ts, reason))]

    def unknown(
        self, tracked: Tracked, what: Literal["submit", "cancel", "amend"], reason: str, ts: int
    ) -> list[VenueReport]:
        """Nobody knows what became of it."""
        if tracked.over:
            return []
        if what == "submit":
            if tracked.stage == "working":
                return []
            tracked.stage = "unknown"
        else:
            tracked.doubtful = True
        return [VenueUnknown(tracked.id, what, reason, ts)]

    def refused(self, tracked: Tracked, code: str, reason: str, ts: int, *, gone: bool) -> list[VenueReport]:
        """A change was not made."""
        what = tracked.doing
        if not what or tracked.over:
            return []
        tracked.doing, tracked.doubtful, tracked.amending = "", False, None
        return [VenueRefusedChange(tracked.id, what, code, reason, ts, gone)]

    # -- small parts -----------------------------------------------------------------------------------------

    def _say(self, tracked: Tracked, report: VenueReport) -> VenueReport:
        tracked.said.append(report)
        return report

    def _accept(self, tracked: Tracked, venue_order_id: str, ts: int) -> list[VenueReport]:
        reports: list[VenueReport] = []
        if tracked.stage in ("sending", "unknown"):
            tracked.stage = "working"
            reports.append(self._say(tracked, VenueAccepted(tracked.id, venue_order_id, ts)))
        return reports + self._named(tracked, venue_order_id)

    def _named(self, tracked: Tracked, venue_order_id: str) -> list[VenueReport]:
        """The venue's id of an order is known: fills that came before are its own."""
        if not venue_order_id or tracked.venue_order_id == venue_order_id:
            return []
        tracked.venue_order_id = venue_order_id
        self._by_venue_id[venue_order_id] = tracked.id
        return [report for seen in self._orphans.pop(venue_order_id, ()) for report in self.fill(seen)]

    def _keep(self, seen: FillSeen) -> None:
        """It may be of an order whose answer is still on its way."""
        while len(self._orphans) >= _MOST_ORPHANS:
            del self._orphans[next(iter(self._orphans))]
            self.foreign += 1
        self._orphans.setdefault(seen.venue_order_id, []).append(seen)

    def _as_amended(self, tracked: Tracked, seen: OrderSeen) -> bool:
        asked = tracked.amending
        if asked is None:
            return False
        return (asked.size is None or seen.size == asked.size) and (asked.price is None or seen.price == asked.price)

    def _amended(self, tracked: Tracked, seen: OrderSeen) -> list[VenueReport]:
        asked, tracked.amending = tracked.amending, None
        if tracked.doing == "amend":
            tracked.doing, tracked.doubtful = "", False
        if asked is not None:
            tracked.size = tracked.size if asked.size is None else asked.size
            tracked.price = tracked.price if asked.price is None else asked.price
        return [self._say(tracked, VenueAmended(tracked.id, tracked.size, tracked.price, None, seen.ts))]

    def _finish(self, tracked: Tracked, ts: int) -> list[VenueReport]:
        """Report the end, once all fills are told."""
        if tracked.owed:
            return []
        if tracked.told >= tracked.size:
            self._over(tracked)
            return self._late(tracked, ts)
        if not tracked.end:
            return []
        self._over(tracked)
        return [self._say(tracked, VenueCancelled(tracked.id, tracked.end, ts, tracked.reason))]

    def _late(self, tracked: Tracked, ts: int) -> list[VenueReport]:
        """It is filled; a change that was under way came too late."""
        if not tracked.doing:
            return []
        what, tracked.doing = tracked.doing, ""
        return [VenueRefusedChange(tracked.id, what, "filled", "it was filled before", ts, True)]

    def _end_code(self, tracked: Tracked, reason: str, ts: int) -> str:
        """Why it ended, of the field's words: by the venue's own where it has one, else by what was ordered."""
        order = tracked.order
        word = reason.replace("_", "").lower()
        for part, code in _WORDS:
            if part in word:
                return code
        if tracked.doing == "cancel":
            return "user"
        if order.time_in_force in ("IOC", "FOK"):
            return order.time_in_force.lower()
        if order.kind == "market":
            return "no_liquidity"
        if order.expires is not None and ts + _SECOND > order.expires:
            return "expired"
        if order.post_only and tracked.filled == 0:
            return "post_only"
        return "closed"

    def _over(self, tracked: Tracked) -> None:
        tracked.stage = "ended"
        tracked.waiting.clear()
        self._live.pop(tracked.id, None)
        self._ended.append(tracked.id)
        while len(self._ended) > _MOST_ENDED:
            old = self.orders.pop(self._ended.popleft(), None)
            if old is not None:
                self._by_venue_id.pop(old.venue_order_id, None)


# Parts of the venues' words, in lower case; the first that fits.
_WORDS: Final = (
    ("postonly", "post_only"),
    ("selftrade", "self_trade"),
    ("immediateorcancel", "ioc"),
    ("unfilledioc", "ioc"),
    ("unfilledfok", "fok"),
    ("expiredinmatch", "self_trade"),
    ("insufficientliquidity", "no_liquidity"),
    ("pricerange", "protection"),
    ("expired", "expired"),
    ("marketclosed", "closed"),
    ("settled", "settled"),
    ("exchangecanceled", "closed"),
    ("user", "user"),
    ("cancelall", "user"),
)


def filled(seen: FillSeen, client_order_id: str, leaves: int | None) -> VenueFilled:
    """A fill as the account gets it."""
    return VenueFilled(
        client_order_id=client_order_id,
        fill_id=seen.fill_id,
        market=seen.market,
        side=seen.side,
        price=seen.price,
        size=seen.size,
        liquidity=seen.liquidity,
        fee=seen.fee,
        fee_currency=seen.fee_currency,
        ts=seen.ts,
        leaves=leaves,
        venue_order_id=seen.venue_order_id,
    )
