"""Who is told: one actor for each target, which posts what has changed, in order, until it is taken.

The queue is bounded, and in a file of the data folder, so that what waits for a target that is down outlasts a restart.
The number of attempts is bounded, too; between them are waits with full jitter, and after several failures in a row a
breaker. A redirect is not followed: it may lead anywhere. Every message ends as one of `taken`, `refused`, `given_up`,
`overflow`, `lagged`, which are counted in `alerts_notifications_total`. Addresses are secrets, and in no log.
"""

from __future__ import annotations

import logging
from collections import deque
from pathlib import Path
from typing import ClassVar, Final

import msgspec
import trio

from actors.monitor import files
from actors.monitor.alerts.messages import (
    Judgement,
    Outgoing,
    full_jitter,
    judged,
    message_of,
    signed_headers,
)
from actors.monitor.alerts.settings import TargetSettings
from actors.monitor.alerts.targets import address, secret_key
from protocols.alerts import AlertChanged
from protocols.control import ExitReason, Lagged, Message, Probe, ProbeReport
from runtime import Actor, Mailbox, receive
from runtime.breaker import BreakerSettings, CircuitBreaker, CircuitOpen, Count

CONNECT_S: Final = 5.0
MOST_ANSWER_BYTES: Final = 65_536
FILE_S: Final = 10.0
_addresses: Final[set[str]] = set()


class Attempted(Message, frozen=True, gc=False, tag="notification_attempted"):
    """One attempt has ended."""

    judgement: Judgement


class TryAgain(Message, frozen=True, gc=False, tag="try_notification_again"):
    """A wait is over."""


class QueueSaved(Message, frozen=True, gc=False, tag="notifications_saved"):
    """The queue is in its file; `problem`: it is not, and why."""

    problem: str


class Notifier(Actor):
    """Posts alerts to one target. Raises ValueError at its start for a secret that is none."""

    mailbox: ClassVar[Mailbox] = Mailbox(capacity=1024)

    def __init__(self, settings: TargetSettings) -> None:
        self.settings = settings
        self.queue: deque[Outgoing] = deque()
        self.busy = False
        """An attempt or a wait is on."""
        self.attempts = 0
        """Of the first message of the queue."""
        self.failures_in_a_row = 0
        self.last_error = ""
        self.problem = ""
        self.saving = self.unsaved = False
        self.ended = dict.fromkeys(("taken", "refused", "given_up", "overflow", "lagged"), 0)

    async def on_start(self) -> None:
        """Listen, and make the client."""
        import httpx

        from actors.edge import clients

        settings = self.settings
        self.key = secret_key(settings)
        self.url = address(settings)
        self.failed = (httpx.HTTPError, httpx.InvalidURL)
        _addresses.add(str(httpx.URL(self.url)))
        logging.getLogger("httpx").addFilter(_without_addresses)
        self._listen()
        self.client = httpx.AsyncClient(
            verify=await clients.http_tls(self.url),
            timeout=httpx.Timeout(settings.timeout_s, connect=min(CONNECT_S, settings.timeout_s)),
            follow_redirects=False,
            trust_env=True,
        )

    def _listen(self) -> None:
        settings = self.settings
        failures = settings.breaker_failures
        self.breaker = CircuitBreaker(
            self.path,
            BreakerSettings(
                window=Count(failures),
                minimum_calls=failures,
                failure_rate=1.0,
                half_open_calls=1,
                open_s=settings.breaker_open_s,
                half_open_timeout_s=settings.timeout_s * 2,
            ),
            self.clock.monotonic(),
        )
        self._ended = self.node.metrics.counter(
            "alerts_notifications", "Messages about alerts by how they ended", ("target", "outcome")
        )
        for outcome in self.ended:
            self._ended.labels(settings.name, outcome)  # a first loss is to be seen as an increase
        for severity in settings.severities:
            self.subscribe(AlertChanged, severity)

        self.file = Path(self.node.settings.data_dir).absolute() / f"alerts-to-{settings.name}.json"

    async def on_continue(self) -> None:
        """Take up what an earlier life could not deliver."""
        try:
            content = await self.offload(files.read, self.file, timeout=FILE_S)
            self.queue.extend(msgspec.json.decode(content, type=tuple[Outgoing, ...]) if content else ())
        except (OSError, trio.TooSlowError, msgspec.MsgspecError) as error:
            self.problem = f"what an earlier life could not deliver cannot be read: {error}"
            self.logger.warning(self.problem)
        self._go_on()

    async def on_stop(self, reason: ExitReason) -> None:
        """Close its connection, and leave the queue as it is."""
        await self.client.aclose()
        if self.saving or self.unsaved:
            await self._save()

    @receive
    def changed(self, message: AlertChanged) -> None:
        """Queue what has changed; the oldest is lost where there is no more room."""
        # The first of the queue may be on its way.
        while len(self.queue) >= self.settings.queue + self.busy:
            if self.busy:
                del self.queue[1]
            else:
                self.queue.popleft()
            self._end("overflow")
        self.queue.append(message_of(message.alert, self.settings.kind, self.node.settings.name))
        self._keep()
        self._go_on()

    @receive
    def lagged(self, message: Lagged) -> None:
        """Count what the mailbox had no room for."""
        self._end("lagged", max(message.count, 1))

    @receive
    def saved(self, message: QueueSaved) -> None:
        """Save again what has changed meanwhile."""
        self.saving = False
        self.problem = message.problem
        if message.problem:
            self.logger.error(message.problem)
        if self.unsaved:
            self._keep()

    @receive
    def again(self, message: TryAgain) -> None:
        """Go on after a wait."""
        self.busy = False
        self._go_on()

    @receive
    def attempted(self, message: Attempted) -> None:
        """Take the outcome of an attempt in."""
        judgement = message.judgement
        self.attempts += 1
        if judgement.outcome == "taken":
            self.failures_in_a_row = 0
            self.last_error = ""
            return self._done("taken")
        self.failures_in_a_row += 1
        self.last_error = judgement.said
        if judgement.outcome == "refused":
            return self._done("refused")
        if self.attempts >= self.settings.attempts:
            return self._done("given_up")
        settings = self.settings
        wait = full_jitter(self.attempts, settings.retry_s, settings.retry_most_s, self.node.random.random())
        self.after(max(wait, judgement.after_s), TryAgain())
        return None

    @receive
    def probe(self, request: Probe) -> ProbeReport:
        """Tell how messages get through."""
        figures = (
            ("waiting", len(self.queue)),
            ("attempts_of_the_first", self.attempts),
            ("breaker", self.breaker.state.value),
            *self.ended.items(),
        )
        wrong = f"messages do not get through: {self.last_error}" if self.last_error else self.problem
        return ProbeReport("degraded" if wrong else "ok", wrong, figures=figures)

    def _go_on(self) -> None:
        if self.busy or not self.queue:
            return
        self.busy = True
        try:
            permit = self.breaker.acquire(self.clock.monotonic())
        except CircuitOpen as refused:
            self.after(refused.retry_after or self.settings.breaker_open_s, TryAgain())
            return
        self.permit = permit
        self.spawn(self._attempt, self.queue[0], name="attempt")

    def _done(self, outcome: str) -> None:
        sent = self.queue.popleft()
        self._end(outcome)
        if outcome != "taken":
            self.logger.error("a message about an alert is lost", id=sent.message_id, why=outcome, said=self.last_error)
        self.attempts = 0
        self.busy = False
        self._keep()
        self._go_on()

    def _keep(self) -> None:
        """Have the queue written; one writing at a time, the last one of the newest."""
        self.unsaved = self.saving
        if not self.saving:
            self.saving = True
            self.spawn(self._save_and_tell, name="save")

    async def _save_and_tell(self) -> None:
        # A timer ends with this life, as a message in the mailbox would not.
        self.after(0.0, QueueSaved(await self._save()))

    async def _save(self) -> str:
        try:
            await self.offload(_write, self.file, tuple(self.queue), timeout=FILE_S)
        except (OSError, trio.TooSlowError) as error:
            return f"messages that wait cannot be saved: {error}"
        return ""

    def _end(self, outcome: str, count: int = 1) -> None:
        self.ended[outcome] += count
        self._ended.labels(self.settings.name, outcome).inc(count)

    async def _attempt(self, message: Outgoing) -> None:
        permit = self.permit
        judgement = await self._posted(message)
        if judgement.outcome == "again":
            permit.failure(self.clock.monotonic())
        else:
            permit.success(self.clock.monotonic())
        # The next life must not take it for the outcome of an attempt of its own: it would drop what was never sent.
        self.after(0.0, Attempted(judgement))

    async def _posted(self, message: Outgoing) -> Judgement:
        now = self.clock.now()
        headers = {"content-type": "application/json", "user-agent": "troupe"}
        if self.key:
            headers |= signed_headers(self.key, message, now)
        try:
            with trio.fail_after(self.settings.timeout_s):
                async with self.client.stream("POST", self.url, content=message.body, headers=headers) as response:
                    size = 0
                    async for part in response.aiter_bytes():
                        size += len(part)
                        if size > MOST_ANSWER_BYTES:
                            break  # the connection is closed then, and the next message makes another one
                    return judged(response.status_code, response.headers.get("retry-after"), now)
        except trio.TooSlowError:
            return Judgement("again", f"no answer within {self.settings.timeout_s:g} s")
        except self.failed as error:
            # Only the kind: the text may have the address, and that of Slack is a secret.
            return Judgement("again", type(error).__name__)


def _without_addresses(record: logging.LogRecord) -> bool:
    """Leave out lines in which the HTTP client tells of a request with an address of ours."""
    arguments = record.args if isinstance(record.args, tuple) else ()
    return not any(str(each) in _addresses for each in arguments)


def _write(file: Path, queue: tuple[Outgoing, ...]) -> None:
    files.write(file, msgspec.json.encode(queue))
