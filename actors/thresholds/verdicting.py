"""Verdicts: from memory, at once; for the first signal of a user and symbol, after a moment."""

from __future__ import annotations

from typing import Final

import msgspec
import trio

from actors.thresholds.evaluation import evaluate
from actors.thresholds.messages import (
    CacheGet,
    CachePut,
    CacheState,
    Serve,
    Served,
)
from actors.thresholds.settings import Settings
from actors.thresholds.user_actors import UserActors
from protocols.control import Message, Refused, Unknown
from protocols.paths import THRESHOLD_CACHE
from protocols.thresholds import (
    EvaluateBatch,
    EvaluateSignal,
    SignalEvaluated,
    Verdict,
    Verdicts,
)
from runtime import receive

MOST_TEXT: Final = 200
MOST_SIGNALS: Final = 1_000
PIECE: Final = 32
"""So many signals of a batch are judged before the loop has a turn."""


class _Found(Message, frozen=True, gc=False, tag="thresholds_found"):
    """To itself: what a first signal was judged by, where the user's own actor has not said it."""

    served: Served


class _Judged(Message, frozen=True, gc=False, tag="threshold_judged"):
    """To itself: signals were judged by a task."""

    verdicts: tuple[Verdict, ...]


class Verdicting(UserActors):
    """The part of the roster that judges. `second_cache`: whether there is one."""

    def __init__(self, settings: Settings, second_cache: bool) -> None:
        super().__init__(settings)
        self.defaults = tuple(each.default for each in self.parameters)
        self.unversioned = (0,) * len(self.parameters)
        self.second_cache = second_cache
        self.redis_down = ""
        self.reading: set[tuple[str, str]] = set()
        self.evaluations = self.approved = self.provisional = self.hits = self.misses = 0

    @receive
    def evaluate(self, request: EvaluateSignal) -> Verdict | None:
        """Judge a signal."""
        entry = self.cache.get((request.user_id, request.symbol))
        if entry is None:
            check(request.user_id, request.symbol)
            self._use(request.user_id)
            self.misses += 1
            self.answer_later(self._first, request)
            return None
        self.hits += 1
        served = entry.served
        if served.provisional and self._monotonic() >= entry.retry_at:
            self._read_again(served)
        verdict = self._judge(request, served)
        self._count(verdict)
        self.publish(SignalEvaluated(request.signal, verdict, request.ts_event))
        return verdict

    def _judge(self, request: EvaluateSignal, served: Served) -> Verdict:
        verdict = evaluate(
            self.parameters,
            served.values,
            request.signal,
            user_id=request.user_id,
            symbol=request.symbol,
            versions=served.versions,
            signal_id=request.signal_id,
            ts=self._now(),
        )
        return msgspec.structs.replace(verdict, provisional=True) if served.provisional else verdict

    def _count(self, verdict: Verdict) -> None:
        self.evaluations += 1
        self.approved += verdict.should_trade
        self.provisional += verdict.provisional

    async def _first(self, request: EvaluateSignal) -> Verdict:
        """Judge by what can be found out in a moment."""
        served = await self._find(request.user_id, request.symbol, self.settings.first_wait_s)
        verdict = self._judge(request, served)
        self.ref.tell(_Judged((verdict,)))
        self.publish(SignalEvaluated(request.signal, verdict, request.ts_event))
        return verdict

    async def _find(self, user_id: str, symbol: str, within_s: float) -> Served:
        """What is served: from the second cache, from the user's own actor, or the defaults."""
        earlier: Served | None = None
        if self.second_cache and not self.redis_down and user_id not in self.distrusted:
            try:
                found = await self.lookup(THRESHOLD_CACHE).ask(
                    CacheGet(user_id, symbol, self._life()), self.settings.redis_timeout_s + 0.02
                )
                earlier = found.served
            except (Refused, Unknown):
                earlier = None  # it counts, and tells when it is up again
            if earlier is not None and not earlier.provisional:
                self.ref.tell(_Found(earlier))
                return earlier
        try:
            served: Served = await self._ask_user(user_id, Serve(symbol), within_s)
        except (Refused, Unknown):
            served = earlier or Served(user_id, symbol, self.defaults, self.unversioned, provisional=True)
            self.ref.tell(_Found(served))
        return served

    def _read_again(self, served: Served) -> None:
        key = (served.user_id, served.symbol)
        if key not in self.reading:
            self.reading.add(key)
            self._use(served.user_id)
            self.spawn(self._again, served, name="read again")

    async def _again(self, served: Served) -> None:
        try:
            await self._ask_user(served.user_id, Serve(served.symbol), self.settings.load_s)
        except (Refused, Unknown):
            self.ref.tell(_Found(served))
        else:
            self.ref.tell(_Found(msgspec.structs.replace(served, provisional=False)))

    @receive
    def judged(self, message: _Judged) -> None:
        """Signals were judged."""
        for verdict in message.verdicts:
            self._count(verdict)

    @receive
    def found(self, message: _Found) -> None:
        """What was found elsewhere, or not found: it holds until the user's own actor says what is."""
        served = message.served
        key = (served.user_id, served.symbol)
        self.reading.discard(key)
        known = self.cache.entries.get(key)
        if known is not None and not known.served.provisional:
            return
        if served.provisional:
            self.cache.put(served, self._monotonic() + round(self.settings.retry_s * 1e9))
        elif known is None:
            self.cache.put(served)

    @receive
    def served(self, message: Served) -> None:
        """A user's actor says what is served from now on."""
        self.cache.put(message)
        if self.second_cache:
            self.lookup(THRESHOLD_CACHE).tell(CachePut(message, self._life()))

    def _life(self) -> str:
        """Of this roster: no other one, on whatever node, has the same."""
        return f"{self.log.log_id}.{self.incarnation.epoch}.{self.incarnation.count}"

    @receive
    def cache_state(self, message: CacheState) -> None:
        """The second cache is down, or up again."""
        self.redis_down = message.down

    @receive
    def batch(self, request: EvaluateBatch) -> None:
        """Judge several signals of a user."""
        if not 1 <= len(request.signals) <= MOST_SIGNALS:
            raise Refused("invalid", f"signals: expected 1 to {MOST_SIGNALS}, got {len(request.signals)}", "signals")
        for place, signal in enumerate(request.signals):
            if signal.user_id != request.user_id:
                field = f"signals[{place}].user_id"
                raise Refused("invalid", f"{field}: expected {request.user_id!r}, got {signal.user_id!r}", field)
            check(signal.user_id, signal.symbol, f"signals[{place}].")
        self._use(request.user_id)
        self.answer_later(self._batch, request)

    async def _batch(self, request: EvaluateBatch) -> Verdicts:
        found: dict[str, Served] = {}
        verdicts = []
        for place, signal in enumerate(request.signals):
            if place and place % PIECE == 0:
                await trio.lowlevel.checkpoint()
            entry = self.cache.entries.get((signal.user_id, signal.symbol))
            served = entry.served if entry is not None else found.get(signal.symbol)
            if served is None:
                served = found[signal.symbol] = await self._find(
                    request.user_id, signal.symbol, self.settings.first_wait_s
                )
            verdict = self._judge(signal, served)
            verdicts.append(verdict)
            self.publish(SignalEvaluated(signal.signal, verdict, signal.ts_event))
        judged = tuple(verdicts)
        self.ref.tell(_Judged(judged))
        return Verdicts(judged)


def check(user_id: str, symbol: str, prefix: str = "") -> None:
    """Refuse what cannot be a user's id or a symbol: `invalid` with the field."""
    for field, text, least in (("user_id", user_id, 1), ("symbol", symbol, 0)):
        if not least <= len(text) <= MOST_TEXT:
            where = f"{prefix}{field}"
            raise Refused("invalid", f"{where}: expected {least} to {MOST_TEXT} characters, got {len(text)}", where)
        # The database has no text with a zero character, nor with half of a surrogate pair.
        if "\0" in text or not text.isprintable():
            where = f"{prefix}{field}"
            raise Refused("invalid", f"{where}: expected printable characters, got {text!a}", where)
