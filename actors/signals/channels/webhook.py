"""A webhook as a target: signed POSTs of JSON, each with one batch of messages in their order.

    {"type": "signals.batch", "timestamp": "...", "data": {"distributor": "troupe", "messages": [{...}, ...]}}

`messages` are those of `protocols.signal_deliveries`. One request is on its way at a time, so order holds. What the
answers mean:

    2xx                             delivered
    410                             the receiver wants nothing any more: the channel stops
    429, 503 with Retry-After       later, when it says
    400, 413, 422 and the like      these messages are refused for good (see the outbox: the batch is halved)
    everything else                 not delivered, another attempt: 5xx, 3xx (a redirect is never followed), and what
                                    says that the address or the credentials are wrong, such as 401 and 404, because
                                    no message is to blame for that
"""

from __future__ import annotations

import math
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, ClassVar, Final

import msgspec
import trio

from actors.signals.channels.messages import UNREACHABLE, Answer, Deliver, Delivered, Gone, Postponed, Rejected
from actors.signals.channels.preparing import deliveries
from actors.signals.channels.settings import ChannelSettings
from actors.signals.channels.signing import request_id, secret_bytes, signature
from protocols.control import ExitReason, Refused
from protocols.signal_stream import timestamp
from runtime import Actor, Mailbox, receive

if TYPE_CHECKING:
    import httpx

MOST_ANSWER_BYTES: Final = 65_536
SHOWN: Final = 200
NOT_THE_MESSAGE: Final = frozenset({401, 402, 403, 404, 405, 407, 408, 421, 423, 424, 425, 426, 428, 429, 451})
"""4xx that say nothing about what was sent."""
CONNECT_S: Final = 5.0


class _Batch(msgspec.Struct, frozen=True):
    distributor: str
    messages: tuple[msgspec.Raw, ...]


class _Body(msgspec.Struct, frozen=True):
    type: str
    timestamp: str
    data: _Batch


class WebhookTarget(Actor):
    """Posts to one URL."""

    mailbox: ClassVar[Mailbox] = Mailbox(capacity=8)

    def __init__(self, settings: ChannelSettings) -> None:
        self.settings = settings
        self.key = secret_bytes(settings.secret)
        self.client: httpx.AsyncClient | None = None

    async def on_continue(self) -> None:
        """Make the client; it connects with the first request."""
        import httpx

        from actors.edge import clients

        timeout = httpx.Timeout(self.settings.timeout_s, connect=min(CONNECT_S, self.settings.timeout_s))
        self.failed = (httpx.HTTPError, httpx.InvalidURL)
        self.described = clients.described
        self.client = httpx.AsyncClient(
            verify=await clients.http_tls(self.settings.url),
            timeout=timeout,
            follow_redirects=False,
            limits=httpx.Limits(max_connections=2),
            trust_env=True,
        )

    async def on_stop(self, reason: ExitReason) -> None:
        """Close its connection."""
        if self.client is not None:  # it may end before it has begun
            await self.client.aclose()

    @receive
    async def deliver(self, request: Deliver) -> Answer:
        """Post one batch."""
        now = self.clock.now()
        distributor = self.settings.distributor
        ready = await deliveries(request.items, now, distributor)
        messages = tuple(msgspec.Raw(each.payload) for each in ready)
        body = msgspec.json.encode(_Body("signals.batch", timestamp(now), _Batch(distributor, messages)))
        name = request_id(each.id for each in ready)
        seconds = now // 1_000_000_000
        headers = {
            "content-type": "application/json",
            "user-agent": "troupe",
            "webhook-id": name,
            "webhook-timestamp": str(seconds),
            "webhook-signature": signature(self.key, name, seconds, body),
        }
        try:
            with trio.fail_after(self.settings.timeout_s):
                status, answered, text = await self._post(body, headers)
        except trio.TooSlowError:
            raise Refused(UNREACHABLE, f"no answer within {self.settings.timeout_s:g} s") from None
        except self.failed as error:
            raise Refused(UNREACHABLE, self.described(error)) from None
        return judged(status, retry_after(answered, now), text)

    async def _post(self, body: bytes, headers: dict[str, str]) -> tuple[int, str | None, str]:
        assert self.client is not None
        async with self.client.stream("POST", self.settings.url, content=body, headers=headers) as response:
            text = b""
            async for part in response.aiter_bytes(MOST_ANSWER_BYTES):
                text += part
                if len(text) > MOST_ANSWER_BYTES:
                    break  # the connection is closed then, and the next request makes another one
            return response.status_code, response.headers.get("retry-after"), text[:SHOWN].decode("utf-8", "replace")


def judged(status: int, later_s: float | None, text: str) -> Answer:
    """What an answer means. Raises Refused `unreachable` where nothing is known."""
    said = f"HTTP {status}{': ' if text.strip() else ''}{' '.join(text.split())}"
    if 200 <= status < 300:
        return Delivered()
    if status == 410:
        return Gone(said)
    if status == 429 or (status == 503 and later_s is not None):
        return Postponed(later_s or 0.0, said)
    if 400 <= status < 500 and status not in NOT_THE_MESSAGE:
        return Rejected(said)
    raise Refused(UNREACHABLE, said)


def retry_after(text: str | None, now: int) -> float | None:
    """Seconds to wait by a `Retry-After` header (a number or an HTTP date); None without a readable one."""
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - now / 1e9
        except (ValueError, OverflowError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None
