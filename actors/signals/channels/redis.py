"""Redis as a target.

    PUBLISH signals:{SYMBOL}, signals:all    every signal, for whoever listens now
    PUBLISH signals:updates                  every update
    SET signal:{id} … EX 3600                the TradingSignal, with its status of today
    XADD signals:log {seq}-0                 every signal, in the order of the node's stream: what a publish cannot keep
    XADD signals:updates:log {seq}-0         every update

A batch is one script, so all writes of a signal happen together. An entry's id is its place in the node's stream, and
Redis refuses an id that is not above the last one: a repeat is found out there, and neither published nor set again.

`signals:log:channel` says whose places these are and how far they go. A Redis that has come back with less than it had
confirmed is thereby noticed, and is sent again what it lost; two nodes that write to the same keys are noticed, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

import msgspec
import trio

from actors.signals.channels.messages import UNREACHABLE, Answer, Deliver, Delivered, Lost
from actors.signals.channels.outbox import Position
from actors.signals.channels.preparing import deliveries
from actors.signals.channels.settings import ChannelSettings
from protocols.control import Refused
from protocols.signal_deliveries import Delivery
from protocols.signals import SIGNALS
from runtime import Actor, Mailbox, receive

if TYPE_CHECKING:
    import coredis

LOG: Final = "signals:log"
UPDATES_LOG: Final = "signals:updates:log"
OWNER: Final = "signals:log:channel"

SCRIPT: Final = """
local identity, checked = ARGV[1], ARGV[2]
local length, keep, prefix = ARGV[5], ARGV[6], ARGV[7]
local known = redis.call('HMGET', KEYS[3], 'identity', 'signals', 'updates')
if known[1] and known[1] ~= identity then return {'foreign', known[1]} end
local have = {tonumber(known[2] or -1), tonumber(known[3] or -1)}
local after = {tonumber(ARGV[3]), tonumber(ARGV[4])}
if checked == '1' and (have[1] < after[1] or have[2] < after[2]) then
  return {'lost', tostring(have[1]), tostring(have[2])}
end
local repeats = 0
for at = 8, #ARGV, 7 do
  local stream, seq, kind, id, symbol = tonumber(ARGV[at]), ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
  local payload, signal = ARGV[at + 5], ARGV[at + 6]
  local added = redis.pcall('XADD', KEYS[stream], 'MAXLEN', '~', length, seq .. '-0',
                            'type', kind, 'signal_id', id, 'symbol', symbol, 'payload', payload)
  if type(added) == 'table' and added.err then
    if not string.find(added.err, 'equal or smaller', 1, true) then return redis.error_reply(added.err) end
    repeats = repeats + 1
  else
    if signal ~= '' then redis.call('SET', prefix .. 'signal:' .. id, signal, 'EX', keep) end
    if kind == 'signal' then
      redis.call('PUBLISH', prefix .. 'signals:' .. symbol, payload)
      redis.call('PUBLISH', prefix .. 'signals:all', payload)
    else
      redis.call('PUBLISH', prefix .. 'signals:updates', payload)
    end
  end
  after[stream] = tonumber(seq)
end
redis.call('HSET', KEYS[3], 'identity', identity, 'signals', math.max(have[1], after[1]),
           'updates', math.max(have[2], after[2]))
return {'ok', tostring(repeats)}
"""

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_status = msgspec.json.Decoder(str).decode
_RANK: Final = {"pending": 0, "active": 1, "executed": 2, "cancelled": 2, "expired": 2}


class RedisTarget(Actor):
    """Writes to one Redis."""

    mailbox: ClassVar[Mailbox] = Mailbox(capacity=8)

    def __init__(self, settings: ChannelSettings) -> None:
        self.settings = settings
        self.prefix = settings.prefix
        self.repeats = 0

    async def on_continue(self) -> None:
        """Make the client; it connects with the first batch."""
        try:
            import coredis
            from coredis.retry import NoRetryPolicy
        except ImportError as error:
            raise RuntimeError(f"a redis channel needs coredis: pip install 'troupe[redis]' ({error})") from None
        import logging

        # It logs a traceback for every refused connection; what failed is the channel's reason.
        logging.getLogger("coredis").setLevel(logging.CRITICAL)
        self.failed: tuple[type[Exception], ...] = (coredis.exceptions.RedisError, OSError, trio.BrokenResourceError)
        self.client: coredis.Redis[bytes] = coredis.Redis.from_url(
            self.settings.url,
            decode_responses=False,
            retry_policy=NoRetryPolicy(),
            max_connections=2,
            connect_timeout=self.settings.timeout_s,
            stream_timeout=self.settings.timeout_s,
        )
        opened = trio.Event()
        self.spawn(self._hold_open, opened, name="connections")
        await opened.wait()

    async def _hold_open(self, opened: trio.Event) -> None:
        # Its tasks live where it is entered; a handler is not there long enough.
        async with self.client:
            opened.set()
            await trio.sleep_forever()

    @receive
    async def deliver(self, request: Deliver) -> Answer:
        """Write one batch."""
        now = self.clock.now()
        ready = await deliveries(request.items, now, self.settings.distributor)
        try:
            with trio.fail_after(self.settings.timeout_s):
                texts = await self._with_status(ready)
                answer = await self._run(request, ready, texts)
        except trio.TooSlowError:
            raise Refused(UNREACHABLE, f"no answer within {self.settings.timeout_s:g} s") from None
        except self.failed as error:
            raise Refused(UNREACHABLE, f"{type(error).__name__}: {error}") from None
        return self._understood(request, answer)

    async def _with_status(self, ready: Sequence[Delivery]) -> list[bytes]:
        """For every delivery the text of `signal:{id}` after it; empty where it is to stay as it is."""
        known = {each.signal_id: each.signal for each in ready if each.signal is not None}
        asked = list(dict.fromkeys(each.signal_id for each in ready if each.signal_id not in known))
        kept: dict[str, bytes | None] = {}
        if asked:
            found = await self.client.mget([f"{self.prefix}signal:{each}" for each in asked])
            kept = dict(zip(asked, found, strict=True))
        texts = []
        for each in ready:
            text = each.signal
            if text is None:
                text = after_update(kept.get(each.signal_id), each)
            if text is not None:
                kept[each.signal_id] = text
            texts.append(text or b"")
        return texts

    async def _run(self, request: Deliver, ready: Sequence[Delivery], texts: Sequence[bytes]) -> Any:
        after = request.after
        arguments: list[str | bytes | int] = [
            request.identity,
            # At its floor, or sent again because of a loss, there is nothing that it must have.
            int(after != request.floor and not request.again),
            after.signals,
            after.updates,
            self.settings.log_length,
            self.settings.keep_s,
            self.prefix,
        ]
        for each, text in zip(ready, texts, strict=True):
            stream = 1 if each.stream == SIGNALS else 2
            arguments += [stream, each.seq, each.kind, each.signal_id, each.symbol, each.payload, text]
        keys = [self.prefix + name for name in (LOG, UPDATES_LOG, OWNER)]
        return await self.client.eval(SCRIPT, keys, arguments)

    def _understood(self, request: Deliver, answer: Any) -> Answer:
        word, *rest = (each.decode() for each in answer)
        if word == "ok":
            self.repeats += int(rest[0])
            return Delivered()
        if word == "lost":
            have, floor, length = Position(int(rest[0]), int(rest[1])), request.floor, self.settings.log_length
            position = Position(
                max(have.signals, floor.signals, request.after.signals - length),
                max(have.updates, floor.updates, request.after.updates - length),
            )
            return Lost(position, f"Redis had confirmed {request.after} and has {have}")
        raise Refused(
            UNREACHABLE,
            f"{self.prefix}{LOG} is written by another channel ({rest[0]}): give this one a prefix of its own, "
            f"or delete {self.prefix}{LOG}, {self.prefix}{UPDATES_LOG} and {self.prefix}{OWNER}",
        )


def after_update(text: bytes | None, update: Delivery) -> bytes | None:
    """A TradingSignal's JSON with the status of an update; None if there is none, or if it is further already."""
    if text is None:
        return None
    try:
        # Only the status is read: everything else keeps its digits.
        fields = _fields(text)
        status = _status(fields["status"])
    except (msgspec.DecodeError, KeyError):
        return None  # somebody else's value
    if _RANK.get(status, 0) > _RANK[update.status]:
        return None
    fields["status"] = msgspec.Raw(msgspec.json.encode(update.status))
    return msgspec.json.encode(fields)
