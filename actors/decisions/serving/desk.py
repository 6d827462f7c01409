"""Where a request meets its model: may it be asked, what does it say, who else gets the same answer. A core: the clock
comes in, and answers go out by the function that its maker gives it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from actors.decisions.features.names import REGIMES
from actors.decisions.policy import FeaturesMissing, PolicyAnswer
from actors.decisions.serving import answers
from actors.decisions.serving.cache import AnswerCache, Key
from actors.decisions.serving.inference import Answers, packed
from actors.decisions.serving.meters import Meters
from actors.decisions.serving.pending import Batch, Pending, Served
from actors.decisions.serving.settings import Settings
from protocols.decisions import Decision, Reason, UseModel
from runtime.breaker import CircuitOpen


class Time(Protocol):
    """A clock."""

    def now(self) -> int:
        """Wall time, nanoseconds."""

    def monotonic(self) -> int:
        """Nanoseconds since some moment of this run."""


class Desk:
    """Models in service, their answers to equal observations, and the checks before each call.

    `give` is called once with every request that gets its answer here.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Time,
        meters: Meters,
        give: Callable[[Pending, Decision], None],
    ) -> None:
        self.settings = settings
        self.served: dict[str, Served] = {}
        self.cache: AnswerCache = AnswerCache(settings.cache_ttl_s, settings.cache_entries)
        self.swaps = 0
        self._now = clock.now
        self._monotonic = clock.monotonic
        self._meters = meters
        self._give = give
        self._stale_ns = round(settings.stale_s * 1e9)

    def use(self, message: UseModel) -> Served | None:
        """Serve a name by this policy from now on; None: it does already. Its breaker is new, and closed."""
        before = self.served.get(message.name)
        if before is not None and before.version == message.version and before.policy is message.policy:
            return None
        served = Served(message.name, message.version, message.policy, self.settings.breaker, self._monotonic())
        self.served[message.name] = served
        self.cache.forget(message.name)
        self.swaps += before is not None
        self._meters.model(message.name, message.version, "" if before is None else before.version)
        return served

    def infer(self, batch: Batch) -> None:
        """Call the model for what is to be asked, and answer all of it."""
        if batch.asked:
            batch.prepare()
        self.settle(batch, batch.think())

    # Before the call.

    def admit(self, pending: Pending, batch: Batch) -> None:
        """Take it into a batch of its model, unless it is answered here: its time is over, or too little is known."""
        now = pending.taken = self._monotonic()
        if not pending.open:
            return None
        request, served = pending.request, batch.served
        info, observation = served.info, request.observation
        if pending.deadline <= now:
            return self.fall_back(pending, "TIMEOUT", "the deadline passed while the request waited")
        wall = self._now()
        # An observation that does not say when it was is of the moment.
        pending.ts_event = observation.ts_event or wall
        if wall - pending.ts_event > self._stale_ns:
            age_s = (wall - pending.ts_event) / 1e9
            return self.fall_back(pending, "STALE_OBS", f"the observation is {age_s:.1f} s old")
        fits = observation.feature_set == served.feature_set and (
            served.columns is not None or len(observation.values) == len(info.features)
        )
        pending.missing = served.missing(observation.values) if fits else info.features
        known = len(info.features) - len(pending.missing)
        if known < info.min_features or not fits or (pending.missing and not info.takes_missing):
            return self.fall_back(pending, "MISSING_FEATURES", f"{known} of {len(info.features)} features are known")
        if request.mask and len(request.mask) != len(info.actions):
            text = f"expected a mask of {len(info.actions)} actions, got {len(request.mask)}"
            return self.fall_back(pending, "MODEL_ERROR", text)
        # Who asks why is answered by a call of his own: an explanation is more than the answer that is kept.
        if not (info.cacheable and self.cache.on and not request.explain and self._known(pending, batch)):
            try:
                pending.permit = served.breaker.acquire(now)
            except CircuitOpen as refused:
                return self.fall_back(pending, "CIRCUIT_OPEN", refused.message)
            if pending.key is not None:
                batch.leaders[pending.key] = pending
            batch.asked.append(pending)
        batch.pending.append(pending)
        return None

    def _known(self, pending: Pending, batch: Batch) -> bool:
        """Whether the answer to an equal observation is known, or is going to be by this batch."""
        request, served = pending.request, batch.served
        raw = packed(request.observation.values)
        key: Key = (served.name, served.version, served.info.normaliser, raw, request.mask, request.regimes)
        pending.leader = batch.leaders.get(key)
        if pending.leader is not None:
            self.cache.shared += 1
            self._meters.cache("shared")
            pending.cached = True
            return True
        pending.answer = self.cache.get(key, pending.ts_event)
        if pending.answer is not None:
            self._meters.cache("hit")
            pending.cached = True
            return True
        self._meters.cache("miss")
        pending.key = key
        return False

    # After it.

    def settle(self, batch: Batch, found: Answers) -> None:
        """What the model said: to its breaker, into the cache, and to everybody in the order of the batch."""
        served = batch.served
        now = self._monotonic()
        serving = self.served.get(served.name) is served
        for pending, answer in zip(batch.asked, found, strict=True):
            permit, pending.permit = pending.permit, None
            pending.answer = answer
            assert permit is not None
            if isinstance(answer, FeaturesMissing):
                permit.release()  # it is the observation's fault
                continue
            if isinstance(answer, Exception):
                permit.failure(now)
                continue
            permit.success(now)
            if pending.key is not None and serving:
                self.cache.put(pending.key, pending.ts_event, answer)
        for pending in batch.pending:
            answer_ = pending.answer if pending.leader is None else pending.leader.answer
            if isinstance(answer_, PolicyAnswer):
                self.answer(pending, batch, answer_)
            elif isinstance(answer_, FeaturesMissing):
                pending.missing = answer_.features
                self.fall_back(pending, "MISSING_FEATURES", str(answer_)[:500])
            else:
                self.fall_back(pending, "MODEL_ERROR", f"{type(answer_).__name__}: {answer_}"[:500])

    def give_up(self, batch: Batch, detail: str) -> None:
        """No answer came in time: each is a failure of the model."""
        now = self._monotonic()
        for pending in batch.asked:
            permit, pending.permit = pending.permit, None
            if permit is not None:
                permit.failure(now)
        for pending in batch.pending:
            if isinstance(pending.answer, PolicyAnswer):
                self.answer(pending, batch, pending.answer)
            else:
                self.fall_back(pending, "TIMEOUT", detail)

    # Answers.

    def answer(self, pending: Pending, batch: Batch, answer: PolicyAnswer) -> None:
        """Give a model's answer, unless the request has one, or the model is not sure enough."""
        if not pending.open:
            return
        request, settings, served = pending.request, self.settings, batch.served
        now = self._monotonic()
        if now >= pending.deadline:  # who asked has the fallback's answer by now, or is about to
            self.fall_back(pending, "TIMEOUT", "the model answered too late")
            return
        least = settings.min_confidence if request.min_confidence is None else request.min_confidence
        if answer.confidence < least:
            self.fall_back(pending, "LOW_CONFIDENCE", f"confidence {answer.confidence:.3f} is below {least:.3f}")
            return
        served.decisions += 1
        decision = answers.by_model(
            request,
            served.name,
            served.version,
            served.info,
            answer,
            pending.assignment,
            self._now(),
            actions=served.actions,
            trade_above=settings.trade_above,
            missing=pending.missing,
            regimes=tuple(zip(REGIMES, request.regimes, strict=True)) if request.regimes else (),
            factors=pending.factors,
            unexplained=pending.unexplained,
            cached=pending.cached,
            queue_ns=pending.taken - pending.arrived,
            took_ns=now - pending.arrived,
        )
        self._give(pending, decision)

    def fall_back(self, pending: Pending, reason: Reason, detail: str = "") -> None:
        """Give the fallback's answer, unless the request has one."""
        if pending.open:
            self._give(pending, self.fallback(pending, reason, detail))

    def fallback(self, pending: Pending, reason: Reason, detail: str) -> Decision:
        """The fallback's answer to a request."""
        return answers.by_fallback(
            pending.request,
            reason,
            pending.assignment,
            self._now(),
            detail=detail,
            missing=pending.missing,
            took_ns=self._monotonic() - pending.arrived,
            queue_ns=pending.taken - pending.arrived,
        )
