"""A cycle of everybody, in the background: one user after another, with a rest after each.

Only those are asked where anything may move: who has neither evidence that serves nor a value to go back from stays
where he is, whatever the cycle. What others have shown is the same for all users of a symbol, and is read once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import trio

from actors.thresholds.messages import (
    Cycle,
    Cycled,
    GetPools,
    KnownKeys,
    ListKeys,
)
from actors.thresholds.pooling import Pool
from actors.thresholds.settings import Settings
from actors.thresholds.user_actors import ASK_S, UserActors
from protocols.control import Message, Refused, Unknown
from protocols.paths import THRESHOLD_STATES
from protocols.thresholds import (
    MOVES,
    AdaptAll,
    AdaptedAll,
)
from runtime import receive
from runtime.promise import Promise

KNOWN_S: Final = 60.0
REASONS: Final = 5
REST: Final = 1.0
"""Between two users' cycles a worker rests for as long as the last one took."""


class _AllAdapted(Message, frozen=True, gc=False, tag="all_thresholds_were_adapted"):
    """To itself: a cycle of everybody is over."""

    result: AdaptedAll | None
    why: str = ""


class Cycles(UserActors):
    """The part of the roster that has everybody adapted."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.adapting: list[Promise] | None = None
        self.last_adapt_all: int | None = None
        self.adaptations = self.moves = 0

    def on_start(self) -> None:
        """Adapt everybody from time to time."""
        super().on_start()
        if self.settings.adapt_every_s:
            self.every(self.settings.adapt_every_s, AdaptAll())

    @receive
    def adapt_all(self, request: AdaptAll) -> None:
        """Begin a cycle of everybody, or wait for the one that runs."""
        promise = self.promise()
        if self.adapting is not None:
            self.adapting.append(promise)
            return
        self.adapting = [promise]
        self.spawn(self._adapt_all, request.force, name="adapt all")

    async def _adapt_all(self, force: bool) -> None:
        began = self._now()
        try:
            known = await self.lookup(THRESHOLD_STATES).ask(ListKeys(), KNOWN_S)
        except (Refused, Unknown) as error:
            self.after(0.0, _AllAdapted(None, f"it cannot be known who there is: {error}"))
            return
        reasons = [known.remark] if known.remark else []
        pools: dict[str, list[tuple[str, Pool]]] = {}
        if self.settings.pooling:
            try:
                shown = await self.lookup(THRESHOLD_STATES).ask(GetPools(), KNOWN_S)
                if shown.remark:
                    reasons.append(shown.remark)
                for each in shown.pools:
                    pools.setdefault(each.symbol, []).append((each.parameter, each.pool))
            except (Refused, Unknown) as error:
                reasons.append(f"what others have shown is not known: {error}")
        work = _Everybody(
            iter(_by_user(_those_that_may_move(known, pools))),
            {name: tuple(each) for name, each in pools.items()},
            force,
        )
        async with trio.open_nursery() as nursery:
            for _ in range(self.settings.adapt_at_once):
                nursery.start_soon(self._adapt_some, work)
        result = AdaptedAll(
            total_users=len({user_id for user_id, _ in known.keys}),
            total_updates=sum(count for _, count in work.results),
            results=tuple(sorted(work.results)),
            failures=work.failures,
            reasons=tuple([*reasons, *work.reasons][:REASONS]),
            began=began,
            at=self._now(),
        )
        self.after(0.0, _AllAdapted(result))

    async def _adapt_some(self, work: _Everybody) -> None:
        """One worker: the next user, until there is none."""
        for user_id, symbols in work.users:
            begun = trio.current_time()
            passive = user_id not in self.used
            for symbol in symbols:
                cycle = Cycle(symbol=symbol, force=work.force, pools=work.pools.get(symbol, ()))
                try:
                    done: Cycled = await self._ask_user(user_id, cycle, ASK_S)
                except (Refused, Unknown) as error:
                    work.failed(f"{user_id}/{symbol}: {error}")
                    continue
                work.cycles += 1
                if moved := sum(record.reason_code in MOVES for record in done.records):
                    work.results.append((f"{user_id}/{symbol}", moved))
            if passive and user_id not in self.used:
                await self._end_one(user_id)
            await trio.sleep(REST * (trio.current_time() - begun))

    @receive
    def all_adapted(self, message: _AllAdapted) -> None:
        """Tell it to everybody who waits."""
        waiting, self.adapting = self.adapting or [], None
        if message.result is None:
            self.failures += 1
            for promise in waiting:
                promise.refuse(Refused("unavailable", message.why))
            return
        result = message.result
        self.last_adapt_all = result.at
        self.adaptations += result.total_users
        self.moves += result.total_updates
        self.failures += result.failures
        for promise in waiting:
            promise.answer(result)


class _Everybody:
    """A cycle of everybody, as its workers share it."""

    def __init__(
        self,
        users: Iterator[tuple[str, tuple[str, ...]]],
        pools: dict[str, tuple[tuple[str, Pool], ...]],
        force: bool,
    ) -> None:
        self.users, self.pools, self.force = users, pools, force
        self.results: list[tuple[str, int]] = []
        self.reasons: list[str] = []
        self.failures = self.cycles = 0

    def failed(self, why: str) -> None:
        """A cycle could not be made."""
        self.failures += 1
        if len(self.reasons) < REASONS:
            self.reasons.append(why)


def _those_that_may_move(
    known: KnownKeys, pools: Mapping[str, Sequence[tuple[str, Pool]]]
) -> tuple[tuple[str, str], ...]:
    """Those with evidence of their own, and those whose symbol has some that serves."""
    leaning = {symbol for symbol, each in pools.items() if any(pool.trust > 0 for _, pool in each)}
    return tuple(key for key in known.keys if key in known.due or key[1] in leaning)


def _by_user(keys: tuple[tuple[str, str], ...]) -> list[tuple[str, tuple[str, ...]]]:
    found: dict[str, list[str]] = {}
    for user_id, symbol in keys:
        found.setdefault(user_id, []).append(symbol)
    return [(user_id, tuple(symbols)) for user_id, symbols in found.items()]
