"""The agent's actors: one for each symbol, which decides at its bars, and one that counts what HTTP is answered."""

from __future__ import annotations

from typing import ClassVar, Final

import msgspec
import trio

from actors.agents.agent_core import AgentCore
from actors.agents.lives import (
    AgentDecided,
    AgentReady,
    AgentTrouble,
    BeginLife,
    DecisionsCounted,
    PauseAgent,
    SayReady,
)
from actors.agents.settings import AgentConfig
from actors.decisions.serving.client import decide
from actors.market.warm_up import WarmUp, warm_up
from actors.signals.submitting import Submitter
from protocols.agents import FeatureKnown
from protocols.control import Lagged, Message, Refused, Unknown
from protocols.decisions import Decision, DecisionMade
from protocols.market import Bar, Funding
from protocols.market_data import BARS, BuildBars
from protocols.paths import AGENT_ROSTER, DECISIONS
from runtime import Actor, Mailbox, receive

ASK_S: Final = 5.0
AGAIN_S: Final = 1.0
COUNT_S: Final = 0.05
"""Decisions over HTTP may be many: the roster is told this often."""


class Agent(Actor):
    """Decides about one symbol for one user, at each bar or each so many.

    A life begins with what the roster knows (configuration, whether it is paused, the last bar that was decided) and
    with the bars of before. The roster is told of each decision, so that a new life does not decide a bar again.
    """

    mailbox: ClassVar[Mailbox] = Mailbox(capacity=8192)

    def __init__(self, user_id: str, symbol: str, server: str = DECISIONS) -> None:
        self.user_id = user_id
        self.symbol = symbol
        self.server = server
        self.paused = False
        self.submitter = Submitter(self, self.note_error)
        self.bars_before = 0
        self.missing = ""
        self.core: AgentCore

    async def on_start(self) -> None:
        """Take over from the life before, and listen."""
        life = await self.lookup(AGENT_ROSTER).ask(BeginLife(self.user_id, self.symbol), ASK_S)
        config = msgspec.json.decode(life.config, type=AgentConfig)
        self.core = AgentCore(self.user_id, self.symbol, config, life.last_bar)
        self.paused = life.paused
        self.subscribe(Bar, self.symbol, lossless=True)
        for kind in (Funding, FeatureKnown):
            self.subscribe(kind, self.symbol)

    async def on_continue(self) -> None:
        """Be as far as the bars of before make it; who sends new ones meanwhile waits."""
        warm = await self._warm_up()
        if warm.missing:
            self.logger.info("not all bars of before", symbol=self.symbol, why=warm.missing)
            self.spawn(self._ask_for_bars, name="bars")
        self.bars_before, self.missing = len(warm.bars), warm.missing
        self.say_ready(SayReady())

    @receive
    def say_ready(self, message: SayReady) -> None:
        """Tell the roster that it follows its market."""
        ready = AgentReady(
            user_id=self.user_id,
            symbol=self.symbol,
            bars=self.bars_before,
            missing=self.missing,
            last_bar=self.core.last_bar,
        )
        self.lookup(AGENT_ROSTER).tell(ready)

    async def _warm_up(self) -> WarmUp:
        warm = await warm_up(self, self.symbol, self.core.config.timeframe, self.core.warm_bars)
        useless = 0
        for bar in warm.bars:
            try:
                self.core.feed(bar)
            except ValueError:  # a stored bar that cannot be must not end every life to come: it is a hole
                useless += 1
                self.core.begin_anew()
        if useless:
            return msgspec.structs.replace(warm, missing=f"{useless} bars of before cannot be")
        return warm

    async def _ask_for_bars(self) -> None:
        """Have the bars built as soon as there is somebody who does."""
        while True:
            try:
                await self.lookup(BARS).ask(BuildBars(self.symbol, self.core.config.timeframe), ASK_S)
            except (Refused, Unknown):
                await trio.sleep(AGAIN_S)
            else:
                return

    @receive
    async def bar(self, bar: Bar) -> None:
        """Take a bar, and decide about it if it is new and its turn."""
        core = self.core
        if not core.feed(bar) or self.paused or not core.due(bar):
            return
        question = core.question(bar, self.clock.monotonic())
        try:
            decision = await decide(self.lookup(self.server), question, self.clock, publish=self.publish)
        except Refused as refused:
            self.note_error(f"what was asked cannot be decided: {refused}")
            return
        signal = core.signal(decision, bar)
        if signal is not None:
            self.submitter.submit(signal)
        made = "" if signal is None else signal.signal_id
        told = AgentDecided(user_id=self.user_id, symbol=self.symbol, bar=bar.start, decision=decision, signal_id=made)
        self.lookup(AGENT_ROSTER).tell(told)

    @receive
    def funding(self, funding: Funding) -> None:
        """Take a funding rate."""
        self.core.funding(funding)

    @receive
    def known(self, message: FeatureKnown) -> None:
        """Take a figure from outside; one that cannot be is no reason to forget the others."""
        try:
            self.core.known(message)
        except ValueError as error:
            self.note_error(str(error))

    @receive
    async def lagged(self, message: Lagged) -> None:
        """Bars are missing: features of them would be of other bars than they say."""
        if message.topic == Bar.__name__:
            self.note_error(f"{message.count} bars of {self.symbol} were lost")
            self.core.begin_anew()
            await self._warm_up()

    @receive
    def pause(self, request: PauseAgent) -> None:
        """Decide no more, or again."""
        self.paused = request.paused

    def note_error(self, text: str) -> None:
        """Tell the roster of an error, where the user sees it."""
        self.logger.warning("the agent goes on after an error", why=text)
        self.lookup(AGENT_ROSTER).tell(AgentTrouble(self.user_id, text))


class _Tell(Message, frozen=True, gc=False, tag="tell_decisions_counted"):
    """It is time to tell the roster."""


class DecisionCounter(Actor):
    """Counts the decisions that were made for a user over HTTP: by nobody's bar, and about nobody's signal."""

    def __init__(self, user_id: str) -> None:
        self.user_id = user_id
        self.count = 0
        self.last: Decision | None = None

    def on_start(self) -> None:
        """Listen."""
        self.subscribe(DecisionMade, self.user_id)

    @receive
    def made(self, message: DecisionMade) -> None:
        """A decision was made."""
        decision = message.decision
        if decision.agent_id or decision.signal_id:
            return
        if self.last is None:
            self.after(COUNT_S, _Tell())
        self.count += 1
        self.last = decision

    @receive
    def tell(self, message: _Tell) -> None:
        """Tell the roster of all since the last time."""
        assert self.last is not None
        self.lookup(AGENT_ROSTER).tell(DecisionsCounted(self.user_id, self.count, self.last))
        self.count, self.last = 0, None

    @receive
    def lagged(self, message: Lagged) -> None:
        """They came faster than they are counted: those are counted by how many they were."""
        self.count += max(0, message.count)

    @receive
    def pause(self, request: PauseAgent) -> None:
        """What is asked over HTTP is answered all the same."""
