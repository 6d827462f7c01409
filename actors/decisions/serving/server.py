"""The decision server: every request is answered before its deadline, by the user's arm or by the fallback.

A request is checked, assigned, and takes its place in a queue; a message that the server tells itself then answers what
waits, by urgency, in batches of what is there already. Small models (numpy) are called on the loop, within a slice of
time; slow ones on a thread of their own, one call at a time. What is not answered in time, or cannot be, is answered by
the fallback at once. No handler ever waits.

Two requests of one user and symbol in one class are answered by their model in the order in which they came; an answer
of the rule or of the fallback is given at once, and may overtake, as may those of a new version what a thread still
computes with the one before.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import ClassVar, Final

import msgspec
import trio

from actors.decisions.experiments.assignment import Assigner
from actors.decisions.features.names import FEATURE_SETS
from actors.decisions.serving import answers
from actors.decisions.serving.checks import check
from actors.decisions.serving.desk import Desk
from actors.decisions.serving.judging import Judging
from actors.decisions.serving.messages import (
    Drain,
    Expire,
    GetServed,
    GetServing,
    Judged,
    ModelFigures,
    Pause,
    ServingFigures,
    Thoughts,
)
from actors.decisions.serving.meters import Meters
from actors.decisions.serving.pending import Batch, Lane, Pending, Served, Thought, answer_by
from actors.decisions.serving.queue import Deadlines, RequestQueue
from actors.decisions.serving.settings import Settings
from protocols.control import Message, Probe, ProbeReport, Refused, Unknown
from protocols.decisions import (
    FALLBACK,
    LOW,
    NO_MODELS,
    RULE,
    THRESHOLDS,
    Decide,
    Decision,
    DecisionMade,
    ObservationSeen,
    Reason,
    ShadowDecided,
    UseModel,
)
from protocols.experiments import Assignment, ExperimentPlan, GetPlans, UsePlans
from protocols.paths import EXPERIMENTS, MODELS
from runtime import Actor, Mailbox, Timer, receive
from runtime.promise import Promise

SLICE_NS: Final = 1_000_000
"""So long the server answers before the loop gets a turn: shorter than what it keeps before each deadline."""
CATCH_UP_S: Final = 0.5
"""How long a start waits for models and plans of before."""
REMEMBERED: Final = 65_536
"""Users whose assignment is not computed again."""
SHOW_NS: Final = 1_000_000_000
"""Of the observations of a model and symbol, one in so long is shown to who watches for drift."""
SHOWN: Final = 10_000
SHADOW_NS: Final = 1_000_000_000
"""How long a shadow may take."""
SHADOWS_ON_A_THREAD: Final = 8
"""Shadow requests that may wait for a slow model; it is the live ones' first."""


class DecisionServer(Actor):
    """Answers `Decide`. `plans`: assigned by until the keeper of experiments has said its own."""

    mailbox: ClassVar[Mailbox] = Mailbox(capacity=16_384)

    def __init__(self, settings: Settings = Settings(), plans: tuple[ExperimentPlan, ...] = ()) -> None:  # noqa: B008
        self.settings = settings
        self._plans = plans
        self._lanes: dict[str, Lane] = {}
        self._queue = self._new_queue()
        self._deadlines: Deadlines[Pending] = Deadlines()
        self._open = 0
        self._shadows: deque[Pending] = deque()
        self._draining = False
        self._owes_a_turn = False
        self._timer: Timer | None = None
        self._timed_for = 0
        self._by_served: Counter[str] = Counter()
        self._by_reason: Counter[str] = Counter()
        self._shadows_told = self._shadows_dropped = 0
        self._shown: dict[tuple[str, str], int] = {}
        """When an observation of a model and symbol was shown last."""

    def on_start(self) -> None:
        """Take the node's clock and metrics."""
        self._now = self.clock.now
        self._monotonic = self.clock.monotonic
        self._started = self._monotonic()
        self._meters = Meters(self.node.metrics)
        self._meters.waiting(lambda: self._open)
        self._judging = Judging(self.node, self.settings)
        self._use_plans(UsePlans(self._plans))
        self._desk = Desk(self.settings, self.clock, self._meters, self._give)
        self._served = self._desk.served

    async def on_continue(self) -> None:
        """Before the first request: what served before a crash, and how users were assigned."""
        try:
            for model in (await self.lookup(MODELS).ask(GetServed(), CATCH_UP_S)).models:
                self.use_model(model)
        except (Refused, Unknown) as error:
            self.logger.info("the keeper of models has none yet", why=str(error))
        try:
            self._use_plans(await self.lookup(EXPERIMENTS).ask(GetPlans(), CATCH_UP_S))
        except (Refused, Unknown) as error:
            self.logger.info("the keeper of experiments has no plans yet", why=str(error))

    # What it is told to serve.

    @receive
    def use_plans(self, message: UsePlans) -> None:
        """Assign by these plans from now on."""
        self._use_plans(message)

    def _use_plans(self, message: UsePlans) -> None:
        self._assigner = Assigner(message.plans, message.sticky)
        self._judging.follow(message.plans)
        # In a switchback the assignment depends on the symbol and the time.
        switching = any(plan.block_s > 0 for plan in message.plans)
        self._remembered: dict[str, Assignment | None] | None = None if switching else {}

    @receive
    def use_model(self, message: UseModel) -> None:
        """Serve a name by this policy from now on; what is being computed ends on the one before."""
        before = self._served.get(message.name)
        served = self._desk.use(message)
        if served is None:
            return
        lane = self._lanes.get(message.name)
        if served.info.threaded and lane is None:
            self._lanes[message.name] = Lane(self._new_queue(), self.settings.threads)
        if before is not None and before.info.threaded != served.info.threaded:
            # What waits for it goes where the new one answers, before anything that comes later.
            waiting = self._queue if lane is None or served.info.threaded else lane.queue
            for pending in self._emptied(waiting):
                self._place(pending)

    def _emptied(self, queue: RequestQueue[Pending]) -> list[Pending]:
        found: list[Pending] = []
        while (pending := queue.pop()) is not None:
            found.append(pending)
        return found

    def _new_queue(self) -> RequestQueue[Pending]:
        settings = self.settings
        return RequestQueue(settings.capacity, settings.for_risk_exits, settings.per_class, settings.quantum)

    # A request comes in.

    @receive
    def decide(self, request: Decide) -> Decision | None:
        """Answer at once where the rule or the fallback does; otherwise owe the answer."""
        check(request)
        arrived = self._monotonic()
        if self._judging.wanted(request):
            self.spawn(self._judge, request, self.promise(), arrived, name="verdict")
            return None
        return self._decide(request, arrived, None)

    async def _judge(self, request: Decide, promise: Promise, arrived: int) -> None:
        self._tell_itself(Judged(await self._judging.judged(request), promise, arrived, self))

    @receive
    def judged(self, message: Judged) -> None:
        """Thresholds have given their verdict, or have not: now it is decided."""
        if message.by is not self:
            return  # of the life before: who asked it knows that it crashed
        decision = self._decide(message.request, message.arrived, message.promise)
        if decision is not None:
            message.promise.answer(decision)

    def _decide(self, request: Decide, arrived: int, promise: Promise | None) -> Decision | None:
        """Answer at once, or owe it (in `promise`, if that is given)."""
        assignment = None
        model = request.model
        if not model:
            assignment = self._assign(request.user_id, request.symbol)
            model = self.settings.unassigned if assignment is None else assignment.serves
        if model == RULE:
            decision = answers.by_rule(request, assignment, self._now(), self._monotonic() - arrived)
        elif model == THRESHOLDS:
            decision = answers.by_thresholds(request, assignment, self._now(), self._monotonic() - arrived)
        else:
            pending = Pending(request, model, assignment, arrived, answer_by(request.deadline, arrived))
            if (served := self._free(pending)) is not None:
                return self._answer_at_once(pending, served)
            refused = self._turned_away(pending)
            if refused is None:
                pending.promise = promise or self.promise()
                return None
            decision = self._desk.fallback(pending, *refused)
        self._tell(decision, request, assignment)
        return decision

    def _free(self, pending: Pending) -> Served | None:
        """The model, if it can answer in this turn and there is nobody who could be answered before or together."""
        if self._open or self.mailbox_depth or pending.request.explain or pending.deadline <= pending.arrived:
            return None
        served = self._served.get(pending.model)
        return None if served is None or served.info.threaded else served

    def _answer_at_once(self, pending: Pending, served: Served) -> Decision:
        batch = Batch(served)
        self._desk.admit(pending, batch)
        self._desk.infer(batch)
        assert pending.given is not None
        return pending.given

    def _turned_away(self, pending: Pending) -> tuple[Reason, str] | None:
        """Why it gets no place in a queue; None: it has one."""
        if pending.deadline <= pending.arrived:
            return "TIMEOUT", "the deadline had passed when the request came"
        served = self._served.get(pending.model)
        if served is None:
            return "MODEL_ERROR", f"there is no model {pending.model}"
        if served.info.threaded and self._lanes[pending.model].exhausted:
            return "REJECTED", f"all threads of {pending.model} hang"
        if not self._queued(pending, served):
            return "REJECTED", ""
        self._open += 1
        self._deadlines.add(pending)
        self._wake()
        return None

    def _queue_of(self, served: Served) -> RequestQueue[Pending]:
        return self._lanes[served.name].queue if served.info.threaded else self._queue

    def _queued(self, pending: Pending, served: Served) -> bool:
        """Give it a place where its model answers now; False: there is none. It leaves by the same queue."""
        pending.queue = self._queue_of(served)
        return pending.queue.push(pending)

    def _assign(self, user_id: str, symbol: str) -> Assignment | None:
        remembered = self._remembered
        if remembered is None:
            return self._assigner.assign(user_id, symbol, self._now())
        try:
            return remembered[user_id]
        except KeyError:
            if len(remembered) >= REMEMBERED:
                remembered.clear()
            found = remembered[user_id] = self._assigner.assign(user_id, symbol, self._now())
            return found

    def _wake(self) -> None:
        if not self._draining:
            self._draining = True
            self._tell_itself(Drain())

    def _tell_itself(self, message: Message) -> None:
        if not self.ref.tell(message):
            self.after(0.0, message)  # the mailbox is full; a timer comes by the lane of control

    # What waits is answered.

    @receive
    def drain(self, _: Drain) -> None:
        """Answer what waits, the most urgent first, for a slice of time."""
        now = self._monotonic()
        if self._is_due(now):
            self._expire(now)
        if self._owes_a_turn:
            self._owes_a_turn = False
            self._tell_itself(Pause())
            return
        self._draining = False
        until = now + SLICE_NS
        queue = self._queue
        while len(queue) or self._shadows:
            if len(queue):
                self._answer(self._take(queue))
            else:
                self._answer([self._shadows.popleft()])
            now = self._monotonic()
            if now > until or self._is_due(now):
                self._draining = True
                self._tell_itself(Pause())
                break
        for lane in self._lanes.values():
            if lane.thought is None and len(lane.queue):
                self._think(lane, until)
        if self._open:
            self._mind_deadlines()

    @receive
    async def pause(self, _: Pause) -> None:
        """Between two slices the loop has a turn: timers come, and who has an answer sees it. Who asked meanwhile has
        his place before the next slice begins."""
        await trio.lowlevel.checkpoint()
        self._tell_itself(Drain())

    def _take(self, queue: RequestQueue[Pending]) -> list[Pending]:
        taken: list[Pending] = []
        while len(taken) < self.settings.batch and (one := queue.pop()) is not None:
            taken.append(one)
        return taken

    def _answer(self, taken: list[Pending]) -> None:
        """Answer these by their models, together where they have the same."""
        batches: dict[str, Batch] = {}
        for pending in taken:
            served = self._served[pending.model]
            if served.info.threaded:
                self._place(pending)  # a slow version serves the name since
                continue
            batch = batches.get(pending.model)
            if batch is None:
                batch = batches[pending.model] = Batch(served)
            self._desk.admit(pending, batch)
        for batch in batches.values():
            self._desk.infer(batch)

    def _place(self, pending: Pending) -> None:
        """Let it wait again, where its model answers now."""
        if self._queued(pending, self._served[pending.model]):
            self._wake()
        else:
            self._desk.fall_back(pending, "REJECTED")

    # Slow models.

    def _think(self, lane: Lane, until: int) -> None:
        """Let the thread of a slow model answer what waits for it, unless all of its threads hang."""
        exhausted = lane.exhausted
        while len(lane.queue):
            taken = self._take(lane.queue)
            served = self._served[taken[0].model]
            batch = Batch(served)
            for pending in taken:
                if exhausted:
                    self._desk.fall_back(pending, "REJECTED", f"all threads of {pending.model} hang")
                else:
                    self._desk.admit(pending, batch)
            if batch.asked:
                left_s = (max(pending.deadline for pending in batch.pending) - self._monotonic()) / 1e9
                lane.thought = Thought(batch)
                most_s = min(left_s, self.settings.inference_s)
                self.spawn(self._run, lane, lane.thought, most_s, name=served.name)
                return
            self._desk.settle(batch, [])
            if self._monotonic() > until:
                self._wake()
                return

    async def _run(self, lane: Lane, thought: Thought, most_s: float) -> None:
        with trio.move_on_after(most_s):
            await trio.to_thread.run_sync(thought.think, abandon_on_cancel=True, limiter=lane.limiter)
        # A timer ends with this life: the next one must not take it for the end of a call of its own.
        self.after(0.0, Thoughts(thought.batch.served.name))

    @receive
    def thoughts(self, message: Thoughts) -> None:
        """A slow model has answered, or its thread was left to itself."""
        lane = self._lanes[message.model]
        thought, lane.thought = lane.thought, None
        assert thought is not None
        if thought.finished:
            self._desk.settle(thought.batch, thought.answers)
        else:
            lane.abandoned.append(thought)
            self.logger.warning("a model hangs", model=message.model, threads=lane.hanging(), most=lane.most)
            self._desk.give_up(thought.batch, "the model did not answer in time")
        self._wake()

    # Deadlines.

    def _mind_deadlines(self) -> None:
        """Be told when the earliest deadline of what is open comes."""
        self._deadlines.sweep(self._open)
        earliest = self._deadlines.earliest()
        if earliest is None or (self._timer is not None and self._timer.live and self._timed_for <= earliest):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timed_for = earliest
        self._timer = self.after(max(0.0, (earliest - self._monotonic()) / 1e9), Expire())

    @receive
    def expire(self, _: Expire) -> None:
        """Answer what is due, wherever it is: in a queue, with a model, or waiting for an equal one's answer."""
        self._timer = None
        self._expire(self._monotonic())
        self._mind_deadlines()

    def _is_due(self, now: int) -> bool:
        earliest = self._deadlines.earliest()
        return earliest is not None and earliest <= now

    def _expire(self, now: int) -> None:
        for pending in self._deadlines.due(now):
            self._owes_a_turn = True  # who asked has to see it before the next slice of time is taken
            where = "waited" if pending.queued else "was being answered"
            self._desk.fall_back(pending, "TIMEOUT", f"the deadline passed while the request {where}")
            if pending.queued and pending.queue is not None:
                pending.queue.discard(pending)

    # Answers.

    def _give(self, pending: Pending, decision: Decision) -> None:
        pending.open = False
        if pending.live is not None:
            self._shadows_told += 1
            told = ShadowDecided(decision.experiment, decision.version, decision.arm, pending.live, decision)
            self.publish(told)
            return
        if pending.promise is None:
            pending.given = decision
        else:
            self._open -= 1
            pending.promise.answer(decision)
        self._tell(decision, pending.request, pending.assignment)
        self._show(pending, decision.ts)

    def _tell(self, decision: Decision, request: Decide, assignment: Assignment | None) -> None:
        """A decision was given: count it, tell it, and let shadows have a look at its request.

        It is told in the turn in which it is given: what the asker says of it at once (an outcome) finds it known.
        """
        self._by_served[decision.served_by] += 1
        if decision.reason:
            self._by_reason[decision.reason] += 1
        self._meters.decided(decision)
        self.publish(DecisionMade(decision))
        if assignment is not None and assignment.shadows:
            self._cast_shadows(decision, request, assignment)

    def _show(self, pending: Pending, ts: int) -> None:
        """Show a sample of what a model is asked with, also of what has too few features for it."""
        request = pending.request
        key = (pending.model, request.symbol)
        if 0 <= ts - self._shown.get(key, -SHOW_NS) < SHOW_NS:
            return
        served, observation = self._served[pending.model], request.observation
        names = FEATURE_SETS.get(observation.feature_set, served.info.features)
        if observation.feature_set != served.feature_set or len(names) != len(observation.values):
            return
        if len(self._shown) >= SHOWN:
            self._shown.clear()
        self._shown[key] = ts
        self.publish(
            ObservationSeen(
                feature_set=observation.feature_set,
                names=names,
                values=observation.values,
                model=pending.model,
                version=served.version,
                arm="" if pending.assignment is None else pending.assignment.arm,
                symbol=request.symbol,
                ts=ts,
            )
        )

    def _cast_shadows(self, live: Decision, request: Decide, assignment: Assignment) -> None:
        """Let shadow arms score the request once nothing live waits; the oldest are dropped when there are too many."""
        now = self._monotonic()
        quiet = msgspec.structs.replace(request, priority=LOW, explain=False)
        for arm in assignment.shadows:
            served = self._served.get(arm.serves)
            if served is None or not self.settings.shadows:
                self._shadows_dropped += 1
                continue
            mine = msgspec.structs.replace(assignment, arm=arm.name, serves=arm.serves, shadows=())
            shadow = Pending(quiet, arm.serves, mine, now, now + SHADOW_NS)
            shadow.live = live
            if not served.info.threaded:
                self._shadows.append(shadow)
            elif len(self._queue_of(served)) >= SHADOWS_ON_A_THREAD or not self._queued(shadow, served):
                self._shadows_dropped += 1
        while len(self._shadows) > self.settings.shadows:
            self._shadows.popleft()
            self._shadows_dropped += 1
        self._wake()

    # How it is.

    @receive
    def figures(self, _: GetServing) -> ServingFigures:
        """Say what was done since the start."""
        cache = self._desk.cache
        depths = [self._queue.depths(), *(lane.queue.depths() for lane in self._lanes.values())]
        return ServingFigures(
            uptime_s=(self._monotonic() - self._started) / 1e9,
            decisions=self._by_served.total(),
            by_served=tuple(sorted(self._by_served.items())),
            by_reason=tuple(sorted(self._by_reason.items())),
            waiting=tuple(map(sum, zip(*depths, strict=True))),
            cache_hits=cache.hits,
            cache_misses=cache.misses,
            cache_shared=cache.shared,
            cache_entries=len(cache),
            swaps=self._desk.swaps,
            shadows=self._shadows_told,
            shadows_dropped=self._shadows_dropped,
            models=tuple(map(self._model_figures, sorted(self._served))),
            experiments=tuple(plan.name for plan in self._assigner.plans),
        )

    def _model_figures(self, name: str) -> ModelFigures:
        served, lane = self._served[name], self._lanes.get(name)
        return ModelFigures(
            name=name,
            version=served.version,
            breaker=served.breaker.state.value,
            decisions=served.decisions,
            waiting=0 if lane is None else len(lane.queue),
            hanging_threads=0 if lane is None else lane.hanging(),
        )

    @receive
    def probe(self, _: Probe) -> ProbeReport:
        """It can always answer; it is degraded where a model cannot."""
        figures = self.figures(GetServing())
        wanted = {arm.serves for plan in self._assigner.plans if plan.enabled for arm in plan.arms} - NO_MODELS
        troubles = [f"no model {name}" for name in sorted(wanted - set(self._served))]
        for model in figures.models:
            if model.breaker != "closed":
                troubles.append(f"the breaker of {model.name} is {model.breaker}")
            if model.hanging_threads:
                troubles.append(f"{model.hanging_threads} threads of {model.name} hang")
        return ProbeReport(
            "degraded" if troubles else "ok",
            "; ".join(troubles),
            figures=(
                ("decisions", figures.decisions),
                ("fallbacks", dict(figures.by_served).get(FALLBACK, 0)),
                ("waiting", sum(figures.waiting)),
                ("models", len(figures.models)),
                ("cache_hits", figures.cache_hits),
                ("swaps", figures.swaps),
                ("shadows_dropped", figures.shadows_dropped),
            ),
        )
