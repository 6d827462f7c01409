"""Why two order logs of one strategy differ: order by order the first link of the chain that is another one.

    signal → decision → risk → data → latency → book → queue → price → size → fee → state

What comes later in the chain follows from what came before, so an order has one cause, and the rest of what differs
stands beside it. Money is what THEIRS made of an order less what OURS made: cash and fees as they were booked; what
one side traded and the other did not is valued at the last fill of its market in either log.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

import msgspec

from actors.research.analysis.causes import CAUSES, Cause, Found, fill_mark, fills, kinds, refused, terms, told, why_of
from actors.research.analysis.market_track import Gap, Prices
from actors.research.analysis.matching import By, Matched, Pair, matched
from actors.research.analysis.order_log import OrderStory, stories
from actors.research.analysis.texts import span_text
from protocols.nanos import exact_nanos
from protocols.orders import OrderEvent


class Side(msgspec.Struct, kw_only=True):
    """One log, and what else is known of it. `signals`: every signal that it was given, with when it was made and when
    it arrived (None: nobody can tell).

    `declined`: code and reason by signal. `first`, `last`: the time that it covers; None: that of its orders.
    `own_clock`: False where times are those of the data.
    """

    title: str
    events: Sequence[OrderEvent]
    signals: Mapping[str, tuple[int, int]] | None = None
    declined: Mapping[str, tuple[str, str]] = {}
    prices: Prices | None = None
    first: int | None = None
    last: int | None = None
    own_clock: bool = True


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """An order that is not the same. `ts`: of the first event that differs, ns, by the clock of OURS.

    `money`: nanos of `currency`, positive where THEIRS has more; None: nobody can tell.
    """

    cause: Cause
    ts: int
    ours: str
    theirs: str
    by: By
    market: str
    side: str
    text: str
    details: tuple[str, ...] = ()
    money: int | None = None
    currency: str = ""


class Total(msgspec.Struct, frozen=True, kw_only=True):
    """All differences of a cause. `money` by currency; `unknown`: how many have none."""

    cause: Cause
    count: int
    money: dict[str, int]
    unknown: int


class Divergence(msgspec.Struct, frozen=True, kw_only=True):
    """What two logs have not in common, in the order of time. `same`: orders that are equal, event by event."""

    ours: str
    theirs: str
    our_orders: int
    their_orders: int
    same: int
    matched_by: dict[str, int]
    shift: int
    by_data_time: tuple[str, ...]
    differences: tuple[Difference, ...]
    totals: tuple[Total, ...]

    @property
    def equal(self) -> bool:
        """Whether there is no difference."""
        return not self.differences

    @property
    def in_time_alone(self) -> int:
        """How many orders came at another time, and had the same fills at the same prices."""
        return sum(each.cause in ("decision_time", "latency") and not each.details for each in self.differences)

    @property
    def first(self) -> Difference | None:
        """Where they part."""
        return self.differences[0] if self.differences else None


def compare(
    ours: Side, theirs: Side, *, within_ns: int = 10**9, tolerance_ns: int = 0, align: bool = False
) -> Divergence:
    """What differs and why. `within_ns`: how far apart in time orders without a common id may be to count as one.

    `tolerance_ns`: times that differ by no more are the same. `align`: the first orders of both were at one time.
    """
    mine, other = stories(ours.events), stories(theirs.events)
    found = matched(mine, other, within_ns=within_ns, align=align)
    differ = _Comparing(ours, theirs, found, tolerance_ns)
    differences = [each for pair in found.pairs if (each := differ.of(pair)) is not None]
    differences.sort(key=lambda each: each.ts)
    return Divergence(
        ours=ours.title,
        theirs=theirs.title,
        our_orders=len(mine),
        their_orders=len(other),
        same=len(found.pairs) - len(differences),
        matched_by=dict(Counter(pair.by or "none" for pair in found.pairs)),
        shift=found.shift,
        by_data_time=tuple(side.title for side in (ours, theirs) if not side.own_clock),
        differences=tuple(differences),
        totals=_totals(differences),
    )


def _totals(differences: Iterable[Difference]) -> tuple[Total, ...]:
    found: dict[Cause, list[Difference]] = {}
    for each in differences:
        found.setdefault(each.cause, []).append(each)
    totals = []
    for cause in CAUSES:
        if cause in found:
            money: dict[str, int] = {}
            for each in found[cause]:
                if each.money is not None and each.currency:
                    money[each.currency] = money.get(each.currency, 0) + each.money
            unknown = sum(each.money is None for each in found[cause])
            totals.append(Total(cause=cause, count=len(found[cause]), money=money, unknown=unknown))
    return tuple(totals)


class _Comparing:
    """Compares the orders of two logs one by one."""

    def __init__(self, ours: Side, theirs: Side, found: Matched, tolerance_ns: int) -> None:
        self.ours = ours
        self.theirs = theirs
        self.shift = found.shift
        self.tolerance = tolerance_ns
        self.values = _last_values((*ours.events, *theirs.events), found.shift, len(ours.events))
        self.unlike: set[str] = set()
        """Orders of either log that differ, as far as they were looked at: what hangs on them follows."""

    def of(self, pair: Pair) -> Difference | None:
        """The difference of an order; None: there is none."""
        if pair.ours is not None and pair.theirs is not None:
            found = self._both(pair.ours, pair.theirs)
            ts = self._parted(pair.ours, pair.theirs)
        elif pair.ours is not None:
            found, ts = [self._alone(pair.ours, self.theirs, 1)], pair.ours.created
        else:
            assert pair.theirs is not None
            found, ts = [self._alone(pair.theirs, self.ours, -1)], pair.theirs.created - self.shift
        if not found:
            return None
        story = pair.ours or pair.theirs
        assert story is not None
        for each in (pair.ours, pair.theirs):
            if each is not None:
                self.unlike.add(each.name)
        money, currency, more = self._money(pair)
        return Difference(
            cause=found[0].cause,
            ts=ts,
            ours="" if pair.ours is None else pair.ours.name,
            theirs="" if pair.theirs is None else pair.theirs.name,
            by=pair.by,
            market=story.asked.market,
            side=story.asked.side,
            text=found[0].text,
            details=(*(each.text for each in found[1:]), *more),
            money=money,
            currency=currency,
        )

    # -- an order of one log alone -------------------------------------------------------------------------------

    def _alone(self, story: OrderStory, other: Side, direction: int) -> Found:
        """Why the other one (THEIRS if `direction` is 1) has no such order."""
        order = story.asked
        moment = story.created + direction * self.shift
        if order.signal_id in other.declined:
            code, reason = other.declined[order.signal_id]
            return Found("declined", f"{other.title} declined the signal: {code}, {reason}")
        if order.parent and order.parent in self.unlike:
            return Found("parent", f"its parent {order.parent} differs")
        if other.last is not None and moment > other.last:
            return Found("not_covered", f"{other.title} ended before it")
        if other.first is not None and moment < other.first:
            return Found("not_covered", f"{other.title} began after it")
        gap = None if other.prices is None else other.prices.gap(order.market, moment, moment)
        if gap is not None:
            return Found("data_gap", f"{other.title} had no current data of {order.market}: {gap.reason}")
        if order.signal_id and other.signals is not None and order.signal_id in other.signals:
            return Found("declined", f"{other.title} was given the signal and made no such order of it")
        if not order.signal_id or other.signals is None:
            what = f"the signal {order.signal_id}" if order.signal_id else f"source {order.source}"
            return Found("unmatched", f"{other.title} has no order of {what}")
        return Found(
            "missing_signal" if direction == 1 else "extra_signal",
            f"{other.title} never had the signal {order.signal_id}",
        )

    # -- an order of both ----------------------------------------------------------------------------------------

    def _both(self, ours: OrderStory, theirs: OrderStory) -> list[Found]:
        if self._marks(ours, 0) == self._marks(theirs, self.shift):
            return []
        found: list[Found] = []
        if ours.asked.parent and ours.asked.parent in self.unlike:
            found.append(Found("parent", f"its parent {ours.asked.parent} differs"))
        found += terms(ours, theirs)
        found += refused(ours, theirs, "denied", "risk_denial")
        found += refused(ours, theirs, "rejected", "rejection")
        found += self._times(ours, theirs)
        found += fills(ours, theirs)
        if not self._near(ours, theirs):
            found.append(Found("latency", "its fills took another time"))
        if ours.state != theirs.state:
            found.append(Found("state", f"{ours.state} became {theirs.state}{why_of(theirs)}"))
        if not found and not self._only_times(ours, theirs):
            found.append(Found("events", f"{kinds(ours)} became {kinds(theirs)}"))
        return found

    def _times(self, ours: OrderStory, theirs: OrderStory) -> list[Found]:
        found = []
        gap = _gap(self.theirs, theirs)
        if gap is not None and _gap(self.ours, ours) is None:
            found.append(Found("data_gap", f"the data were not current while it was open: {gap.reason}"))
        later = theirs.created - self.shift - ours.created
        if abs(later) > self.tolerance:
            word = "later" if later > 0 else "earlier"
            found.append(Found("decision_time", f"decided {span_text(abs(later))} {word}{self._on_its_way(theirs)}"))
        return found

    def _on_its_way(self, theirs: OrderStory) -> str:
        """How long the signal took to the account, where its journal says so."""
        times = (self.theirs.signals or {}).get(theirs.asked.signal_id)
        return "" if times is None else f", its signal was on its way for {span_text(times[1] - times[0])}"

    def _near(self, ours: OrderStory, theirs: OrderStory) -> bool:
        """Whether fills came as long after the decision; another number of them is a difference of its own."""
        mine = [ts - ours.created for ts in told(ours)]
        other = [ts - theirs.created for ts in told(theirs)]
        return len(mine) != len(other) or all(abs(b - a) <= self.tolerance for a, b in zip(mine, other, strict=True))

    def _only_times(self, ours: OrderStory, theirs: OrderStory) -> bool:
        """Whether nothing but times within the tolerance differs."""
        mine, other = self._marks(ours, 0), self._marks(theirs, self.shift)
        return len(mine) == len(other) and all(
            a[1:] == b[1:] and abs(a[0] - b[0]) <= self.tolerance for a, b in zip(mine, other, strict=True)
        )

    def _parted(self, ours: OrderStory, theirs: OrderStory) -> int:
        """When the first event happened that is not the same."""
        mine, other = self._marks(ours, 0), self._marks(theirs, self.shift)
        for a, b in zip(mine, other, strict=False):
            if a != b:
                return int(min(a[0], b[0]))
        place = min(len(mine), len(other))
        rest = mine[place:] or other[place:]
        return int(rest[0][0]) if rest else ours.created

    @staticmethod
    def _marks(story: OrderStory, shift: int) -> list[tuple[Any, ...]]:
        """What counts of each event; names and numbers of accounts do not."""
        return [
            (
                event.ts - shift,
                event.kind,
                event.order.state,
                event.order.order.size,
                event.order.order.price,
                event.order.order.stop_price,
                event.order.filled,
                event.order.fees,
                event.order.reason_code,
                event.order.pending,
                None if event.fill is None else fill_mark(event.fill),
            )
            for event in story.events
        ]

    # -- money ---------------------------------------------------------------------------------------------------

    def _money(self, pair: Pair) -> tuple[int | None, str, tuple[str, ...]]:
        """(nanos, currency, what could not be counted)."""
        traded = [fill for story in (pair.ours, pair.theirs) if story is not None for fill in story.fills]
        if not traded:
            return 0, "", ()
        currency = traded[0].currency
        if any(fill.currency != currency for fill in traded):
            return None, "", ("their fills are in several currencies",)
        foreign = sorted({fill.fee_currency for fill in traded if fill.fee and fill.fee_currency != currency})
        total = Fraction(0)
        left = 0
        for story, sign in ((pair.theirs, 1), (pair.ours, -1)):
            if story is None:
                continue
            fees = sum(fill.fee for fill in story.fills if fill.fee_currency == currency)
            total += sign * (-story.direction * story.notional - fees)
            left += sign * story.direction * story.filled
        if left:
            total += left * self.values[traded[0].market]
        more = (f"fees in {', '.join(foreign)} are not counted",) if foreign else ()
        return round(total), currency, more


def _gap(side: Side, story: OrderStory) -> Gap | None:
    """What the side was not told of the order's market while the order was open."""
    if side.prices is None:
        return None
    return side.prices.gap(story.asked.market, story.created, story.ended or story.events[-1].ts)


def _last_values(events: Sequence[OrderEvent], shift: int, ours: int) -> dict[str, Fraction]:
    """What one nano of each market was worth in its last fill of either log."""
    found: dict[str, tuple[int, Fraction]] = {}
    for place, event in enumerate(events):
        fill = event.fill
        if fill is not None and fill.size:
            ts = fill.ts - (shift if place >= ours else 0)
            if fill.market not in found or ts >= found[fill.market][0]:
                found[fill.market] = ts, Fraction(exact_nanos(fill.notional), fill.size)
    return {market: value for market, (_, value) in found.items()}
