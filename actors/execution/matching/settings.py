"""How the simulated venue fills, what it charges, how late it is. They stand in TOML, in HTTP bodies and in results.

Shares and amounts of money are decimal text ("0.001" is 0.1 %), times are nanoseconds.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

import msgspec

from protocols.nanos import exact_nanos

QueueName = Literal[
    "risk_averse",
    "probability_power",
    "probability_log",
    "probability_power_total",
    "probability_log_total",
    "probability_power_front_back",
    "none",
]

_Nanoseconds = Annotated[int, msgspec.Meta(ge=0, le=3_600_000_000_000)]
_Probability = Annotated[float, msgspec.Meta(ge=0, le=1)]


def _decimal(name: str, text: str) -> int:
    try:
        return exact_nanos(text)
    except ValueError as error:
        raise ValueError(f"{name}: expected a decimal number of at most 9 digits behind the point, {error}") from None


def _share(name: str, text: str) -> int:
    value = _decimal(name, text)
    if not 0 <= value <= 1_000_000_000:
        raise ValueError(f"{name}: expected a share from 0 to 1, got {text!r}")
    return value


class Constant(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="model", tag="constant"
):
    """Always the same delay."""

    ns: _Nanoseconds = 0


class Empirical(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="model", tag="empirical"
):
    """One of these measured delays, each as likely as another."""

    table: Annotated[tuple[_Nanoseconds, ...], msgspec.Meta(min_length=1, max_length=100_000)]


class LogNormal(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="model", tag="log_normal"
):
    """`minimum` + exp of a normal variable: `median` is that of the part above the minimum, `sigma` of its logarithm.

    No delay is longer than `maximum`.
    """

    median: Annotated[int, msgspec.Meta(ge=1, le=3_600_000_000_000)]
    sigma: Annotated[float, msgspec.Meta(ge=0, le=5)]
    minimum: _Nanoseconds = 0
    maximum: _Nanoseconds = 60_000_000_000


Delay = Constant | Empirical | LogNormal


class LatencySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Three delays. `feed`: a market's message to the strategy, which whoever drives the venue adds.

    `entry`: a command to the venue, drawn for each one. `response`: the venue's report to us, drawn for each one.
    Neither commands nor reports overtake one another: each is one stream.
    """

    feed: _Nanoseconds = 0
    entry: Delay = Constant()
    response: Delay = Constant()


class FeeTier(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Fees from this volume (money traded in the last 30 days) on."""

    volume: str
    maker: str
    taker: str

    def __post_init__(self) -> None:
        if _decimal("volume", self.volume) < 0:
            raise ValueError(f"volume: expected 0 or more, got {self.volume!r}")
        _decimal("maker", self.maker)
        _decimal("taker", self.taker)


class FeeSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a fill costs.

    `model`: `instrument`: the instrument's own shares (of a Kalshi market: its curve), with `maker` and `taker` in
    their place where given, and `tiers` in the place of both; an instrument without fees takes no orders then.
    `per_contract`: `maker` and `taker` are money for one unit of size, at least `minimum` for an order and at most
    `maximum_share` of its value. `kalshi`: the curve. `none`: nothing, and every fill says so.

    `digits`: fees are rounded to so many decimals, halves up; the curve has its own rule (`fees.KalshiFees`).
    `member_digits`: the precision of a Kalshi member's balance.
    """

    model: Literal["instrument", "per_contract", "kalshi", "none"] = "instrument"
    maker: str | None = None
    taker: str | None = None
    tiers: tuple[FeeTier, ...] = ()
    minimum: str = "0"
    maximum_share: str = ""
    digits: Annotated[int, msgspec.Meta(ge=0, le=9)] = 8
    kalshi_taker: str = "0.07"
    kalshi_maker: str = "0"
    """0.0175 in the series whose makers are charged."""
    member_digits: Annotated[int, msgspec.Meta(ge=0, le=4)] = 2

    def __post_init__(self) -> None:
        for name in ("maker", "taker"):
            value = getattr(self, name)
            if value is not None:
                _decimal(name, value)
        for name in ("minimum", "kalshi_taker", "kalshi_maker"):
            if _decimal(name, getattr(self, name)) < 0:
                raise ValueError(f"{name}: expected 0 or more, got {getattr(self, name)!r}")
        if self.maximum_share:
            _share("maximum_share", self.maximum_share)
        if self.model == "per_contract" and (self.maker is None or self.taker is None):
            raise ValueError("per_contract: expected maker and taker, money for one unit of size")
        volumes = [Decimal(tier.volume) for tier in self.tiers]
        if volumes and (volumes[0] != 0 or sorted(set(volumes)) != volumes):
            raise ValueError("tiers: expected rising volumes that begin with 0")


class SlippageSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How much worse than a bar's price an order is filled that takes what it gets (market and triggered stop).

    `share` of the price; `ticks` of the instrument; `volume_share`: LEAN's price · impact · min(size / volume,
    volume_limit)². `participation`: at most this share of a bar's volume is filled, the rest waits for the next bar;
    empty: no such limit.
    """

    model: Literal["none", "share", "ticks", "volume_share"] = "none"
    share: str = "0"
    ticks: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 0
    impact: str = "0.1"
    volume_limit: str = "0.025"
    participation: str = ""

    def __post_init__(self) -> None:
        for name in ("share", "impact", "volume_limit"):
            _share(name, getattr(self, name))
        if self.participation and _share("participation", self.participation) == 0:
            raise ValueError("participation: expected above 0, or empty for no limit")


class FillSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a simulated venue fills orders.

    `queue`: how a resting order's place is followed (`queue_models`), `queue_exponent` of its power functions.
    `trigger`: what stops look at: the last trade, the best prices, or (`auto`) trades where there are any.
    `beyond_quote`: where only the best prices are known, what a market order does with what is more than their size:
    it is cancelled, or (`slip`) filled one tick worse, which no data has shown; the fill says so.
    `path`: how a bar's prices came; `limit_on`: whether a bar must go through a limit or only touch it.
    `rejection`, `partial_fill`: probabilities, seeded. `protection`: of market orders that have none of their own.
    `bracket`: `optimistic`: no queue, filled on touch, no slippage; `pessimistic`: back of the queue, filled only
    when the market goes through, the worst path.
    """

    latency: LatencySettings = LatencySettings()
    fees: FeeSettings = FeeSettings()
    slippage: SlippageSettings = SlippageSettings()
    queue: QueueName = "risk_averse"
    queue_exponent: Annotated[float, msgspec.Meta(gt=0, le=100)] = 3.0
    trigger: Literal["auto", "last", "quote"] = "auto"
    beyond_quote: Literal["cancel", "slip"] = "cancel"
    path: Literal["adaptive", "pessimistic"] = "adaptive"
    limit_on: Literal["through", "touch"] = "through"
    rejection: _Probability = 0.0
    partial_fill: _Probability = 0.0
    protection: str = ""
    bracket: Literal["", "optimistic", "pessimistic"] = ""

    def __post_init__(self) -> None:
        if self.protection:
            _share("protection", self.protection)

    def resolved(self) -> FillSettings:
        """With what `bracket` says written into the other fields."""
        if self.bracket == "optimistic":
            slippage = msgspec.structs.replace(self.slippage, model="none")
            return msgspec.structs.replace(self, queue="none", limit_on="touch", path="adaptive", slippage=slippage)
        if self.bracket == "pessimistic":
            return msgspec.structs.replace(self, queue="risk_averse", limit_on="through", path="pessimistic")
        return self
