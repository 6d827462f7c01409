"""One user's thresholds: an actor that is started on first use and ended when nobody has asked for a while.

It learns and moves; whoever only wants a verdict gets it from the roster, who is told here what is served. Nothing that
it says has happened is not kept: a change is in the node's log before it is answered. What cannot be kept is taken back
by forgetting the symbol, which is then read again.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec
import trio

from actors.thresholds.holding import Holding, moves
from actors.thresholds.messages import Cycle, Cycled, KeepLesson, KeepState, Load, Serve, Served
from actors.thresholds.records import changes
from actors.thresholds.settings import Settings, registry_of
from protocols.control import Refused, Unknown
from protocols.paths import THRESHOLD_ROSTER, THRESHOLD_STATES
from protocols.thresholds import (
    AdaptationRecord,
    Adapted,
    AdaptThresholds,
    FreezeThresholds,
    GetThresholds,
    Learned,
    OutcomeResolved,
    PoorPerformance,
    ResetThresholds,
    ThresholdMoved,
    ThresholdsView,
)
from runtime import Actor, Mailbox, receive


class ThresholdUser(Actor):
    """The thresholds of `user_id`. `settings`: the fields of Settings."""

    mailbox: ClassVar[Mailbox] = Mailbox(capacity=4096)

    def __init__(self, user_id: str, settings: Settings) -> None:
        self.user_id = user_id
        self.settings = settings
        self.registry = registry_of(settings)
        self.held: dict[str, Holding] = {}
        self.told: dict[str, Served] = {}
        """What the roster was told last."""

    async def _holding(self, symbol: str) -> Holding:
        """What is known of a symbol. Raises Refused `unavailable` while that cannot be read."""
        found = self.held.get(symbol)
        if found is not None:
            return found
        try:
            loaded = await self.lookup(THRESHOLD_STATES).ask(Load(self.user_id, symbol), self.settings.load_s)
        except Unknown as unknown:
            raise Refused("unavailable", f"what was stored cannot be read: {unknown}") from unknown
        holding = Holding(self.user_id, symbol, self.registry, self.settings.learning, loaded, self.clock.now())
        self.held[symbol] = holding
        if holding.unwritten:
            await self._keep(holding, holding.unwritten, "configuration")
        return holding

    async def _keep(self, holding: Holding, records: tuple[AdaptationRecord, ...], why: str) -> None:
        """Write the state, with these records. Raises Refused: then nothing has happened."""
        await self._written(
            holding,
            KeepState(
                user_id=self.user_id,
                symbol=holding.symbol,
                outcome_seq=holding.outcome_seq,
                why=why,
                state=holding.thresholds.encode(),
                thresholds=holding.thresholds_json(),
                records=records,
                due=holding.due,
            ),
        )
        holding.since_state = 0
        for record in moves(records):
            self.publish(ThresholdMoved(record))

    async def _written(self, holding: Holding, row: KeepState | KeepLesson) -> None:
        try:
            await self.lookup(THRESHOLD_STATES).ask(row, self.settings.load_s)
        except BaseException as error:
            # It may be in the log or not: what is known is read again.
            del self.held[holding.symbol]
            if isinstance(error, Unknown):
                raise Refused("unavailable", f"the change could not be written: {error}") from error
            raise

    async def _tell(self, holding: Holding) -> Served:
        """Tell the roster what is served, if it is another than before."""
        served = holding.served()
        if self.told.get(holding.symbol) != served:
            try:
                await self.lookup(THRESHOLD_ROSTER).send(served)
            except Refused as refused:
                # It would go on judging by what was: the end of this life is what makes it ask anew.
                raise RuntimeError(f"the roster could not be told: {refused}") from refused
            self.told[holding.symbol] = served
        return served

    # What is served.

    @receive
    async def serve(self, request: Serve) -> Served:
        """What a signal is to be judged by. The roster does not know it, or not any more."""
        holding = await self._holding(request.symbol)
        self.told.pop(request.symbol, None)
        return await self._tell(holding)

    @receive
    async def view(self, request: GetThresholds) -> ThresholdsView:
        """All thresholds of a symbol."""
        return (await self._holding(request.symbol)).view()

    # What becomes of it.

    @receive
    async def resolved(self, request: OutcomeResolved) -> Learned:
        """Learn from an outcome."""
        holding = await self._holding(request.symbol)
        told = holding.resolved(request, self.clock.now())
        if told.lesson is None:
            return Learned(told.new)
        kept = tuple(record for record in told.records if changes(record))
        if kept or holding.since_state >= self.settings.snapshot_lessons:
            await self._keep(holding, kept, "learned")
        else:
            await self._written(
                holding,
                KeepLesson(
                    user_id=self.user_id,
                    symbol=request.symbol,
                    outcome_seq=request.seq,
                    signal_id=request.signal_id,
                    lesson=msgspec.msgpack.encode(told.lesson),
                ),
            )
        await self._tell(holding)
        return Learned(True, told.records)

    @receive
    async def poor(self, request: PoorPerformance) -> Learned:
        """The cooldown begins; one that runs already is not made longer, and not written again."""
        holding = await self._holding(request.symbol)
        before = holding.cooling_until()
        if holding.thresholds.poor(self.clock.now()) == before:
            return Learned(False)
        await self._keep(holding, (), f"poor performance {request.reason}".rstrip())
        await self._tell(holding)
        return Learned(True)

    @receive
    async def adapt(self, request: AdaptThresholds) -> Adapted:
        """A cycle."""
        done = await self.cycle(Cycle(symbol=request.symbol, force=request.force))
        return Adapted(done.records, self.clock.now())

    @receive
    async def cycle(self, request: Cycle) -> Cycled:
        """A cycle, with what others have shown."""
        holding = await self._holding(request.symbol)
        await trio.lowlevel.checkpoint()  # nobody waits for this: between two pieces of it the others have a turn
        pools = {name: pool for name, pool in request.pools if name in self.registry}
        records = tuple(holding.thresholds.adapt(self.clock.now(), force=request.force, pools=pools))
        # A cycle that moves nothing leaves nothing to remember.
        if kept := tuple(record for record in records if changes(record)):
            await self._keep(holding, kept, "cycle")
            await self._tell(holding)
        return Cycled(records)

    @receive
    async def reset(self, request: ResetThresholds) -> ThresholdsView:
        """Back to the defaults."""
        holding = await self._holding(request.symbol)
        if records := tuple(holding.thresholds.reset(self.clock.now())):
            await self._keep(holding, records, "reset")
            await self._tell(holding)
        return holding.view()

    @receive
    async def freeze(self, request: FreezeThresholds) -> ThresholdsView:
        """Nothing is to move for a reason, or the reason is gone."""
        holding = await self._holding(request.symbol)
        if request.thaw:
            holding.thresholds.thaw(request.reason)
        else:
            for each in self.registry:
                holding.thresholds.learner(each.name)  # so that it is stored with each
            holding.thresholds.freeze(request.reason)
        await self._keep(holding, (), f"{'thawed' if request.thaw else 'frozen'}: {request.reason}")
        await self._tell(holding)
        return holding.view()
