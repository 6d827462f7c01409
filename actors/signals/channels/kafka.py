"""Kafka as a target.

    trading_signals           key: symbol; header `signal_id`; value: a SignalDelivery
    trading_signal_updates    the same with an UpdateDelivery
    strategy_status           key: strategy_id; value: a StrategyDelivery. At most once: what happens while the servers
                              are away is not told later. At a start the state of every strategy is told.

The producer is idempotent, with acks from all replicas, and gapless: an error that would let a later message overtake
an earlier one ends the producer. A batch is confirmed when every message of it is. What is not confirmed in time is
purged, and sent again by a new producer: whatever of the old one still arrives is in order, too, and a repeat.

librdkafka calls back in the thread that polls it; one call per batch goes from there to the event loop.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from typing import TYPE_CHECKING, Any, ClassVar, Final

import trio

from actors.signals.channels.messages import UNREACHABLE, Answer, Deliver, Delivered, Rejected
from actors.signals.channels.preparing import deliveries
from actors.signals.channels.settings import ChannelSettings
from protocols.control import ExitReason, Lagged, Refused, Unknown
from protocols.signal_deliveries import Delivery, strategy_delivery
from protocols.strategies import STRATEGY_ROSTER, GetStrategyStates, StrategyChanged
from runtime import Actor, Mailbox, receive

if TYPE_CHECKING:
    import confluent_kafka

POLL_S: Final = 0.1
FLUSH_S: Final = 2.0
QUEUE: Final = 10_000
"""Messages in the local queue, at most."""
ROSTER_MOST_S: Final = 30.0
FOR_GOOD: Final = ("MSG_SIZE_TOO_LARGE", "INVALID_RECORD", "INVALID_TIMESTAMP", "POLICY_VIOLATION")
"""Names of the errors that the same message would meet again."""


def producer_options(settings: ChannelSettings) -> dict[str, Any]:
    """The configuration of librdkafka."""
    found: dict[str, Any] = {"linger.ms": 2, "reconnect.backoff.max.ms": 2000, "socket.keepalive.enable": True}
    if settings.tls:
        found["security.protocol"] = "SSL"
    if settings.username:
        found["security.protocol"] = "SASL_SSL" if settings.tls else "SASL_PLAINTEXT"
        found |= {"sasl.mechanism": "PLAIN", "sasl.username": settings.username, "sasl.password": settings.password}
    if settings.ca_file:
        found["ssl.ca.location"] = settings.ca_file
    return {
        **found,
        **settings.options,
        "bootstrap.servers": settings.url,
        "client.id": f"troupe-{settings.name}",
        "acks": "all",
        "enable.idempotence": True,
        "enable.gapless.guarantee": True,
        # Time is kept here: a message that librdkafka gave up alone would be overtaken by the next one.
        "message.timeout.ms": 0,
        "queue.buffering.max.messages": QUEUE,
        "log_level": 2,
    }


class Reports:
    """The delivery reports of one batch. `done` is set on the loop when all have come."""

    def __init__(self, count: int) -> None:
        self.left = count
        self.errors: list[confluent_kafka.KafkaError] = []
        self.done = trio.Event()
        self._token = trio.lowlevel.current_trio_token()

    def report(self, error: confluent_kafka.KafkaError | None, message: confluent_kafka.Message) -> None:
        """Called by librdkafka, in the polling thread."""
        if error is not None:
            self.errors.append(error)
        self.left -= 1
        if self.left == 0:
            with contextlib.suppress(trio.RunFinishedError):
                self._token.run_sync_soon(self.done.set)


class Sender:
    """A producer and the thread that polls it. Raises KafkaException, ValueError for options that make no sense."""

    def __init__(self, options: dict[str, Any]) -> None:
        from confluent_kafka import KafkaException, Producer

        self.trouble = ""
        """What librdkafka said last about its connections."""
        self._failed = KafkaException
        self.producer = Producer({**options, "error_cb": self._error}, logger=_quiet())
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="kafka-poll", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Give up what is not delivered, and end the thread; does not wait for it."""
        self._stopping.set()

    def _error(self, error: confluent_kafka.KafkaError) -> None:
        self.trouble = error.str()

    def _poll(self) -> None:
        while not self._stopping.is_set():
            self._serve(POLL_S)
        self.producer.purge()
        self._serve(0)
        # Taking it down may wait for its connections: that is to happen here and not on the loop.
        del self.producer

    def _serve(self, seconds: float) -> None:
        try:
            self.producer.poll(seconds)
        except self._failed as error:
            # It is at its end, and says so once; the reports of what it held come all the same.
            self.trouble = str(error.args[0])


def _quiet() -> logging.Logger:
    """Where librdkafka writes: what matters of it comes as reports and errors, and is told by the channel."""
    logger = logging.getLogger("troupe.librdkafka")
    logger.setLevel(logging.CRITICAL + 1)
    logger.propagate = False
    return logger


class KafkaTarget(Actor):
    """Produces to one Kafka cluster."""

    mailbox: ClassVar[Mailbox] = Mailbox(capacity=256)

    def __init__(self, settings: ChannelSettings) -> None:
        self.settings = settings
        self.producing: Sender | None = None
        self.statuses_lost = 0

    async def on_continue(self) -> None:
        """Make the producer; it connects by itself."""
        try:
            import confluent_kafka
        except ImportError as error:
            raise RuntimeError(
                f"a kafka channel needs confluent-kafka: pip install 'troupe[kafka]' ({error})"
            ) from None
        self.kafka = confluent_kafka
        self.options = producer_options(self.settings)
        self.producing = Sender(self.options)
        self.spawn(self._stop_at_the_end, name="producer")
        self.subscribe(StrategyChanged)
        self.spawn(self._tell_states, name="states")

    async def on_stop(self, reason: ExitReason) -> None:
        """Let what is on its way arrive, for a moment."""
        if self.producing is not None:
            with contextlib.suppress(trio.TooSlowError):
                await self.offload(self.producing.producer.flush, FLUSH_S, timeout=FLUSH_S + 1.0)

    async def _stop_at_the_end(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            self._abandon()

    def _abandon(self) -> None:
        sender, self.producing = self.producing, None
        if sender is not None:
            sender.stop()

    def _producer(self) -> Sender:
        if self.producing is None:
            self.producing = Sender(self.options)
        return self.producing

    # Signals and updates.

    @receive
    async def deliver(self, request: Deliver) -> Answer:
        """Produce one batch, and wait for its reports."""
        now = self.clock.now()
        ready = await deliveries(request.items, now, self.settings.distributor)
        reports = Reports(len(ready))
        sender = self._producer()
        try:
            for each in ready:
                self._produce(sender, each, reports)
        except BufferError:
            self._abandon()
            raise Refused(UNREACHABLE, "the local queue is full") from None
        except self.kafka.KafkaException as error:
            self._abandon()
            return self._judged([error.args[0]])
        with trio.move_on_after(self.settings.timeout_s):
            await reports.done.wait()
        if reports.left:
            self._abandon()
            why = sender.trouble or f"{reports.left} of {len(ready)} not confirmed"
            raise Refused(UNREACHABLE, f"not confirmed within {self.settings.timeout_s:g} s: {why}")
        if reports.errors:
            self._abandon()
            return self._judged(reports.errors)
        return Delivered()

    def _produce(self, sender: Sender, each: Delivery, reports: Reports) -> None:
        topic = self.settings.signals_topic if each.kind == "signal" else self.settings.updates_topic
        headers: list[tuple[str, str | bytes | None]] = [
            ("signal_id", each.signal_id.encode()),
            ("delivery_id", each.id.encode()),
        ]
        sender.producer.produce(topic, each.payload, each.symbol.encode(), headers=headers, on_delivery=reports.report)

    def _judged(self, errors: list[Any]) -> Answer:
        # Where one message of a batch is refused, those behind it are purged; what was first says why.
        for error in errors:
            if error.name() in FOR_GOOD:
                return Rejected(error.str())
        raise Refused(UNREACHABLE, f"{errors[0].name()}: {errors[0].str()}")

    # Strategies.

    @receive
    def strategy(self, message: StrategyChanged) -> None:
        """Tell how a strategy is."""
        sender = self._producer()
        payload = strategy_delivery(message, self.settings.distributor)
        try:
            sender.producer.produce(self.settings.strategies_topic, payload, message.strategy_id.encode())
        except (BufferError, self.kafka.KafkaException) as error:
            self.statuses_lost += 1
            self.logger.warning("a strategy's status is not told", strategy=message.strategy_id, error=str(error))

    @receive
    def lagged(self, message: Lagged) -> None:
        """Statuses were lost: tell all of them."""
        self.spawn(self._tell_states, name="states")

    async def _tell_states(self) -> None:
        wait = 0.5
        while True:
            try:
                states = await self.lookup(STRATEGY_ROSTER).ask(GetStrategyStates())
            except (Refused, Unknown):
                wait = min(ROSTER_MOST_S, 2 * wait)
                await trio.sleep(wait)
            else:
                for each in states.strategies:
                    self.strategy(each)
                return
