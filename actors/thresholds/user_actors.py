"""Users' actors: started on first use, ended when idle, started again by the next request after a crash."""

from __future__ import annotations

from typing import Any, Final

import trio

from actors.thresholds.messages import (
    Sweep,
)
from actors.thresholds.naming import key_of, user_of, user_path
from actors.thresholds.served_cache import ServedCache
from actors.thresholds.settings import Settings, registry_of
from protocols.control import Crashed, Killed, Refused, Request, Terminated, Unknown
from protocols.paths import THRESHOLD_USERS
from runtime import Actor, ChildSpec, Restart, StartChild, TerminateChild, receive

USER: Final = "actors.thresholds.user:ThresholdUser"
START_S: Final = 5.0
END_S: Final = 10.0
ATTEMPTS: Final = 3
ASK_S: Final = 8.0
GONE: Final = ("not_found", "stopped")


class UserActors(Actor):
    """The part of the roster that has users' actors. What they know is kept elsewhere: to end one loses nothing."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.registry = registry_of(settings)
        self.parameters = self.registry.parameters
        self.cache = ServedCache(settings.cache_entries)
        self.used: dict[str, int] = {}
        """Users with an actor, or about to have one: when they were asked for last; in that order."""
        self.distrusted: set[str] = set()
        """Users whose actor crashed: it may have kept what it did not tell, so that a second cache may be wrong."""
        self.failures = self.started = self.passivated = 0

    def on_start(self) -> None:
        """Begin to look for who is idle."""
        self._now = self.clock.now
        self._monotonic = self.clock.monotonic
        self.every(max(0.05, min(30.0, self.settings.idle_s / 4)), Sweep())

    def _use(self, user_id: str) -> None:
        """A user is about to be asked."""
        if self.used.pop(user_id, None) is None:
            self.started += 1
            self.watch(self.lookup(user_path(user_id)))
        self.used[user_id] = self._monotonic()

    async def _ask_user(self, user_id: str, request: Request[Any], within_s: float) -> Any:
        """Ask a user's actor, which is started if there is none. Raises Refused, Unknown."""
        path = user_path(user_id)
        until = trio.current_time() + within_s
        for attempt in range(ATTEMPTS):
            if self.node.find(path) is None:
                await self._start(user_id, until - trio.current_time())
            try:
                return await self.lookup(path).ask(request, max(0.0, until - trio.current_time()))
            except Refused as refused:
                # It has just ended, idle or crashed: it has done nothing with the request.
                if refused.code not in GONE or attempt == ATTEMPTS - 1:
                    raise
                await trio.lowlevel.checkpoint()
        raise AssertionError

    async def _start(self, user_id: str, within_s: float) -> None:
        spec = ChildSpec(
            name=key_of(user_id),
            actor=USER,
            arguments={"user_id": user_id, "settings": self.settings},
            restart=Restart.TEMPORARY,
            stop_s=END_S,
        )
        try:
            await self.lookup(THRESHOLD_USERS).ask(StartChild(spec), min(START_S, within_s))
        except Refused as refused:
            if refused.code not in ("already_started", "running"):
                raise

    @receive
    def terminated(self, message: Terminated) -> None:
        """A user's actor has ended: by a crash it may have kept what it did not tell, so that is read anew."""
        # Of a path where nobody has lived yet (count 0) the reason is an orderly one.
        if isinstance(message.reason, Crashed | Killed):
            self.failures += 1
            self.cache.forget(user_of(message.path))
            self.distrusted.add(user_of(message.path))

    @receive
    def sweep(self, _: Sweep) -> None:
        """End who was not asked for a while."""
        before = self._monotonic() - round(self.settings.idle_s * 1e9)
        idle = []
        for user_id, used in self.used.items():
            if used > before:
                break
            idle.append(user_id)
        for user_id in idle:
            del self.used[user_id]
            self.unwatch(self.lookup(user_path(user_id)))
        if idle:
            self.passivated += len(idle)
            self.spawn(self._end, tuple(idle), name="passivate")

    async def _end(self, users: tuple[str, ...]) -> None:
        for user_id in users:
            await self._end_one(user_id)

    async def _end_one(self, user_id: str) -> None:
        try:
            await self.lookup(THRESHOLD_USERS).ask(TerminateChild(key_of(user_id)), END_S)
        except Refused as refused:
            if refused.code not in ("not_found", "stopped"):
                self.logger.warning("a user's actor was not ended", user=user_id, why=str(refused))
        except Unknown as unknown:
            self.logger.warning("a user's actor was not ended", user=user_id, why=str(unknown))
