"""The second cache: what is served, in Redis, for users whose thresholds are not in memory any more.

    SET <prefix>thresholds:<configuration>:<user>:<symbol> <life, values, versions as JSON> EX <ttl>

Every change is written over what was there. A change that Redis did not get is written down here, and its entry is
deleted before anything is read again. What an earlier life of the roster has told may be older than what then moved:
it is told as provisional. The database and the log are what holds; Redis may be down, or empty, at any time.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, ClassVar, Final
from urllib.parse import quote

import msgspec
import trio

from actors.thresholds.messages import (
    CacheFigures,
    CacheFound,
    CacheGet,
    CachePut,
    CacheState,
    GetCacheFigures,
    Served,
    Sweep,
)
from actors.thresholds.settings import Settings, registry_of
from protocols.control import Probe, ProbeReport, Refused
from protocols.paths import THRESHOLD_ROSTER
from runtime import Actor, Mailbox, receive

if TYPE_CHECKING:
    import coredis

MOST_DIRTY: Final = 100_000
CLEAN_PIECE: Final = 500


class _Entry(msgspec.Struct, frozen=True, array_like=True):
    """A value in Redis. `life`: of the roster that told it."""

    life: str
    values: tuple[float, ...]
    versions: tuple[int, ...]


class RedisCache(Actor):
    """Reads and writes one Redis. `settings`: of thresholds."""

    mailbox: ClassVar[Mailbox] = Mailbox(capacity=65_536)

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.hits = self.misses = self.failures = 0
        self.down = "it has not answered yet"
        self.dirty: set[str] = set()
        self.forget_all = False
        """More changes were missed than are remembered: nothing of this life may be believed."""
        names = [each.name for each in registry_of(settings)]
        written = msgspec.json.encode((names, settings.parameters, settings.learning))
        self.prefix = f"{settings.redis_prefix}thresholds:{hashlib.sha256(written).hexdigest()[:12]}:"

    async def on_continue(self) -> None:
        """Make the client; the first request connects."""
        try:
            import coredis
            from coredis.retry import NoRetryPolicy
        except ImportError as error:
            raise RuntimeError(f"[thresholds] redis_url needs coredis: pip install 'troupe[redis]' ({error})") from None
        import logging

        # It logs a traceback for every refused connection; what failed is in the figures.
        logging.getLogger("coredis").setLevel(logging.CRITICAL)
        self.failed: tuple[type[Exception], ...] = (coredis.exceptions.RedisError, OSError, trio.BrokenResourceError)
        self.client: coredis.Redis[bytes] = coredis.Redis.from_url(
            self.settings.redis_url,
            decode_responses=False,
            retry_policy=NoRetryPolicy(),
            max_connections=2,
            connect_timeout=self.settings.redis_timeout_s,
            stream_timeout=self.settings.redis_timeout_s,
        )
        opened = trio.Event()
        self.spawn(self._hold_open, opened, name="connections")
        await opened.wait()
        await self._look()
        self.every(self.settings.retry_s, Sweep())

    async def _hold_open(self, opened: trio.Event) -> None:
        # Its tasks live where it is entered; a handler is not there long enough.
        async with self.client:
            opened.set()
            await trio.sleep_forever()

    @receive
    async def sweep(self, _: Sweep) -> None:
        """While it is down: look whether it is there again."""
        if self.down or self.dirty:
            await self._look()

    async def _look(self) -> None:
        """Delete what is old there; then it is up. Otherwise it is down, with the reason."""
        try:
            with trio.fail_after(self.settings.redis_timeout_s):
                await self.client.ping()
            while self.dirty:
                piece = list(self.dirty)[:CLEAN_PIECE]
                with trio.fail_after(self.settings.redis_timeout_s):
                    await self.client.delete(piece)
                self.dirty.difference_update(piece)
        except trio.TooSlowError:
            self._is("no answer in time")
        except self.failed as error:
            self._is(f"{type(error).__name__}: {error}")
        else:
            self._is("")

    def _is(self, down: str) -> None:
        """Note how it is, and tell the roster what it has not heard."""
        if down:
            self.failures += 1
        if bool(down) != bool(self.down):
            self.logger.info("the second cache is " + ("down" if down else "up"), why=down)
        changed, self.down = down != self.down, down
        if changed:
            self.lookup(THRESHOLD_ROSTER).tell(CacheState(down))

    def _name(self, user_id: str, symbol: str) -> str:
        return f"{self.prefix}{quote(user_id, safe='')}:{quote(symbol, safe='')}"

    @receive
    async def get(self, request: CacheGet) -> CacheFound:
        """What is kept of a user and symbol."""
        if self.down:
            raise Refused("unavailable", self.down)
        name = self._name(request.user_id, request.symbol)
        text = await self._try(self.client.get, name)
        entry = None
        if text is not None and name not in self.dirty:
            try:
                entry = msgspec.json.decode(text, type=_Entry)
            except msgspec.DecodeError as error:
                self.logger.warning("the second cache has what nobody here wrote", key=name, why=str(error))
        count = len(registry_of(self.settings))
        if entry is None or len(entry.values) != count or len(entry.versions) != count:
            self.misses += 1
            return CacheFound(None)
        own = entry.life == request.life and not self.forget_all
        self.hits += 1
        return CacheFound(Served(request.user_id, request.symbol, entry.values, entry.versions, provisional=not own))

    @receive
    async def put(self, message: CachePut) -> None:
        """Keep a change; one that Redis does not get makes its entry one that must not be believed."""
        served = message.served
        name = self._name(served.user_id, served.symbol)
        entry = _Entry(message.life, served.values, served.versions)
        if not self.down:
            try:
                await self._try(
                    self.client.set, name, msgspec.json.encode(entry), px=round(self.settings.redis_ttl_s * 1000)
                )
            except Refused:
                pass  # `down` says why, and the sweep goes on
            else:
                self.dirty.discard(name)
                return
        if len(self.dirty) >= MOST_DIRTY:
            self.forget_all = True
            return
        self.dirty.add(name)

    async def _try(self, command: Any, *arguments: Any, **options: Any) -> Any:
        try:
            with trio.fail_after(self.settings.redis_timeout_s):
                return await command(*arguments, **options)
        except trio.TooSlowError:
            self._is("no answer in time")
        except self.failed as error:
            self._is(f"{type(error).__name__}: {error}")
        raise Refused("unavailable", self.down)

    @receive
    def figures(self, _: GetCacheFigures) -> CacheFigures:
        """Say what was done."""
        return CacheFigures(
            hits=self.hits, misses=self.misses, failures=self.failures, down=self.down, dirty=len(self.dirty)
        )

    @receive
    def probe(self, _: Probe) -> ProbeReport:
        """Degraded while it is down: then memory serves alone."""
        return ProbeReport(
            "degraded" if self.down else "ok",
            f"Redis is down: {self.down}" if self.down else "",
            figures=(("hits", self.hits), ("misses", self.misses), ("failures", self.failures)),
        )
