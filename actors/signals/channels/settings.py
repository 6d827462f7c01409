"""`[[channels]]`: where signals go besides the WebSocket."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

import msgspec

from actors.signals.channels.signing import SecretError, secret_bytes
from runtime.redaction import Secret
from runtime.settings import LocalPath

SECTION: Final = "channels"
Kind = Literal["redis", "kafka", "webhook"]
Positive = Annotated[float, msgspec.Meta(gt=0, le=86_400)]
Topic = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._-]{1,249}$")]

_ONLY_OF: Final[dict[str, tuple[Kind, ...]]] = {
    "prefix": ("redis",),
    "keep_s": ("redis",),
    "log_length": ("redis",),
    "signals_topic": ("kafka",),
    "updates_topic": ("kafka",),
    "strategies_topic": ("kafka",),
    "username": ("kafka",),
    "password": ("kafka",),
    "tls": ("kafka",),
    "ca_file": ("kafka",),
    "options": ("kafka",),
    "secret": ("webhook",),
}
_SERVER: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}")
_SCHEMES: Final[dict[Kind, tuple[str, ...]]] = {"redis": ("redis", "rediss", "unix"), "webhook": ("http", "https")}
OWNED_OPTIONS: Final = frozenset(
    {
        "acks",
        "bootstrap.servers",
        "enable.gapless.guarantee",
        "enable.idempotence",
        "delivery.timeout.ms",
        "max.in.flight",
        "max.in.flight.requests.per.connection",
        "message.send.max.retries",
        "message.timeout.ms",
        "queue.buffering.max.messages",
        "request.required.acks",
        "retries",
        "transactional.id",
    }
)
"""Options of librdkafka that the promises of the channel rest on."""
_SENSITIVE: Final = re.compile(r"password|secret|\.key|\.pem|token|credentials", re.IGNORECASE)


class ChannelSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[[channels]]`: another system that gets every signal and every update. Times in seconds."""

    name: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=100)]
    """Its place in the tree, `/signals/channels/<name>`, and of its position in the data folder."""
    kind: Kind
    """What it speaks: `redis`, `kafka` or `webhook`."""
    url: Annotated[str, msgspec.Meta(min_length=1)]
    """Where it is: `redis://[user:password@]host:port/db`, Kafka's servers as `host:port,host:port`, or the webhook's
    `https://…`."""
    start: Literal["now", "beginning"] = msgspec.field(default="now", name="from")
    """Where a channel begins that was never there before: with what comes, or with the first stored signal."""
    distributor: Annotated[str, msgspec.Meta(min_length=1, max_length=200)] = "troupe"
    """Who sends, in every message."""
    batch: Annotated[int, msgspec.Meta(ge=1, le=500)] = 100
    """Messages that are sent together, at most."""
    timeout_s: Positive = 10.0
    """How long a target may take to confirm."""
    retry_s: Positive = 0.2
    """The wait after a failure; it doubles each time."""
    retry_most_s: Positive = 30.0
    """The longest wait between two attempts."""
    breaker_failures: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 5
    """So many failures in a row open the breaker."""
    breaker_open_s: Positive = 5.0
    """How long the breaker stays open before one attempt may pass."""
    behind: Annotated[int, msgspec.Meta(ge=1)] = 1000
    """Signals and updates that may wait before the channel counts as degraded."""

    prefix: Annotated[str, msgspec.Meta(pattern=r"^[\x21-\x7e]*$", max_length=100)] = ""
    """Redis: what stands in front of every key and every channel's name."""
    keep_s: Annotated[int, msgspec.Meta(ge=1)] = 3600
    """Redis: how long `signal:{id}` is kept."""
    log_length: Annotated[int, msgspec.Meta(ge=1)] = 100_000
    """Redis: about how many entries the streams `signals:log` and `signals:updates:log` keep, each."""

    signals_topic: Topic = "trading_signals"
    """Kafka: the topic of signals."""
    updates_topic: Topic = "trading_signal_updates"
    """Kafka: the topic of what becomes of them."""
    strategies_topic: Topic = "strategy_status"
    """Kafka: the topic of the strategies' states."""
    username: str = ""
    """Kafka: the user of SASL/PLAIN; for another mechanism set `sasl.mechanism` in `options`."""
    password: Secret = ""
    """Kafka: the password of `username`."""
    tls: bool = False
    """Kafka: encrypt the connection."""
    ca_file: LocalPath = ""
    """Kafka: certificates (PEM) to trust instead of the system's."""
    options: dict[str, str] = {}
    """Kafka: more options of librdkafka, such as `compression.type`."""

    secret: Secret = ""
    """Webhook: what requests are signed with, `whsec_` and 24 to 64 random bytes in base64."""

    def __post_init__(self) -> None:
        if self.name == "index":
            raise ValueError("a channel cannot be named 'index'")
        for field in msgspec.structs.fields(type(self)):
            kinds = _ONLY_OF.get(field.name)
            if kinds is not None and self.kind not in kinds and getattr(self, field.name) != field_default(field):
                raise ValueError(f"the channel {self.name!r}: `{field.name}` is for {' and '.join(kinds)} alone")
        if self.kind == "kafka":
            self._check_kafka()
            return
        scheme = urlsplit(self.url).scheme
        if scheme not in _SCHEMES[self.kind]:
            expected = ", ".join(f"{each}://" for each in _SCHEMES[self.kind])
            raise ValueError(f"the channel {self.name!r}: expected a url that begins with {expected}")
        if self.kind == "webhook":
            if not urlsplit(self.url).hostname:
                raise ValueError(f"the channel {self.name!r}: expected a url with a host")
            try:
                secret_bytes(self.secret)
            except SecretError as error:
                raise ValueError(f"the channel {self.name!r}: secret: {error}") from None

    def _check_kafka(self) -> None:
        if not all(_SERVER.fullmatch(server) for server in self.url.split(",")):
            raise ValueError(f"the channel {self.name!r}: expected url as host:port,host:port")
        for key in self.options:
            if key in OWNED_OPTIONS:
                raise ValueError(f"the channel {self.name!r}: the option {key!r} cannot be changed")
            if _SENSITIVE.search(key):
                raise ValueError(f"the channel {self.name!r}: the option {key!r} would be shown; use `password`")


def field_default(field: msgspec.structs.FieldInfo) -> object:
    """The default of a field that has one."""
    return field.default_factory() if field.default is msgspec.NODEFAULT else field.default
