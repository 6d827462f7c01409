"""What can be set of thresholds: `[thresholds]` and `[[thresholds.parameters]]`."""

from __future__ import annotations

import functools
from typing import Annotated, Final, Literal

import msgspec

from actors.monitor.drift.page_hinkley import PageHinkleySettings
from actors.thresholds.gate import GateSettings
from actors.thresholds.meta_gate import MetaGateSettings
from actors.thresholds.parameters import Parameter, Registry
from actors.thresholds.safeguards import Limits, SafeguardSettings
from actors.thresholds.spsa import SwitchbackSettings

SECTION: Final = "thresholds"

Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]
Count = Annotated[int, msgspec.Meta(ge=1, le=10_000_000)]


class LearningSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[thresholds.learning]`: how a threshold learns and moves. `mode` switchback: outcomes of declined signals cannot
    be observed (paired SPSA instead).

    `drift` None: the outcomes are not watched. Its `delta` and `threshold` are in standard deviations of the outcome:
    with 0.1 and 50 a stream that does not change alarms about once in a million (exp(2 delta threshold) / (2 delta^2)),
    one that falls by half a standard deviation after about 125.
    """

    mode: Literal["counterfactual", "switchback"] = "counterfactual"
    gate: GateSettings = GateSettings()
    meta_gate: MetaGateSettings = MetaGateSettings()
    safeguards: SafeguardSettings = SafeguardSettings()
    switchback: SwitchbackSettings = SwitchbackSettings()
    drift: PageHinkleySettings | None = PageHinkleySettings(delta=0.1, threshold=50.0)

    def __post_init__(self) -> None:
        if (
            self.mode == "switchback"
            and 3 * self.switchback.most + self.safeguards.min_change >= self.safeguards.max_change
        ):
            raise ValueError(
                "switchback.most: expected so little that a cycle may still move: three times it is taken off"
            )

    def limits(self, parameter: Parameter) -> Limits:
        """What one move is held to. A switchback leaves room for its probes, so that both together keep to it."""
        safeguards, most = self.safeguards, self.safeguards.max_change
        if self.mode == "switchback":
            most -= 3 * self.switchback.most
        return Limits(parameter.lower, parameter.upper, parameter.scale, most, safeguards.min_change)


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
