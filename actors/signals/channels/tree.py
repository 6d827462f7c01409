"""The branch of the channels.

/signals/channels       one for one
├── index               lists the channels, answers the probe
└── <name>              transient; a channel that gives up ends alone
    ├── target          speaks to the other system; its breaker stands in front of it
    └── relay           reads the hub's streams by position and asks the target
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from actors.signals.channels.messages import CHANNELS, INDEX, UNREACHABLE, Entry
from actors.signals.channels.settings import SECTION, ChannelSettings, Kind
from runtime import Backoff, ChildSpec, Restart, RestartLimit, supervisor
from runtime.breaker import BreakerSettings, Count
from runtime.settings import Configuration, ConfigurationError, Issue

ACTORS: Final[dict[Kind, str]] = {
    "redis": "actors.signals.channels.redis:RedisTarget",
    "kafka": "actors.signals.channels.kafka:KafkaTarget",
    "webhook": "actors.signals.channels.webhook:WebhookTarget",
}
LIMIT: Final = RestartLimit(count=10, seconds=60.0)
OWN_LIMIT: Final = RestartLimit(count=5, seconds=30.0)
BACKOFF: Final = Backoff(first_s=0.1, most_s=2.0)
# The target has not begun with it: that says nothing about the other system.
_NOT_BEGUN: Final = ("mailbox_full", "stopped", "expired", "cleared", "dropped", "quarantined")


def specs(settings: Sequence[ChannelSettings]) -> list[ChildSpec]:
    """`/signals/channels` with these channels. Raises ValueError if two have the same name."""
    names = [each.name for each in settings]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two channels are named {name!r}")
    index = ChildSpec(
        name=INDEX.rpartition("/")[2],
        actor="actors.signals.channels.index:ChannelIndex",
        arguments={"channels": tuple(Entry(each.name, each.kind) for each in settings)},
        backoff=BACKOFF,
    )
    return [supervisor(CHANNELS.rpartition("/")[2], index, *map(channel, settings), limit=LIMIT, backoff=BACKOFF)]


def channel(settings: ChannelSettings) -> ChildSpec:
    """The supervisor of one channel."""
    target = ChildSpec(
        name="target",
        actor=ACTORS[settings.kind],
        arguments={"settings": settings},
        breaker=breaker(settings),
        backoff=BACKOFF,
        # What it has not confirmed by then is sent again in the next life.
        stop_s=3.0,
    )
    relay = ChildSpec(
        name="relay", actor="actors.signals.channels.channel:Relay", arguments={"settings": settings}, backoff=BACKOFF
    )
    return supervisor(settings.name, target, relay, restart=Restart.TRANSIENT, limit=OWN_LIMIT)


def breaker(settings: ChannelSettings) -> BreakerSettings:
    """Opens after so many failures in a row, and then lets one attempt through at a time."""
    return BreakerSettings(
        window=Count(settings.breaker_failures),
        minimum_calls=settings.breaker_failures,
        failure_rate=1.0,
        open_s=settings.breaker_open_s,
        half_open_calls=1,
        half_open_timeout_s=4 * settings.timeout_s,
        record=(UNREACHABLE,),
        ignore=_NOT_BEGUN,
    )


def configured(configuration: Configuration) -> tuple[ChannelSettings, ...]:
    """The channels of a configuration. Raises ConfigurationError if they cannot be together."""
    settings: tuple[ChannelSettings, ...] = configuration.section(SECTION)
    try:
        specs(settings)
    except ValueError as error:
        raise ConfigurationError([Issue("invalid", f"{SECTION}: {error}", SECTION)]) from None
    return settings
