"""What one phase of a test has seen: who was exposed to what, what they got, and what came of it. A core.

Nothing here depends on the order in which a restart finds it again: a decision that is known is not counted twice, and
of two exposures of a unit the earlier one counts. Times in ns, UTC; a day is one of UTC.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Final

import msgspec

from protocols.decisions import FALLBACK, NO_MODELS, Decision
from protocols.experiments import ExperimentPlan, ShadowPairRow

DAY_NS: Final = 86_400_000_000_000
_PER_OCTAVE: Final = 8
"""Buckets of latencies between one and its double: a p99 is at most 9 % too high."""


class Seen(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What the analysis needs of one decision. The fields are columns of `prediction_history`."""

    decision_id: str
    ts: int
    user_id: str
    symbol: str
    experiment: str
    version: int
    arm: str
    served_by: str
    reason: str
    should_trade: bool
    processing_ns: int

    @classmethod
    def of(cls, decision: Decision) -> Seen:
        """Of a decision."""
        return cls(
            decision_id=decision.decision_id,
            ts=decision.ts,
            user_id=decision.user_id,
            symbol=decision.symbol,
            experiment=decision.experiment,
            version=decision.version,
            arm=decision.arm,
            served_by=decision.served_by,
            reason=decision.reason,
            should_trade=decision.should_trade,
            processing_ns=decision.took_ns,
        )


class Tally(msgspec.Struct, gc=False):
    """Requests of one arm or unit."""

    requests: int = 0
    timeouts: int = 0
    fallbacks: int = 0
    rejected: int = 0
    slow: int = 0

    def add(self, seen: Seen, slow_ns: int, times: int = 1) -> None:
        """Count decisions."""
        self.requests += times
        self.timeouts += times * (seen.reason == "TIMEOUT")
        self.fallbacks += times * (seen.served_by == FALLBACK)
        self.rejected += times * (seen.reason in ("REJECTED", "CIRCUIT_OPEN"))
        self.slow += times * (seen.processing_ns > slow_ns)


class Day(msgspec.Struct, gc=False):
    """A user-day: the sum of what is known, of how many decisions, and how many are not known.

    A decision not to trade has an outcome that is known: none.
    """

    total: float = 0.0
    known: int = 0
    pending: int = 0


class UnitFigures(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A unit at one moment. `days`: (day, sum, known, pending). `drawdown`: the deepest of its summed outcomes."""

    unit: str
    arm: str
    ts: int
    requests: int
    timeouts: int
    fallbacks: int
    rejected: int
    slow: int
    days: tuple[tuple[int, float, int, int], ...]
    drawdown: float | None


class Unit:
    """One unit that was exposed."""

    __slots__ = ("arm", "arms", "days", "requests", "ts")

    def __init__(self, arm: str, ts: int) -> None:
        self.arm = arm
        self.ts = ts
        self.arms = {arm}
        self.requests = Tally()
        self.days: dict[int, Day] = {}

    def day(self, ts: int) -> Day:
        """The user-day of a time."""
        return self.days.setdefault(ts // DAY_NS, Day())

    def figures(self, unit: str) -> UnitFigures:
        """As it is now."""
        tally = self.requests
        return UnitFigures(
            unit=unit,
            arm=self.arm,
            ts=self.ts,
            requests=tally.requests,
            timeouts=tally.timeouts,
            fallbacks=tally.fallbacks,
            rejected=tally.rejected,
            slow=tally.slow,
            days=tuple((day, each.total, each.known, each.pending) for day, each in self.days.items()),
            drawdown=drawdown_of({day: each.total for day, each in self.days.items() if each.known}),
        )


class ArmCounts:
    """Requests of one arm, whoever made them."""

    __slots__ = ("latency", "reasons", "served_by", "tally")

    def __init__(self) -> None:
        self.tally = Tally()
        self.served_by: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.latency: Counter[int] = Counter()

    def add(self, seen: Seen, slow_ns: int, times: int = 1) -> None:
        """Count decisions."""
        self.tally.add(seen, slow_ns, times)
        self.served_by[seen.served_by] += times
        if seen.reason:
            self.reasons[seen.reason] += times
        self.latency[bucket_of(seen.processing_ns)] += times

    def p99_ms(self) -> float | None:
        """The 99th percentile of all decisions, the upper end of its bucket; None without any."""
        total = sum(self.latency.values())
        if not total:
            return None
        wanted, found = math.ceil(0.99 * total), 0
        for bucket in sorted(self.latency):
            found += self.latency[bucket]
            if found >= wanted:
                return float(2.0 ** ((bucket + 1) / _PER_OCTAVE)) / 1e6
        raise AssertionError("the buckets hold fewer than their sum")


def bucket_of(ns: int) -> int:
    """The bucket of a latency, logarithmic."""
    return int(math.log2(max(ns, 1)) * _PER_OCTAVE)


def drawdown_of(days: dict[int, float]) -> float | None:
    """The deepest fall of the summed user-days below their highest sum; None without a day."""
    total = peak = deepest = 0.0
    for day in sorted(days):
        total += days[day]
        peak = max(peak, total)
        deepest = max(deepest, peak - total)
    return deepest if days else None


class Phase:
    """All that is known of one version of a test."""

    def __init__(self, plan: ExperimentPlan, since: int) -> None:
        self.plan = plan
        self.since = since
        self.until = 0
        """When arms stopped to differ in what they get; 0: they still do."""
        self.units: dict[str, Unit] = {}
        self.arms: dict[str, ArmCounts] = {arm.name: ArmCounts() for arm in plan.arms}
        self.flagged: set[str] = set()
        self.assigned: dict[str, str] = {}
        self.sticky: dict[str, str] = {}
        """Of these the ones whom the plan alone would not have there."""
        self.requests = self.by_model = 0
        self.shadows: dict[str, ShadowCounts] = {arm.name: ShadowCounts() for arm in plan.arms if arm.shadow}

    def expose(self, unit: str, arm: str, ts: int) -> bool:
        """A unit could notice its arm for the first time; False: it is known in this arm.

        One that is seen in a second arm is flagged: it counts in none.
        """
        found = self.units.get(unit)
        if found is None:
            self.units[unit] = Unit(arm, ts)
            return True
        if arm in found.arms:
            found.ts = min(found.ts, ts) if arm == found.arm else found.ts
            return False
        found.arms.add(arm)
        self.flagged.add(unit)
        if ts < found.ts:
            found.arm, found.ts = arm, ts
        return True

    def count(self, seen: Seen, times: int = 1) -> None:
        """Count requests, of whomever: that is what the arms served."""
        self.requests += times
        self.by_model += times * (seen.served_by not in NO_MODELS)
        if seen.arm in self.arms:
            self.arms[seen.arm].add(seen, self.plan.analysis.slow_ns, times)

    def follow(self, unit: str, seen: Seen, times: int = 1) -> None:
        """A request of an exposed unit: of its arm, whoever served it (intention to treat)."""
        found = self.units.get(unit)
        if found is None or seen.ts < found.ts or self.over_at(seen.ts):
            return
        found.requests.add(seen, self.plan.analysis.slow_ns, times)
        day = found.day(seen.ts)
        if seen.should_trade:
            day.pending += times
        else:
            day.known += times

    def outcome(self, unit: str, ts_decision: int, value: float, decisions: int = 1) -> bool:
        """What came of a unit's decisions, of so many for the first time. False: it is from before the exposure, or
        after the end of the phase, and does not count.
        """
        found = self.units.get(unit)
        if found is None or ts_decision < found.ts or self.over_at(ts_decision):
            return False
        day = found.day(ts_decision)
        day.total += value
        day.known += decisions
        day.pending = max(0, day.pending - decisions)
        return True

    def over_at(self, ts: int) -> bool:
        """Whether arms no longer differed then."""
        return bool(self.until) and ts >= self.until

    def users(self) -> dict[str, int]:
        """How many units there are, by arm; flagged ones in none."""
        found: dict[str, int] = {arm.name: 0 for arm in self.plan.arms if not arm.shadow}
        for name, unit in self.units.items():
            if name not in self.flagged:
                found[unit.arm] = found.get(unit.arm, 0) + 1
        return found


class ShadowCounts:
    """Pairs of a shadow: what it said beside what was served."""

    __slots__ = ("agreed", "known", "open", "pairs", "unknown", "users")

    def __init__(self) -> None:
        self.pairs = self.agreed = self.known = self.unknown = 0
        self.open: dict[str, tuple[str, int, bool]] = {}
        """Decisions whose outcome is awaited: the user, when, and whether the shadow would have done the same."""
        self.users: dict[str, dict[int, float]] = {}
        """Sums of the differences by user and day."""

    def add(self, row: ShadowPairRow) -> None:
        """Take a pair in; what follows for its difference follows from what both said."""
        self.pairs += 1
        same = row.live_trades == row.shadow_trades and (not row.live_trades or row.live_action == row.shadow_action)
        self.agreed += same
        if same and not row.live_trades:
            self._difference(row.user_id, row.ts, 0.0)
        elif row.live_trades and (same or not row.shadow_trades):
            self.open[row.decision_id] = (row.user_id, row.ts, same)
        else:
            self.unknown += 1  # it would have traded where nobody did, or the other way round

    def outcome(self, decision_id: str, value: float) -> None:
        """The outcome of a live decision: of a shadow that agrees the difference is 0, of one that would not trade
        the other way round."""
        found = self.open.pop(decision_id, None)
        if found is not None:
            user, ts, same = found
            self._difference(user, ts, 0.0 if same else -value)

    def _difference(self, user: str, ts: int, value: float) -> None:
        self.known += 1
        days = self.users.setdefault(user, {})
        day = ts // DAY_NS
        days[day] = days.get(day, 0.0) + value
