"""How much to trade: the six position sizings, and the size for a given risk.

Each takes what it needs as arguments and answers with a quantity, why, and what it missed. A sizing that lacks its
inputs falls back to `fallback_percentage` of the equity, and says so; where that is 0, to nothing. With a share s of
the equity E the quantity is s · E / (price · multiplier); sold in a prediction market, of the collateral 1 - price
instead. Whatever the method: never above `max_position_size`, what is held already included; floored to the lot;
nothing, where that is less than the venue takes.

| method | share of the equity |
|---|---|
| fixed_percentage | `percentage` |
| fixed_amount | `amount` / E |
| kelly_criterion | min(`kelly_cap`, `kelly_fraction` · (w - (1 - w) / R)); 0 without an edge. J. L. Kelly 1956 |
| risk_parity | `percentage` · number of markets · w, with w the weight of equal risk. Maillard et al. 2010 |
| volatility_adjusted | `percentage` · `target_volatility` / σ, both annualised |
| optimal_f | f / the worst trade's loss, f of the highest TWR. R. Vince 1990 |

Times `percentage` where there is one, so that with equal volatilities every method with it gives the same as the first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Annotated, Final, Literal

import msgspec

from actors.execution.risk.notional import floored, unit_money, worth
from actors.execution.risk.weights import equal_risk, inverse_volatility, kelly_of, optimal_f
from protocols.instruments import Instrument
from protocols.nanos import NANO, decimal_text, exact_nanos
from protocols.orders import Side

Method = Literal[
    "fixed_percentage", "fixed_amount", "kelly_criterion", "risk_parity", "volatility_adjusted", "optimal_f"
]
METHODS: Final[tuple[Method, ...]] = (
    "fixed_percentage",
    "fixed_amount",
    "kelly_criterion",
    "risk_parity",
    "volatility_adjusted",
    "optimal_f",
)
MOST_SHARE: Final = 1000.0
"""Of the equity, before it is capped: a volatility or a loss next to nothing gives no finite one."""
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Above = Annotated[float, msgspec.Meta(gt=0)]


class SizingSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which sizing, and its parameters. Shares are of the equity: 0.05 is 5 %."""

    method: Method = "fixed_percentage"
    percentage: Share = 0.05
    amount: str = "0"
    """Money per position of `fixed_amount`, decimal text, in the account's currency."""
    max_position_size: Share = 0.1
    max_portfolio_risk: Share | None = None
    """Where the order has a stop: the most that is lost there. None: no such limit."""
    min_trades: Annotated[int, msgspec.Meta(ge=2)] = 30
    """Closed trades that Kelly's fraction and the optimal f want to know."""
    kelly_fraction: Share = 0.5
    """Of Kelly's fraction, which itself is for somebody who knows the odds exactly."""
    kelly_cap: Share = 0.25
    target_volatility: Above = 0.15
    """Annualised."""
    fallback_percentage: Share = 0.01

    def __post_init__(self) -> None:
        try:
            amount = exact_nanos(self.amount)
        except ValueError as error:
            raise ValueError(f"amount: expected a decimal number as text, {error}") from None
        if amount < 0:
            raise ValueError(f"amount: expected at least 0, got {self.amount}")


class SizingInputs(msgspec.Struct, frozen=True, kw_only=True):
    """What a sizing may know. Money and prices in nanos; what is not known is None or empty.

    `price`: what the order is expected to fill at. `held`: quantity held already on the order's side, 0 or more.
    `rate`: one unit of the instrument's currency in the account's. `returns`: of closed trades, profit over stake,
    fees off, oldest first. `volatility`: of the market, annualised; `volatilities`: of all markets of the portfolio,
    this one included. `covariance`: of the markets in the order of `volatilities`; with it risk parity is exact.
    """

    equity: int
    price: int
    instrument: Instrument
    side: Side
    stop: int | None = None
    held: int = 0
    rate: int = NANO
    returns: Sequence[float] = ()
    volatility: float | None = None
    volatilities: Mapping[str, float] = {}
    covariance: Sequence[Sequence[float]] = ()


class Sizing(msgspec.Struct, frozen=True, gc=False):
    """How much, and why. `used`: the method that gave it; `missing`: what was wanted and is not known.

    `quantity`: nanos, a multiple of the lot; 0: nothing should be traded. `most`: what the limits would allow.
    """

    quantity: int
    rationale: str
    used: str
    missing: tuple[str, ...] = ()
    most: int = 0


class _Share(msgspec.Struct, frozen=True):
    """What a method says: a share of the equity, or what it lacks."""

    share: Fraction
    rationale: str
    missing: tuple[str, ...] = ()


def size(settings: SizingSettings, inputs: SizingInputs) -> Sizing:
    """The quantity by the method of the settings, or by the fallback. Raises ValueError for a price of 0."""
    said = _METHODS[settings.method](settings, inputs)
    used: str = settings.method
    if said.missing:
        used = "fallback"
        said = _Share(
            _nano(settings.fallback_percentage),
            f"{settings.method} lacks {', '.join(said.missing)} ({said.rationale}): "
            f"{settings.fallback_percentage:.2%} of the equity instead",
            said.missing,
        )
    unit = unit_money(inputs.instrument, inputs.price, inputs.side == "sell", inputs.rate)
    if not unit:
        raise ValueError(f"price: expected one that costs something, got {decimal_text(inputs.price)}")
    equity = max(0, inputs.equity)
    notes = [said.rationale]
    most = floored(inputs.instrument, equity * _nano(settings.max_position_size) / unit - inputs.held)
    quantity = said.share * equity / unit
    if quantity > most:
        notes.append(f"capped at {settings.max_position_size:.2%} of the equity")
    if settings.max_portfolio_risk is not None and inputs.stop is not None:
        loss = _loss_per_nano(inputs)
        allowed = equity * _nano(settings.max_portfolio_risk) / loss if loss > 0 else quantity
        if quantity > allowed:
            quantity = allowed
            notes.append(f"at most {settings.max_portfolio_risk:.2%} of the equity is lost at the stop")
    return _fitted(inputs, min(quantity, Fraction(most)), notes, used, said.missing, most)


def size_for_risk(
    equity: int,
    risk_share: float,
    entry: int,
    stop: int,
    instrument: Instrument,
    *,
    max_position_size: float = 1.0,
    rate: int = NANO,
) -> Sizing:
    """The quantity that loses `risk_share` of the equity at the stop: share · E / (|entry - stop| · multiplier).

    A stop below the entry is that of a long, above it that of a short. Prices and money in nanos, fees left out.
    Raises ValueError where the stop is at the entry, or a share is not from 0 to 1.
    """
    if entry == stop:
        raise ValueError(f"stop: expected another price than the entry's, got {decimal_text(stop)}")
    for name, share in (("risk_share", risk_share), ("max_position_size", max_position_size)):
        if not 0 <= share <= 1:
            raise ValueError(f"{name}: expected from 0 to 1, got {share}")
    side: Side = "buy" if stop < entry else "sell"
    inputs = SizingInputs(equity=equity, price=entry, instrument=instrument, side=side, stop=stop, rate=rate)
    money = max(0, equity) * _nano(risk_share)
    quantity = money / _loss_per_nano(inputs)
    unit = unit_money(instrument, entry, side == "sell", rate)
    most = floored(instrument, max(0, equity) * _nano(max_position_size) / unit) if unit else 0
    notes = [
        f"{risk_share:.2%} of {decimal_text(equity)} at risk, {decimal_text(abs(entry - stop))} a unit to the stop"
    ]
    if quantity > most:
        notes.append(f"capped at {max_position_size:.2%} of the equity")
    return _fitted(inputs, min(quantity, Fraction(most)), notes, "risk", (), most)


def _fixed_percentage(settings: SizingSettings, inputs: SizingInputs) -> _Share:
    return _Share(_nano(settings.percentage), f"{settings.percentage:.2%} of the equity")


def _fixed_amount(settings: SizingSettings, inputs: SizingInputs) -> _Share:
    amount = exact_nanos(settings.amount)
    share = Fraction(amount, inputs.equity) if inputs.equity > 0 else Fraction(0)
    return _Share(share, f"{settings.amount} for a position")


def _kelly_criterion(settings: SizingSettings, inputs: SizingInputs) -> _Share:
    few = _too_few(settings, inputs)
    if few is not None:
        return few
    fraction = kelly_of(inputs.returns)
    if fraction is None:
        return _Share(Fraction(0), "all trades won, or none", ("a win and a loss",))
    if fraction <= 0:
        return _Share(Fraction(0), f"Kelly's fraction is {fraction:.4f}: no edge in {len(inputs.returns)} trades")
    share = min(settings.kelly_cap, settings.kelly_fraction * fraction)
    rationale = f"{settings.kelly_fraction:g} of Kelly's fraction {fraction:.4f}, at most {settings.kelly_cap:g}"
    return _Share(_nano(share), f"{rationale}, from {len(inputs.returns)} trades")


def _risk_parity(settings: SizingSettings, inputs: SizingInputs) -> _Share:
    markets = list(inputs.volatilities)
    market = inputs.instrument.market
    if market not in inputs.volatilities:
        return _Share(Fraction(0), f"{market} is none of {len(markets)} markets", ("volatilities",))
    try:
        if inputs.covariance:
            weights, how = equal_risk(inputs.covariance), "equal risk contributions"
        else:
            weights, how = inverse_volatility(list(inputs.volatilities.values())), "inverse volatility"
    except ValueError as error:
        return _Share(Fraction(0), str(error), ("covariance" if inputs.covariance else "volatilities",))
    if len(weights) != len(markets):
        return _Share(Fraction(0), f"{len(weights)} rows for {len(markets)} markets", ("covariance",))
    weight = weights[markets.index(market)]
    share = settings.percentage * len(markets) * weight
    return _Share(_nano(share), f"weight {weight:.4f} of {len(markets)} markets by {how}")


def _volatility_adjusted(settings: SizingSettings, inputs: SizingInputs) -> _Share:
    volatility = inputs.volatility
    if volatility is None or not volatility > 0:
        return _Share(Fraction(0), "it is not known, or 0", ("volatility",))
    share = settings.percentage * settings.target_volatility / volatility
    rationale = f"{settings.percentage:.2%} times {settings.target_volatility:g} / {volatility:g} of volatility"
    return _Share(_nano(share), rationale)


def _optimal_f(settings: SizingSettings, inputs: SizingInputs) -> _Share:
    few = _too_few(settings, inputs)
    if few is not None:
        return few
    fraction = optimal_f(inputs.returns)
    if fraction is None:
        return _Share(Fraction(0), "no trade lost", ("a loss",))
    if not fraction:
        return _Share(Fraction(0), f"no share of it makes money in {len(inputs.returns)} trades")
    worst = -min(inputs.returns)
    rationale = f"optimal f {fraction:.4f}, the worst of {len(inputs.returns)} trades lost {worst:.2%}"
    return _Share(_nano(fraction / worst), rationale)


_METHODS: Final = {
    "fixed_percentage": _fixed_percentage,
    "fixed_amount": _fixed_amount,
    "kelly_criterion": _kelly_criterion,
    "risk_parity": _risk_parity,
    "volatility_adjusted": _volatility_adjusted,
    "optimal_f": _optimal_f,
}


def _too_few(settings: SizingSettings, inputs: SizingInputs) -> _Share | None:
    count = len(inputs.returns)
    if count >= settings.min_trades:
        return None
    return _Share(Fraction(0), f"{count} closed trades, {settings.min_trades} wanted", ("closed trades",))


def _loss_per_nano(inputs: SizingInputs) -> Fraction:
    """Money lost by one nano of quantity at the stop; not above 0 where the stop is on the winning side."""
    assert inputs.stop is not None
    away = inputs.price - inputs.stop if inputs.side == "buy" else inputs.stop - inputs.price
    return Fraction(away * inputs.instrument.multiplier * inputs.rate, NANO**3)


def _fitted(
    inputs: SizingInputs, quantity: Fraction, notes: list[str], used: str, missing: tuple[str, ...], most: int
) -> Sizing:
    """Floored to the lot, and within what the venue takes."""
    instrument = inputs.instrument
    found = floored(instrument, quantity)
    if instrument.maximum_size is not None and found > instrument.maximum_size:
        found = floored(instrument, instrument.maximum_size)
        notes.append("the venue's largest order")
    least = max(instrument.minimum_size, instrument.lot)
    if found < least:
        notes.append(f"{decimal_text(max(0, int(quantity)))} is less than the venue's least, {decimal_text(least)}")
        found = 0
    elif worth(instrument, found, inputs.price) < instrument.minimum_notional:
        notes.append(f"worth less than the venue's least, {decimal_text(instrument.minimum_notional)}")
        found = 0
    return Sizing(found, "; ".join(notes), used, missing, most)


def _nano(share: float) -> Fraction:
    # The digits that a person wrote: 0.3 as a float is a little less than three tenths.
    return Fraction(round(min(share, MOST_SHARE) * NANO), NANO)
