"""The roster: gives verdicts, starts a user's actor on first use, ends it when it is idle, has everybody adapted.

A verdict needs nothing but the thresholds that are served, and those are in memory here: no actor is asked, nothing
waits. Only the first signal of a user and symbol waits a moment for what was stored; what is not there by then is
judged by defaults, is marked `provisional`, and is read again soon. Whatever learns or moves goes to the user's own
actor.

A user's actor that crashes is started anew by the next request, with its state from the keeper. No handler here waits.
"""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

from actors.thresholds.cycles import Cycles
from actors.thresholds.holding import Holding
from actors.thresholds.messages import (
    Event,
    GetCacheFigures,
    GetStatesFigures,
    Loaded,
)
from actors.thresholds.settings import Settings
from actors.thresholds.user_actors import ASK_S
from actors.thresholds.verdicting import MOST_TEXT, Verdicting, check
from protocols.control import Probe, ProbeReport, Refused, Unknown
from protocols.paths import THRESHOLD_CACHE, THRESHOLD_STATES
from protocols.thresholds import (
    MOVES,
    Adapted,
    AdaptThresholds,
    FreezeThresholds,
    GetRecords,
    GetThresholds,
    GetThresholdStats,
    Learned,
    OutcomeResolved,
    PoorPerformance,
    Records,
    ResetThresholds,
    ThresholdStats,
    ThresholdsView,
)
from runtime import Mailbox, receive


class ThresholdRoster(Verdicting, Cycles):
    """Answers what `protocols/thresholds.py` asks. `second_cache`: whether there is one."""

    mailbox: ClassVar[Mailbox] = Mailbox(capacity=65_536)
    later_capacity: ClassVar[int] = 16_384

    def __init__(self, settings: Settings = Settings(), second_cache: bool = False) -> None:  # noqa: B008 - frozen
        Verdicting.__init__(self, settings, second_cache)
        self.outcomes = 0

    def on_start(self) -> None:
        """Begin."""
        self.since = self.clock.now()
        super().on_start()

    # What goes to the user's own actor.

    @receive
    def view(self, request: GetThresholds) -> None:
        """Thresholds as they are; the defaults, and so marked, while what was stored cannot be read."""
        check(request.user_id, request.symbol)
        self._use(request.user_id)
        self.answer_later(self._view, request)

    async def _view(self, request: GetThresholds) -> ThresholdsView:
        try:
            view: ThresholdsView = await self._ask_user(request.user_id, request, ASK_S)
        except (Refused, Unknown) as error:
            view = self._provisional_view(request, str(error))
        return view

    def _provisional_view(self, request: GetThresholds, why: str) -> ThresholdsView:
        nobody = Holding(request.user_id, request.symbol, self.registry, self.settings.learning, Loaded(), self._now())
        return msgspec.structs.replace(nobody.view(), provisional=True, remark=why)

    @receive
    def adapt(self, request: AdaptThresholds) -> None:
        """A cycle of one user and symbol."""
        self._forward(request)

    @receive
    def reset(self, request: ResetThresholds) -> None:
        """Back to the defaults."""
        self._forward(request)

    @receive
    def freeze(self, request: FreezeThresholds) -> None:
        """Nothing is to move, or may again."""
        if not 1 <= len(request.reason) <= MOST_TEXT:
            raise Refused("invalid", f"reason: expected 1 to {MOST_TEXT} characters", "reason")
        self._forward(request)

    @receive
    def resolved(self, request: OutcomeResolved) -> None:
        """An outcome is known."""
        if request.seq < 1:
            raise Refused("invalid", f"seq: expected above 0, got {request.seq}", "seq")
        self._forward(request)

    @receive
    def poor(self, request: PoorPerformance) -> None:
        """The performance is poor."""
        self._forward(request)

    def _forward(
        self, request: AdaptThresholds | ResetThresholds | FreezeThresholds | OutcomeResolved | PoorPerformance
    ) -> None:
        check(request.user_id, request.symbol)
        self._use(request.user_id)
        self.answer_later(self._forwarded, request)

    async def _forwarded(self, request: Any) -> Any:
        try:
            answer = await self._ask_user(request.user_id, request, ASK_S)
        except (Refused, Unknown):
            self.ref.tell(Event("failed"))
            raise
        if isinstance(request, OutcomeResolved) and isinstance(answer, Learned) and answer.new:
            self.ref.tell(Event("outcome"))
        if isinstance(answer, Adapted):
            self.ref.tell(Event("adaptation"))
            if moved := sum(record.reason_code in MOVES for record in answer.records):
                self.ref.tell(Event("move", moved))
        return answer

    @receive
    def event(self, message: Event) -> None:
        """Count what a task has done."""
        match message.what:
            case "failed":
                self.failures += message.count
            case "outcome":
                self.outcomes += message.count
            case "adaptation":
                self.adaptations += message.count
            case "move":
                self.moves += message.count

    # Lists and figures.

    @receive
    def records(self, request: GetRecords) -> None:
        """What moved: the keeper of states knows."""
        self.answer_later(self._records, request)

    async def _records(self, request: GetRecords) -> Records:
        return await self.lookup(THRESHOLD_STATES).ask(request, ASK_S)

    @receive
    def stats(self, _: GetThresholdStats) -> None:
        """Figures of all of it."""
        self.answer_later(self._stats)

    async def _stats(self) -> ThresholdStats:
        waiting = 0
        try:
            waiting = (await self.lookup(THRESHOLD_STATES).ask(GetStatesFigures(), 1.0)).waiting
        except (Refused, Unknown) as error:
            self.logger.info("the keeper of states does not say how it is", why=str(error))
        redis, hits, failures = "off", 0, 0
        if self.second_cache:
            redis = self.redis_down or "up"
            try:
                figures = await self.lookup(THRESHOLD_CACHE).ask(GetCacheFigures(), 1.0)
                redis, hits, failures = figures.down or "up", figures.hits, figures.failures
            except (Refused, Unknown) as error:
                redis = f"down: {error}"
        return ThresholdStats(
            since=self.since,
            users_active=len(self.used),
            users_passive=max(0, self.cache.users - len(self.used)),
            evaluations=self.evaluations,
            approved=self.approved,
            answered_provisionally=self.provisional,
            outcomes=self.outcomes,
            adaptations=self.adaptations,
            moves=self.moves,
            failures=self.failures,
            started=self.started,
            passivated=self.passivated,
            cache_entries=len(self.cache),
            cache_hits=self.hits,
            cache_misses=self.misses,
            redis=redis,
            redis_hits=hits,
            redis_failures=failures,
            states_waiting=waiting,
            adapting=self.adapting is not None,
            last_adapt_all=self.last_adapt_all,
        )

    @receive
    def probe(self, _: Probe) -> ProbeReport:
        """It can always judge; it is degraded while the second cache is down."""
        return ProbeReport(
            "degraded" if self.redis_down else "ok",
            f"the second cache is down: {self.redis_down}" if self.redis_down else "",
            figures=(
                ("evaluations", self.evaluations),
                ("provisional", self.provisional),
                ("outcomes", self.outcomes),
                ("moves", self.moves),
                ("users", len(self.used)),
                ("failures", self.failures),
            ),
        )
