"""What the node and a locked worker say to each other: frames of a length (u32, little endian) and msgpack.

One request, one reply with its `id`; a worker never speaks first. Structs travel as arrays, so that a bar costs a few
dozen bytes. The worker's side is untrusted: the node decodes its replies with `REPLY` alone, which checks every type,
range and length here, and takes strategy, market and time from its own request. Numbers are floats: a strategy
calculates statistics; the node makes integers of prices and sizes (`Instrument`, `nanos`).

Times are nanoseconds since the epoch, UTC.
"""

from __future__ import annotations

import struct
from typing import Annotated, Final, Literal

import msgspec

from actors.strategies.sandbox.wire_fields import Count, Finite, Positive, Share, ShortText, Text, TimeInForce
from actors.strategies.sandbox.wire_orders import DeployInput, TradingInput, WireCommand

MOST_REQUEST: Final = 4 * 1024 * 1024
MOST_REPLY: Final = 64 * 1024
REPLY_PER_INPUT: Final = 128
"""A reply to a batch may be this much longer for each input."""
MOST_BATCH: Final = 256
MOST_SIGNALS: Final = 64
"""Of one input."""
MOST_ORDERS: Final = 64
"""Commands of one input."""
MOST_STATE: Final = 1024 * 1024
"""Bytes of what `on_save` returns, packed; a reply with a state may be this much longer."""
HEADER: Final = struct.Struct("<I")

Action = Literal["BUY", "SELL", "HOLD", "CLOSE_LONG", "CLOSE_SHORT", "CLOSE_ALL"]
OrderType = Literal["MARKET", "LIMIT", "STOP", "STOP_LIMIT"]
Level = Literal["debug", "info", "warning", "error"]
Handles = Literal["bar", "quote", "trade", "order"]


# What a strategy is given.


class BarInput(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="b"):
    """A complete bar [start, end) of one of the strategy's timeframes. NaN: the source has no such figure."""

    symbol: str
    timeframe: str
    start: int
    end: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    trades: float
    vwap: float
    now: int
    """The node's time when it was delivered: the strategy's clock."""


class QuoteInput(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="q"):
    """The best prices of a symbol. NaN: none on that side."""

    symbol: str
    bid: float
    bid_size: float
    ask: float
    ask_size: float
    ts: int
    now: int


class TradeInput(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="t"):
    """A public trade. `taker` is "buy", "sell" or "" where the venue does not say."""

    symbol: str
    price: float
    size: float
    taker: str
    ts: int
    now: int


class GapInput(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="g"):
    """Inputs of a symbol were lost here."""

    symbol: str
    now: int


class TimerInput(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="i"):
    """The strategy's execution interval has passed: it is called with what it has."""

    now: int


Input = BarInput | QuoteInput | TradeInput | GapInput | TimerInput | TradingInput


# What the node asks.


class Load(msgspec.Struct, frozen=True, array_like=True, tag="load"):
    """Take this source, check it, and build the strategy. Answered by Ready, Rejected or Failed."""

    id: int
    strategy_id: str
    version: str
    filename: str
    source: str
    markets: tuple[tuple[str, str], ...]
    """(symbol, timeframe), in the order of the run's symbols; a symbol may have several timeframes."""
    parameters: msgspec.Raw
    """A msgpack map: what the run was given; the strategy's declared defaults fill in the rest."""
    lookback: int
    """Bars of each window that the strategy sees, unless it says itself how many (`Ready.lookback`)."""
    every_bar: bool
    """True: the function contract is called at every bar; False: at TimerInput alone."""
    state: bytes | None = None
    """What `on_save` of an earlier version or life returned, packed; given to `on_load`."""
    log_bytes: int = 65_536
    """Of log text a minute; what goes beyond is cut and counted."""
    now: int = 0
    live: bool = True
    """Whether inputs come as they happen; False in a backtest."""
    deployment: DeployInput | None = None
    """The account that it begins with. Only a strategy of the SDK takes notice of it."""


class History(msgspec.Struct, frozen=True, array_like=True, tag="history"):
    """Bars from before the start, oldest first: they fill the windows, user code does not run. Answered by Done."""

    id: int
    bars: tuple[BarInput, ...]


class Run(msgspec.Struct, frozen=True, array_like=True, tag="run"):
    """Hand these inputs to the strategy, one after the other (at most MOST_BATCH). Answered by Done or Failed.

    `until_command`: stop behind the first one that leads to a command (`orders`), `until_signal`: to a command or a
    signal; `Done.count` says how many were handled.
    """

    id: int
    inputs: tuple[Input, ...]
    until_command: bool = False
    until_signal: bool = False


class Configure(msgspec.Struct, frozen=True, array_like=True, tag="configure"):
    """Change parameters, all or none. Answered by Done, or by Rejected with the parameter."""

    id: int
    parameters: msgspec.Raw
    now: int = 0


class Save(msgspec.Struct, frozen=True, array_like=True, tag="save"):
    """Ask for the strategy's state (`on_save`). Answered by Saved or Failed."""

    id: int
    now: int = 0


Request = Load | History | Run | Configure | Save


# What a worker answers.


class ParameterInfo(msgspec.Struct, frozen=True, array_like=True):
    """One declared parameter. `kind`: int, float, bool, str or choice. `default` and bounds are JSON text."""

    name: ShortText
    kind: ShortText
    default: Text
    least: Text = ""
    most: Text = ""
    choices: Annotated[tuple[Text, ...], msgspec.Meta(max_length=100)] = ()
    description: Text = ""


class Problem(msgspec.Struct, frozen=True, array_like=True):
    """Why a source or a parameter is not accepted. `rule` is a short code; line and column are from 1, 0: the whole."""

    rule: ShortText
    message: Text
    line: Count = 0
    column: Count = 0
    field: ShortText = ""


class LogLine(msgspec.Struct, frozen=True, array_like=True):
    """What a strategy has logged or printed."""

    level: Level
    text: Text


class Metric(msgspec.Struct, frozen=True, array_like=True):
    """A figure that the strategy recorded (`record_metric`)."""

    name: ShortText
    value: Finite


class WireSignal(msgspec.Struct, frozen=True, array_like=True):
    """One signal of a strategy. `index`: of the input that led to it. None: the strategy does not say."""

    index: Count
    symbol: ShortText
    action: Action
    confidence: Share
    quantity: Positive | None = None
    price_target: Finite | None = None
    stop_loss: Finite | None = None
    take_profit: Finite | None = None
    order_type: OrderType = "MARKET"
    time_in_force: TimeInForce = "GTC"
    max_slippage: Share | None = None
    position_size: Finite | None = None
    max_drawdown: Share | None = None
    risk_score: Share | None = None
    validity_s: Annotated[float, msgspec.Meta(gt=0, le=31_536_000)] | None = None
    trend: ShortText | None = None
    volatility: Finite | None = None
    volume_profile: ShortText | None = None
    support_level: Finite | None = None
    resistance_level: Finite | None = None
    metadata: Annotated[str, msgspec.Meta(max_length=16_384)] = ""
    """A JSON object as text; empty: none."""
    defaulted: Annotated[tuple[ShortText, ...], msgspec.Meta(max_length=20)] = ()
    """Fields that the strategy left out and the contract filled in."""


class Ready(msgspec.Struct, frozen=True, array_like=True, tag="ready"):
    """The strategy is built. `contract`: "function", "class" (generate_signal) or "sdk" (on_bar …)."""

    id: int
    contract: Literal["function", "class", "sdk"]
    name: ShortText
    handles: Annotated[tuple[Handles, ...], msgspec.Meta(max_length=4)]
    lookback: Annotated[int, msgspec.Meta(ge=1, le=10_000)]
    parameters: Annotated[tuple[ParameterInfo, ...], msgspec.Meta(max_length=200)]
    values: Annotated[str, msgspec.Meta(max_length=32_768)]
    """The parameters in force, a JSON object as text."""
    keeps_state: bool
    """Whether it has `on_save`."""
    logs: Annotated[tuple[LogLine, ...], msgspec.Meta(max_length=1000)]
    cpu_us: Count


class Rejected(msgspec.Struct, frozen=True, array_like=True, tag="rejected"):
    """The source or the parameters are not accepted."""

    id: int
    problems: Annotated[tuple[Problem, ...], msgspec.Meta(min_length=1, max_length=50)]
    cpu_us: Count = 0


class Done(msgspec.Struct, frozen=True, array_like=True, tag="done"):
    """All inputs (`count` of them) were handled, or those up to the first that led to a command.

    `excess`: commands beyond MOST_ORDERS of an input; they were not sent, and the strategy was told so.
    """

    id: int
    count: Count
    signals: tuple[WireSignal, ...] = ()
    logs: Annotated[tuple[LogLine, ...], msgspec.Meta(max_length=1000)] = ()
    metrics: Annotated[tuple[Metric, ...], msgspec.Meta(max_length=200)] = ()
    cpu_us: Count = 0
    cut: Count = 0
    """Log text that was cut, in bytes."""
    orders: tuple[WireCommand, ...] = ()
    excess: Count = 0


class Failed(msgspec.Struct, frozen=True, array_like=True, tag="failed"):
    """User code raised. Inputs before the `count`-th (from 0) were handled, and led to `signals` and `orders`; this one
    was not."""

    id: int
    count: Count
    error: ShortText
    message: Text
    line: Count = 0
    memory: bool = False
    """True: it was MemoryError."""
    signals: tuple[WireSignal, ...] = ()
    logs: Annotated[tuple[LogLine, ...], msgspec.Meta(max_length=1000)] = ()
    metrics: Annotated[tuple[Metric, ...], msgspec.Meta(max_length=200)] = ()
    cpu_us: Count = 0
    cut: Count = 0
    orders: tuple[WireCommand, ...] = ()
    excess: Count = 0


class Saved(msgspec.Struct, frozen=True, array_like=True, tag="saved"):
    """The strategy's state; None: it keeps none."""

    id: int
    state: Annotated[bytes, msgspec.Meta(max_length=MOST_STATE)] | None
    cpu_us: Count = 0


Reply = Ready | Rejected | Done | Failed | Saved

REPLY: Final = msgspec.msgpack.Decoder(Reply)
REQUEST: Final = msgspec.msgpack.Decoder(Request)


def most_reply(request: Request) -> int:
    """How long the reply to a request may be, in bytes."""
    if isinstance(request, Run):
        return MOST_REPLY + REPLY_PER_INPUT * len(request.inputs)
    if isinstance(request, Save):
        return MOST_REPLY + MOST_STATE
    return MOST_REPLY
