"""What can be set of serving: `[decisions]` and `[[decisions.models]]`."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

from protocols.decisions import NO_MODELS, RULE
from runtime.breaker import BreakerSettings, Count
from runtime.settings import LocalPath

SECTION: Final = "decisions"

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=3600)]
Places = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]

BREAKER: Final = BreakerSettings(
    window=Count(100),
    failure_rate=0.5,
    slow_call_rate=0.8,
    slow_call_s=0.1,
    minimum_calls=20,
    open_s=10.0,
    half_open_calls=5,
    half_open_timeout_s=30.0,
)
"""A model that fails half of its calls, or is slower than 100 ms in four of five, is left alone for ten seconds."""


class ModelSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[[decisions.models]]`: what serves a name at the first start. Afterwards what was last loaded does.

    `path`: a bundle's folder or file. `policy`: a class of the user's own (`package.module:Class`), made without
    arguments. Exactly one of the two.
    """

    name: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_.-]{0,63}$")]
    path: LocalPath = ""
    policy: str = ""

    def __post_init__(self) -> None:
        if bool(self.path) == bool(self.policy):
            raise ValueError("exactly one of path and policy must be given")
        if self.name in NO_MODELS:
            raise ValueError(f"name {self.name} is taken by the server itself")


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[decisions]`: bounds and limits of the decision server. Durations in seconds."""

    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=30)] = 5.0
    """Until when a request over HTTP or WebSocket is answered that does not say it itself (`timeout_seconds`)."""
    models_dir: LocalPath = ""
    """A folder: each `<name>.bundle` in it serves the name `<name>` at the first start; `models` come before it."""
    unassigned: str = RULE
    """Who answers for a user whom no experiment is about: a model's name, `rule` or `thresholds`."""
    fallback: Literal["rule", "thresholds"] = "rule"
    """Who answers when nobody else can. Where the thresholds have no verdict in time either, the rule does."""
    verdict_s: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.05
    """How long a verdict of the thresholds is waited for, and never longer than half of a request's time."""
    capacity: Places = 4096
    """Requests that may wait, for all inline models together and for each model with a thread of its own."""
    reserve: Annotated[int, msgspec.Meta(ge=0)] | None = None
    """The last places, which only risk exits get; without it a sixteenth of all."""
    per_class: tuple[Places, Places, Places, Places] | None = None
    """Requests of each class that may wait: risk exit, high, normal, low. Without it `capacity` alone bounds."""
    quantum: Annotated[int, msgspec.Meta(ge=1)] = 16
    """After so many requests that overtook somebody of a lower class, one of those is served."""
    batch: Annotated[int, msgspec.Meta(ge=1, le=1024)] = 32
    """Requests that are answered together if they wait already; nothing waits for a batch to fill."""
    stale_s: Seconds = 60.0
    """An observation whose newest input is older than this is not decided upon."""
    min_confidence: Share = 0.0
    """Below it the fallback answers, unless the request names its own."""
    trade_above: Share = 0.5
    """A decision trades when its confidence is above this."""
    inference_s: Seconds = 1.0
    """How long a model on a thread may take; then the thread is left to itself and another one is used."""
    threads: Annotated[int, msgspec.Meta(ge=1, le=64)] = 4
    """Threads of one model that may hang before it gets no more."""
    cache_ttl_s: Annotated[float, msgspec.Meta(ge=0)] = 30.0
    """For how long of event time the answer to an equal observation is given again; 0: never."""
    cache_entries: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 1000
    shadows: Annotated[int, msgspec.Meta(ge=0, le=100_000)] = 256
    """Shadow decisions that may wait; under load the oldest are dropped."""
    breaker: BreakerSettings = BREAKER
    """Of every model."""
    results: Places = 10_000
    """Asynchronous requests that are remembered."""
    results_s: Seconds = 600.0
    """For how long."""
    requests_per_s: Annotated[float, msgspec.Meta(gt=0)] = 5000.0
    """Predictions over HTTP that one client address may ask for; more are answered 429."""
    burst: Annotated[int, msgspec.Meta(ge=1)] = 10_000
    """How many of them at once."""
    models: tuple[ModelSettings, ...] = ()
    """What serves which name at the first start."""

    def __post_init__(self) -> None:
        if self.reserve is not None and self.reserve >= self.capacity:
            raise ValueError(f"reserve must be below capacity ({self.capacity}), not {self.reserve}")

    @property
    def for_risk_exits(self) -> int:
        """How many places only risk exits get."""
        return self.capacity // 16 if self.reserve is None else self.reserve
