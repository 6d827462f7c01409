"""What can be set of thresholds: `[thresholds]` and `[[thresholds.parameters]]`."""

from __future__ import annotations

import functools
from typing import Annotated, Final

import msgspec

from actors.thresholds.learner import LearningSettings
from actors.thresholds.parameters import Parameter, Registry

SECTION: Final = "thresholds"

Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]
Count = Annotated[int, msgspec.Meta(ge=1, le=10_000_000)]


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[thresholds]`: adaptive thresholds of users. Durations in seconds."""

    parameters: tuple[Parameter, ...] = ()
    """More parameters; one with the name of one of the five (rsi, confidence, macd, volume, momentum) replaces it."""
    learning: LearningSettings = LearningSettings()
    """How they learn, and what keeps them from harm."""
    pooling: bool = True
    """Whether users with few decisions lean on what all users of the symbol have shown, when all are adapted."""
    adapt_every_s: Annotated[float, msgspec.Meta(ge=0, le=604_800)] = 3600.0
    """How often a cycle of everybody is begun; each threshold moves no more often than `learning.safeguards.cycle_h`
    lets it. 0: only when somebody asks."""
    adapt_at_once: Annotated[int, msgspec.Meta(ge=1, le=256)] = 1
    """How many users' cycles run at the same time when all are adapted: more is sooner done, and makes others wait."""
    idle_s: Seconds = 300.0
    """After so long without being asked, a user's actor ends; what it knew is stored."""
    first_wait_s: Seconds = 0.05
    """How long the first signal of a user waits for what was stored; then it is judged by defaults, and says so."""
    load_s: Seconds = 5.0
    """How long anything that learns or moves waits for what was stored; then it is refused."""
    retry_s: Seconds = 1.0
    """How soon what could not be read is read again."""
    cache_entries: Count = 100_000
    """Users and symbols whose thresholds are in memory."""
    snapshot_lessons: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 200
    """After so many outcomes that moved nothing the whole state is written again."""
    redis_url: str = ""
    """A Redis server as second cache, `redis://host:port/0`; empty: none. Needs the extra `redis`."""
    redis_prefix: str = "troupe:"
    redis_ttl_s: Seconds = 300.0
    """How long Redis keeps an entry."""
    redis_timeout_s: Seconds = 0.05
    """How long Redis is waited for; then it counts as down."""

    def __post_init__(self) -> None:
        self.registry()

    def registry(self) -> Registry:
        """The parameters. Raises ValueError for two of one name."""
        names = [each.name for each in self.parameters]
        twice = [name for place, name in enumerate(names) if name in names[:place]]
        if twice:
            raise ValueError(f"parameters: expected each name once, got {twice[0]!r} twice")
        return Registry().with_(*self.parameters)


@functools.lru_cache(maxsize=16)
def registry_of(settings: Settings) -> Registry:
    """The parameters, the same object for equal settings: every user's actor has it."""
    return settings.registry()
