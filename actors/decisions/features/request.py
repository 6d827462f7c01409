"""What a request for a decision says, as the same features that a stream of bars gives. A core.

A field that was not sent is missing; there are no defaults. `signal_data` may give, as numbers:

    confidence          0 to 1, of whoever proposes (no feature)
    volume              as the fixed rule reads it (no feature: to nothing it could be relative)
    price               makes `macd` and `atr` relative; without one they are missing
    macd, atr           in units of the price
    every other feature of `market29` in the unit of its raw field (`table`)

and `action`: BUY, SELL or HOLD. `market_data` may have candles (`candles`, `bars` or `data`), or closes alone
(`prices` or `closes`), a `price`, and the blocks of a data aggregator. What the signal says itself counts before what
can be computed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, get_args

import msgspec

from actors.decisions.features.aggregate import BLOCKS, marks_of, snake
from actors.decisions.features.aggregate import from_aggregate as from_aggregate
from actors.decisions.features.candles import Told, from_candles, from_closes, time_of
from actors.decisions.features.checking import FeatureError, number
from actors.decisions.features.names import FEATURE_SETS, MARKET_29
from actors.decisions.features.table import checked, scale
from protocols.decisions import DecisionAction, Observation, Proposal

ACTIONS: Final[tuple[DecisionAction, ...]] = get_args(DecisionAction)
CANDLES: Final = ("candles", "bars", "data")
CLOSES: Final = ("prices", "closes")
_IN_PRICE: Final = ("macd", "atr")
_FEATURES: Final = frozenset(FEATURE_SETS[MARKET_29])
_SAID: Final = frozenset({"confidence", "volume", "action", "price", "timestamp", "symbol", *_FEATURES})
_AROUND: Final = frozenset({*CANDLES, *CLOSES, "price", "timestamp", "symbol", "metadata"})


class RequestFeatures(msgspec.Struct, frozen=True):
    """A request, read. `regimes_input`: log returns of its candles, the oldest first; empty where there are none.

    `unknown`: keys that mean nothing here, as `signal_data.foo`.
    """

    observation: Observation
    proposal: Proposal
    regimes_input: tuple[float, ...]
    unknown: tuple[str, ...]


def from_request(
    signal_data: Mapping[str, object],
    market_data: Mapping[str, object] | None,
    ts: int,
    marks: Iterable[str] = (),
    symbol: str = "",
) -> RequestFeatures:
    """The features, the proposal and the returns of a request that is answered at `ts` (ns).

    `symbol`: whose part of blocks that are by symbol. The observation's `ts_event` is the end of the last candle, or
    the `timestamp` that was sent, else 0: nobody knows. Null is a field that was not sent. Raises FeatureError for the
    first value that cannot be.
    """
    signal = _object(signal_data, "signal_data")
    market = _object(market_data, "market_data") if market_data is not None else {}
    told = _told(market, ts)
    raw = dict(told.raw)
    raw |= from_aggregate(market, symbol, ts, "market_data.")
    raw |= _of_signal(signal, _price(signal, market, told))
    ts_event = told.ts_end
    for field, each in (("market_data", market), ("signal_data", signal)):
        if not ts_event and "timestamp" in each:
            ts_event = time_of(each["timestamp"], f"{field}.timestamp")
    every_mark = dict.fromkeys((*marks, *told.marks, *marks_of(market, symbol, "market_data.")))
    unknown = [f"signal_data.{key}" for key in signal if key not in _SAID]
    unknown += [f"market_data.{key}" for key in market if key not in _AROUND and snake(key) not in BLOCKS]
    return RequestFeatures(
        Observation(MARKET_29, scale(raw, MARKET_29), ts_event, tuple(every_mark)),
        _proposal(signal),
        told.returns,
        tuple(unknown),
    )


def _object(value: Mapping[str, object], field: str) -> dict[str, object]:
    """What is said: without nulls. Raises FeatureError for what is no object of named fields."""
    if not isinstance(value, Mapping):
        raise FeatureError(field, "an object", value)
    for key in value:
        if not isinstance(key, str):
            raise FeatureError(field, "names as keys", key)
    return {key: each for key, each in value.items() if each is not None}


def _told(market: Mapping[str, object], ts: int) -> Told:
    given = [key for key in (*CANDLES, *CLOSES) if key in market]
    if not given:
        return Told()
    if len(given) > 1:
        raise FeatureError(f"market_data.{given[1]}", f"one list of prices, and {given[0]} is there", market[given[1]])
    field = f"market_data.{given[0]}"
    if given[0] in CLOSES:
        return from_closes(market[given[0]], field)
    return from_candles(market[given[0]], ts, field)


def _price(signal: Mapping[str, object], market: Mapping[str, object], told: Told) -> float | None:
    """The price that figures in its units are divided by: the signal's, the market's, or the last close."""
    found = told.close if told.close is not None and told.close > 0 else None
    for field, each in (("market_data", market), ("signal_data", signal)):
        if "price" in each:
            found = _positive(f"{field}.price", each["price"])
    return found


def _positive(field: str, value: object) -> float:
    found = number(field, value, 0.0, 1e15)
    if not found:
        raise FeatureError(field, "a number above 0", value)
    return found


def _of_signal(signal: Mapping[str, object], price: float | None) -> dict[str, float]:
    raw: dict[str, float] = {}
    for name, value in signal.items():
        if name not in _FEATURES:
            continue
        field = f"signal_data.{name}"
        if name not in _IN_PRICE:
            raw[name] = checked(name, value, field)
            continue
        found = number(field, value, 0.0 if name == "atr" else -1e15, 1e15)
        if price is not None:
            raw[name] = checked(name, found / price, field)
    return raw


def _proposal(signal: Mapping[str, object]) -> Proposal:
    def told(name: str) -> float | None:
        return number(f"signal_data.{name}", signal[name]) if name in signal else None

    if (confidence := told("confidence")) is not None:
        number("signal_data.confidence", confidence, 0.0, 1.0)
    if (volume := told("volume")) is not None:
        number("signal_data.volume", volume, 0.0)
    return Proposal(
        action=_action(signal.get("action")),
        confidence=confidence,
        rsi=told("rsi"),
        change_percent=told("change_percent"),
        volume=volume,
        macd=told("macd"),
    )


def _action(value: object) -> DecisionAction | None:
    if value is None:
        return None
    wanted = value.upper() if isinstance(value, str) else value
    for action in ACTIONS:
        if action == wanted:
            return action
    raise FeatureError("signal_data.action", f"any of {', '.join(ACTIONS)}", value)
