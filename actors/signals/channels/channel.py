"""The relay of a channel: reads the hub's streams by position, and has the target take what it reads.

One owned task does this, one batch at a time; the handlers wake it and answer how it is. Whatever goes wrong on the way
(no hub, an open breaker, a target that does not confirm) ends in a wait and another attempt from the same place, so a
channel holds no more than one batch, and delays nobody but itself.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import ClassVar, Final

import trio

from actors.signals.channels.messages import (
    Answer,
    ChannelView,
    Deliver,
    Delivered,
    GetChannel,
    Gone,
    Look,
    Lost,
    Postponed,
    Rejected,
    RetryChannel,
    State,
    target_of,
)
from actors.signals.channels.outbox import Delays, Item, Outbox, Position, Read, Undelivered
from actors.signals.channels.position import FOLDER, PositionFile, UndeliveredFile
from actors.signals.channels.settings import ChannelSettings
from protocols.control import Lagged, Refused, Unknown
from protocols.paths import HUB
from protocols.signals import (
    SIGNAL_UPDATES,
    SIGNALS,
    ReadSignals,
    ReadSignalUpdates,
    SignalPage,
    SignalStored,
    SignalUpdatePage,
)
from runtime import Actor, Mailbox, Overflow, receive
from runtime.breaker import CircuitOpen

ASK_S: Final = 15.0
"""How long the hub may take; old signals come from the database."""
LOOK_S: Final = 1.0
FILE_S: Final = 20.0
MARGIN_S: Final = 5.0
"""A target keeps its own time; so much later it has crashed or hangs."""
MOST_WAIT_S: Final = 3600.0
"""The longest wait that a target may ask for."""


class PositionBeyondStream(Exception):
    """The position is of another log than the node's."""


class Relay(Actor):
    """Brings one channel everything, in order, at least once."""

    mailbox: ClassVar[Mailbox] = Mailbox(capacity=256, overflow=Overflow.CONFLATE)

    def __init__(self, settings: ChannelSettings) -> None:
        self.settings = settings
        self.state: State = "starting"
        self.reason = ""
        self.ts_delivered: int | None = None
        self.failures = 0
        self.next_attempt = math.inf
        self.hub_failures = 0
        self.again = False
        self._woken = trio.Event()
        self._retried = trio.Event()

    async def on_continue(self) -> None:
        """Take up the position, and begin."""
        name = self.settings.name
        folder = Path(self.node.settings.data_dir) / FOLDER
        start = Position() if self.settings.start == "beginning" else self._ends()
        self.undelivered = UndeliveredFile(folder / f"{name}.undelivered.jsonl")
        await self.offload(self.undelivered.load, timeout=FILE_S)
        self.file = await self.offload(PositionFile.open, folder / f"{name}.position", start, timeout=FILE_S)
        self.spawn(self._close_at_the_end, name="file")
        ends = self._ends()
        if self.file.position.signals > ends.signals or self.file.position.updates > ends.updates:
            raise PositionBeyondStream(
                f"{self.file.path} is at {self.file.position}, the log of this node ends at {ends}: they do not belong "
                "together; remove the file to begin anew as the channel's `from` says"
            )
        delays = Delays(self.settings.retry_s, self.settings.retry_most_s)
        chance = self.node.random.random
        self.outbox = Outbox(self.file.position, batch=self.settings.batch, delays=delays, chance=chance)
        self.target = self.lookup(target_of(name))
        self.hub = self.lookup(HUB)
        self._register_metrics()
        self.subscribe(SignalStored)
        self.every(LOOK_S, Look())
        self.state = "idle"
        self.spawn(self._relay, name="relay")

    def _register_metrics(self) -> None:
        metrics, label = self.node.metrics, self.settings.name
        self.delivered_metric = metrics.counter(
            "troupe_channel_delivered", "Signals and updates that a channel's target has confirmed", ("channel",)
        ).labels(label)
        self.failures_metric = metrics.counter(
            "troupe_channel_failures", "Attempts of a channel that failed", ("channel",)
        ).labels(label)
        self.left_out_metric = metrics.counter(
            "troupe_channel_left_out", "Messages that a channel's target refuses for good", ("channel",)
        ).labels(label)
        self.behind_metric = metrics.gauge(
            "troupe_channel_behind", "Signals and updates that a channel has still to deliver", ("channel",)
        ).labels(label)

    # Being woken, and answering.

    @receive
    def stored(self, message: SignalStored) -> None:
        """There is something to read."""
        self._woken.set()

    @receive
    def lagged(self, message: Lagged) -> None:
        """A wake was lost: read."""
        self._woken.set()

    @receive
    def look(self, message: Look) -> None:
        """Read what nobody has told of, and say how far behind it is."""
        self._woken.set()
        self.behind_metric.set(self.outbox.behind(self._ends()))

    @receive
    def retry(self, request: RetryChannel) -> None:
        """Do not wait any longer."""
        if self.state == "stopped":
            self.state = "failing"
        self._retried.set()

    @receive
    def view(self, request: GetChannel) -> ChannelView:
        """Say how it is."""
        behind = self.outbox.behind(self._ends())
        wait = self.next_attempt - trio.current_time()
        return ChannelView(
            name=self.settings.name,
            kind=self.settings.kind,
            state=self.state,
            position=self.outbox.position,
            behind=behind,
            ts_delivered=self.ts_delivered,
            delivered=self.outbox.delivered_count,
            failures=self.failures,
            failures_in_a_row=self.outbox.failures,
            retry_in_s=None if wait == math.inf else max(0.0, wait),
            left_out=self.outbox.left_out,
            missing=self.outbox.missing,
            undelivered=tuple(self.undelivered.newest),
            reason=self.reason,
            late=behind > self.settings.behind,
        )

    # The way of a signal.

    def _ends(self) -> Position:
        return Position(self.log.last_seq(SIGNALS), self.log.last_seq(SIGNAL_UPDATES))

    async def _close_at_the_end(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            self.file.close()

    async def _relay(self) -> None:
        while True:
            # Before the ends are looked at: what grows from then on wakes it.
            self._woken = trio.Event()
            step = self.outbox.next(self._ends())
            if step is None:
                if self.state == "delivering":
                    self.state = "idle"
                await self._woken.wait()
            elif isinstance(step, Read):
                await self._read(step)
            else:
                await self._deliver(step)

    async def _read(self, step: Read) -> None:
        try:
            if step.stream == SIGNALS:
                page: SignalPage | SignalUpdatePage
                page = await self.hub.ask(ReadSignals(step.from_seq, step.limit), ASK_S)
            else:
                page = await self.hub.ask(ReadSignalUpdates(step.from_seq, step.limit), ASK_S)
            taken = self.outbox.take(page)
            reason = "" if taken else "it knows nothing of that place"
        except (Refused, Unknown) as error:
            reason = str(error)
        if reason:
            self.hub_failures += 1
            wait = Delays(0.05, 2.0).after(self.hub_failures, self.node.random.random())
            await self._wait(wait, f"the hub does not give {step.stream} from {step.from_seq}: {reason}")
            return
        self.hub_failures = 0
        self._save()

    async def _deliver(self, batch: tuple[Item, ...]) -> None:
        request = Deliver(batch, self.outbox.position, self.file.floor, self.file.identity, self.again)
        if self.state == "idle":
            self.state = "delivering"
        try:
            answer = await self.target.ask(request, self.settings.timeout_s + MARGIN_S)
        except CircuitOpen as error:
            after = self.settings.breaker_open_s if error.retry_after is None else error.retry_after
            # A little later than the breaker would say yes; all who wait for it come one by one.
            await self._wait(after * (1 + 0.1 * self.node.random.random()) + 0.01, self.reason or str(error))
        except (Refused, Unknown) as error:
            self._failed(error)
            await self._wait(self.outbox.failed(), str(error))
        else:
            await self._answered(batch, answer)

    async def _answered(self, batch: tuple[Item, ...], answer: Answer) -> None:
        match answer:
            case Delivered():
                self._confirmed(len(batch))
            case Rejected(reason):
                self._failed(reason)
                outcome = self.outbox.rejected(len(batch), reason, self.clock.now())
                if isinstance(outcome, Undelivered):
                    self._leave_out(outcome)
                elif outcome:
                    await self._wait(outcome, reason)
            case Postponed(seconds, reason):
                self._failed(reason)
                await self._wait(max(self.outbox.failed(), min(seconds, MOST_WAIT_S)), reason)
            case Lost(position, reason):
                self.logger.warning("the target has lost what it had", reason=reason, position=position)
                self.again = True
                self.outbox.rewind(position)
                self._save()
            case Gone(reason):
                self._failed(reason)
                self.logger.error("the target wants nothing any more", reason=reason)
                self.state = "stopped"
                await self._wait(math.inf, reason)

    def _confirmed(self, count: int) -> None:
        self.again = False
        self.outbox.delivered(count)
        self._save()
        self.delivered_metric.inc(count)
        self.ts_delivered = self.clock.now()
        self.state = "delivering"
        self.reason = self.remark = ""

    def _leave_out(self, undelivered: Undelivered) -> None:
        # Written down before the position says that its place is done.
        self.undelivered.add(undelivered)
        self._save()
        self.left_out_metric.inc()
        self.logger.error(
            "a message is left out",
            signal_id=undelivered.signal_id,
            stream=undelivered.stream,
            seq=undelivered.seq,
            reason=undelivered.reason,
        )

    def _failed(self, reason: object) -> None:
        self.failures += 1
        self.failures_metric.inc()
        if self.state != "failing":
            self.logger.warning("the target does not take signals", reason=str(reason))

    def _save(self) -> None:
        if self.outbox.position != self.file.position:
            self.file.write(self.outbox.position)

    async def _wait(self, seconds: float, reason: str) -> None:
        """Until the next attempt, or until somebody asks for one."""
        self.reason = self.remark = reason
        if self.state != "stopped":
            self.state = "failing"
        self._retried = trio.Event()
        self.next_attempt = trio.current_time() + seconds
        with trio.move_on_at(self.next_attempt):
            await self._retried.wait()
        self.next_attempt = math.inf
