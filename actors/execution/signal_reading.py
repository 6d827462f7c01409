"""How an account reads the hub's signals, has those decided that are to be, and takes them in the order of the stream.

What was decided stands in the journal with the signal: a new life of the account asks nobody again.
"""

from __future__ import annotations

from typing import Final

import trio

from actors.decisions.serving.answers import by_fallback, by_thresholds
from actors.decisions.serving.client import decide
from actors.execution.account_settings import ReadOn, SignalsDecided, SignalsRead
from actors.execution.deciding import decided as decided_of
from actors.execution.deciding import gate_question, gated, question
from actors.execution.deployments import Decided, Deployment
from actors.execution.engine_signals import takers
from actors.execution.inputs import TakeSignal
from actors.execution.live_account import VenueLink
from protocols.control import Refused, Unknown
from protocols.decisions import Decide, Decision, DecisionMade
from protocols.paths import HUB, THRESHOLD_ROSTER
from protocols.signals import ReadSignals, Signal, SignalPage, SignalStored
from runtime import receive

Question = tuple[int, Deployment, Signal]
"""A signal that is to be decided: its place, for whom, itself."""
DECIDED_AT_ONCE: Final = 64
HUB_S: Final = 10.0
RETRY_S: Final = 0.5


class SignalReading(VenueLink):
    """The part of an account that reads signals. One page is worked on at a time (`reading`)."""

    reading: bool
    read_again: bool

    @receive
    def stored(self, message: SignalStored) -> None:
        """There is something to read."""
        self.ref.tell(ReadOn())

    @receive
    def read_on(self, message: ReadOn) -> None:
        """Ask the hub for what is new; who asks waits beside the account, which goes on meanwhile."""
        if self.reading:
            self.read_again = True
        elif self.engine.deployments:
            self.reading = True
            self.spawn(self._read, self.engine.signal_seq + 1, name="signals")

    async def _read(self, from_seq: int) -> None:
        try:
            page: SignalPage | None = await self.lookup(HUB).ask(ReadSignals(from_seq), HUB_S)
        except (Refused, Unknown) as error:
            self.logger.warning("signals cannot be read", why=str(error))
            await trio.sleep(RETRY_S)
            page = None
        self.ref.tell(SignalsRead(page))

    @receive
    def read(self, message: SignalsRead) -> None:
        """Take the signals that are new, in the order of the hub's stream."""
        if message.page is None:
            self.reading = self.read_again = False
            self.ref.tell(ReadOn())
        else:
            self._take_page(message.page, {})

    @receive
    def decided(self, message: SignalsDecided) -> None:
        """Take the signals, now that they are decided."""
        self._take_page(message.page, {(seq, each.deployment_id): each for seq, each in message.decided})

    def _take_page(self, page: SignalPage, decided: dict[tuple[int, str], Decided]) -> None:
        """Take what is new in its order: up to the first signal that still has to be decided, and that is asked for."""
        engine = self.engine
        for stored in page.signals:
            if stored.seq <= engine.signal_seq:
                continue
            meant = takers(engine, stored.signal)
            asking = [each for each in meant if each.decides(stored.signal)]
            if any((stored.seq, each.id) not in decided for each in asking):
                self.spawn(self._decide, page, self._questions(page), name="decisions")
                return
            if meant:
                found = tuple([decided[stored.seq, each.id] for each in asking])
                self.take(TakeSignal.of(stored.seq, stored.signal, found))
            else:
                engine.signal_seq = stored.seq
        more = self.read_again
        if page.next_seq > page.last_seq:
            engine.signal_seq = max(engine.signal_seq, page.last_seq)
        else:
            more = True
        self.reading = self.read_again = False
        if more:
            self.ref.tell(ReadOn())

    def _questions(self, page: SignalPage) -> list[Question]:
        """What there is to be decided of a page, seen from here: (place, deployment, signal)."""
        return [
            (stored.seq, each, stored.signal)
            for stored in page.signals
            if stored.seq > self.engine.signal_seq
            for each in takers(self.engine, stored.signal)
            if each.decides(stored.signal)
        ]

    async def _decide(self, page: SignalPage, questions: list[Question]) -> None:
        """Ask about all of them, a few at once; the answers are taken in the order of the stream."""
        found: list[tuple[int, Decided]] = []
        room = trio.CapacityLimiter(DECIDED_AT_ONCE)

        async def ask(seq: int, deployment: Deployment, signal: Signal) -> None:
            async with room:
                found.append((seq, await self._decision(deployment, signal)))

        async with trio.open_nursery() as nursery:
            for each in questions:
                nursery.start_soon(ask, *each)
        await self.ref.send(SignalsDecided(page, tuple(found)))

    async def _decision(self, deployment: Deployment, signal: Signal) -> Decided:
        """The decision server's answer, or by the deadline the fallback's; or what thresholds say."""
        asked = question(deployment, signal, self.clock.monotonic())
        if deployment.settings.gate:
            return decided_of(deployment.id, await self._gate(asked))
        server = self.lookup(deployment.settings.decisions)
        try:
            decision = await decide(server, asked, self.clock, publish=self.publish)
        except Refused as refused:  # what it takes for no question is no reason to stop the order path
            self.logger.warning("a signal cannot be decided", signal_id=signal.signal_id, why=str(refused))
            decision = by_fallback(asked, "MODEL_ERROR", None, self.clock.now(), detail=str(refused))
        return decided_of(deployment.id, decision)

    async def _gate(self, asked: Decide) -> Decision:
        """What thresholds say, by the deadline; without a verdict the fixed rule is what remains. It is told as every
        decision is, so that it is recorded, and its outcome finds it."""
        began = self.clock.monotonic()
        verdict, why = None, ""
        try:
            verdict = await self.lookup(THRESHOLD_ROSTER).ask(gate_question(asked), (asked.deadline - began) / 1e9)
        except (Refused, Unknown) as error:
            why = str(error)
            self.logger.warning("a signal has no verdict", signal_id=asked.signal_id, why=why)
        decision = by_thresholds(
            gated(asked, verdict, why), None, self.clock.now(), took_ns=self.clock.monotonic() - began
        )
        self.publish(DecisionMade(decision))
        return decision
