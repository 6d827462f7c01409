"""How wrong the simulated venue is: real orders played again against a recording of their market, model by model.

Real orders are lines of JSON, one for each order that was at a venue; prices and sizes are decimal text, times
nanoseconds since 1970 or ISO 8601:

    {"client_order_id": "7", "market": "BTCUSDT", "side": "buy", "kind": "limit", "size": "0.5", "price": "60000",
     "ts": "2024-08-08T12:00:00.25Z", "cancel_ts": null,
     "fills": [{"ts": 1723118401000000000, "price": "60000", "size": "0.5", "liquidity": "maker"}]}

`ts` is when the order left, by the clock of the recording. The order log of an account says the same. What the real
order itself did to the book is in the recording, too: a large order finds its own size ahead of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, median
from typing import Final, Literal, get_args

import msgspec

from actors.execution.matching.settings import FeeSettings, FillSettings, LatencySettings, QueueName
from actors.execution.matching.venue import SimulatedVenue
from actors.research.analysis.costs import BPS
from actors.research.analysis.order_log import OrderStory
from actors.research.backtest.sources import Batch
from actors.strategies.bar_files import BarFileError, nanos_of
from protocols.instruments import Instrument
from protocols.market import BookUpdate, Quote
from protocols.nanos import exact_nanos
from protocols.orders import Liquidity, NewOrder, Side, TimeInForce, VenueCancelled, VenueFilled, VenueRejected

QUEUES: Final[tuple[QueueName, ...]] = get_args(QueueName)
FEW: Final = 30
"""Orders below which which model fits best is chance."""
FREE: Final = FeeSettings(model="none")


class RealOrdersError(ValueError):
    """A line that is no real order: which one, what was expected, what came."""


class _Fill(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    ts: int | str
    price: str
    size: str
    liquidity: Liquidity = "maker"


class _Line(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    client_order_id: str
    market: str
    side: Side
    kind: Literal["market", "limit", "stop", "stop_limit"]
    size: str
    ts: int | str
    price: str | None = None
    stop_price: str | None = None
    cancel_ts: int | str | None = None
    time_in_force: TimeInForce = "GTC"
    post_only: bool = False
    fills: tuple[_Fill, ...] = ()


class Trade(msgspec.Struct, frozen=True):
    """A part that was traded."""

    ts: int
    price: int
    size: int


class RealOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order that was at a venue, and what became of it. Times in ns, prices and sizes in nanos."""

    order: NewOrder
    ts: int
    cancel_ts: int | None = None
    fills: tuple[Trade, ...] = ()


class ModelError(msgspec.Struct, frozen=True, kw_only=True):
    """How one queue model did. Positive: the simulation filled more, later, or at a price that is worse for the owner.

    `real_ratio`, `model_ratio`: the part of each order that was filled, on average; `ratio_error`: their difference,
    `ratio_apart`: the mean of its absolute value, order by order. Times in ns from when the order left to its first
    fill, prices in basis points: of orders that both have filled (`both`); None: there is none.
    `wrongly_filled`, `wrongly_open`: orders that only the simulation, or only the venue has filled.
    """

    model: str
    orders: int
    both: int
    wrongly_filled: int
    wrongly_open: int
    rejected: int
    real_ratio: float
    model_ratio: float
    ratio_error: float
    ratio_apart: float
    time_error: float | None
    time_apart: float | None
    price_error: float | None
    price_apart: float | None


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """All models over the same orders, the best first. `outside`: orders that the recording does not cover."""

    models: tuple[ModelError, ...]
    outside: int
    warnings: tuple[str, ...]

    @property
    def best(self) -> str | None:
        """The model whose fills are nearest; None: nothing could be compared, or it makes no difference."""
        others = self.models[1:]
        if not self.models or (others and all(_score(each) == _score(self.models[0]) for each in others)):
            return None
        return self.models[0].model


def read_real_orders(lines: Iterable[bytes]) -> list[RealOrder]:
    """Real orders out of lines of JSON. Raises RealOrdersError with the line."""
    found = []
    seen: set[str] = set()
    for number, text in enumerate(lines, 1):
        if not text.strip():
            continue
        try:
            line = msgspec.json.decode(text, type=_Line)
            found.append(_real(line))
        except (msgspec.DecodeError, ValueError) as error:
            raise RealOrdersError(f"line {number}: {error}") from None
        if line.client_order_id in seen:
            raise RealOrdersError(f"line {number}: client_order_id: {line.client_order_id} is there twice")
        seen.add(line.client_order_id)
    return found


def _real(line: _Line) -> RealOrder:
    order = NewOrder(
        client_order_id=line.client_order_id,
        market=line.market,
        side=line.side,
        kind=line.kind,
        size=_nanos("size", line.size),
        price=None if line.price is None else _nanos("price", line.price),
        stop_price=None if line.stop_price is None else _nanos("stop_price", line.stop_price),
        time_in_force=line.time_in_force,
        post_only=line.post_only,
        source="external",
    )
    if order.size <= 0:
        raise ValueError(f"size: expected above 0, got {line.size!r}")
    return RealOrder(
        order=order,
        ts=_moment("ts", line.ts),
        cancel_ts=None if line.cancel_ts is None else _moment("cancel_ts", line.cancel_ts),
        fills=tuple(
            Trade(_moment("fills.ts", each.ts), _nanos("fills.price", each.price), _nanos("fills.size", each.size))
            for each in line.fills
        ),
    )


def _nanos(field: str, text: str) -> int:
    try:
        return exact_nanos(text)
    except ValueError as error:
        raise ValueError(f"{field}: expected decimal text, {error}") from None


def _moment(field: str, value: int | str) -> int:
    if isinstance(value, int):
        return value
    try:
        return nanos_of(value)
    except BarFileError:
        raise ValueError(f"{field}: expected nanoseconds or a time, got {value[:50]!r}") from None


def of_stories(stories: Iterable[OrderStory]) -> list[RealOrder]:
    """The orders of an order log that came to a venue as they are; those that waited with us are left out."""
    found = []
    for story in stories:
        sent = story.at("submitted")
        order = story.asked
        if sent is None or story.state in ("denied", "rejected") or order.parent or order.kind == "trailing_stop":
            continue
        found.append(
            RealOrder(
                order=msgspec.structs.replace(order, oco="", reduce_only=False, marks=()),
                ts=sent,
                cancel_ts=story.at("pending_cancel") or story.at("cancelled"),
                fills=tuple(Trade(fill.ts_event or fill.ts, fill.price, fill.size) for fill in story.fills),
            )
        )
    return found


# -- played again ----------------------------------------------------------------------------------------------------


def calibrate(
    orders: Sequence[RealOrder],
    batches: Iterable[Batch],
    instruments: Mapping[str, Instrument],
    *,
    queues: Sequence[QueueName] = QUEUES,
    latency: LatencySettings | None = None,
    seed: int = 0,
    exponent: float = 3.0,
) -> Calibration:
    """Every order again, against every queue model, in one pass over the recording. Fees play no part.

    Raises SourceError where the data cannot be read.
    """
    latency = latency or LatencySettings()
    venues = {
        name: SimulatedVenue(FillSettings(queue=name, queue_exponent=exponent, latency=latency, fees=FREE), seed=seed)
        for name in queues
    }
    for venue in venues.values():
        for instrument in instruments.values():
            venue.define(instrument)
    commands = sorted(
        [(each.ts, 0, each) for each in orders]
        + [(each.cancel_ts, 1, each) for each in orders if each.cancel_ts is not None],
        key=lambda command: command[:2],
    )
    first, last = play(commands, batches, tuple(venues.values()))
    covered = [each for each in orders if first is not None and first <= each.ts <= last]
    models = sorted((_error(name, covered, taken(venue)) for name, venue in venues.items()), key=_score)
    return Calibration(
        models=tuple(models) if covered else (),
        outside=len(orders) - len(covered),
        warnings=_warnings(covered, len(orders), last),
    )


def play(
    commands: Sequence[tuple[int, int, RealOrder]], batches: Iterable[Batch], venues: Sequence[SimulatedVenue]
) -> tuple[int | None, int]:
    """Hand orders (0) and cancels (1) at their times, and the data, to venues; the first and last time of the data.

    What would have left before the first is left out.
    """
    first: int | None = None
    last = place = 0
    books: set[str] = set()
    """Markets with a book of their own: quotes beside it are made of it."""
    for batch in batches:
        for ts, message in zip(batch.ts, batch.messages, strict=True):
            if first is None:
                first = ts
                while place < len(commands) and commands[place][0] < ts:
                    place += 1
            while place < len(commands) and commands[place][0] < ts:
                _command(commands[place], venues)
                place += 1
            last = ts
            if isinstance(message, BookUpdate):
                books.add(message.market)
            elif isinstance(message, Quote) and message.market in books:
                continue
            for venue in venues:
                venue.market(message, ts)
    while place < len(commands) and commands[place][0] <= last:
        _command(commands[place], venues)
        place += 1
    for venue in venues:
        venue.advance(last)
    return first, last


def _command(command: tuple[int, int, RealOrder], venues: Sequence[SimulatedVenue]) -> None:
    ts, kind, real = command
    for venue in venues:
        if kind:
            venue.cancel(real.order.client_order_id, ts)
        else:
            venue.submit(real.order, ts)


class Played(msgspec.Struct):
    """What a simulated venue made of an order."""

    fills: list[Trade] = []
    rejected: bool = False


def taken(venue: SimulatedVenue) -> dict[str, Played]:
    """What it says of each order."""
    found: dict[str, Played] = {}
    for said in venue.take(2**63 - 1):
        played = found.setdefault(said.client_order_id, Played())
        if isinstance(said, VenueFilled):
            played.fills.append(Trade(said.ts, said.price, said.size))
        elif isinstance(said, VenueRejected) or (isinstance(said, VenueCancelled) and said.code == "post_only"):
            played.rejected = True
    return found


def _error(name: str, orders: Sequence[RealOrder], played: Mapping[str, Played]) -> ModelError:
    real_shares, shares, times, prices = [], [], [], []
    wrong = missed = rejected = 0
    for real in orders:
        again = played.get(real.order.client_order_id, Played())
        real_shares.append(_part(real.order, real.fills))
        shares.append(_part(real.order, again.fills))
        rejected += again.rejected
        wrong += bool(again.fills) and not real.fills
        missed += bool(real.fills) and not again.fills
        if real.fills and again.fills:
            times.append(float(again.fills[0].ts - real.fills[0].ts))
            sign = 1 if real.order.side == "buy" else -1
            theirs, ours = _average(again.fills), _average(real.fills)
            prices.append(BPS * sign * (theirs - ours) / abs(ours) if ours else 0.0)
    apart = [share - own for share, own in zip(shares, real_shares, strict=True)]
    return ModelError(
        model=name,
        orders=len(orders),
        both=len(times),
        wrongly_filled=wrong,
        wrongly_open=missed,
        rejected=rejected,
        real_ratio=fmean(real_shares) if orders else 0.0,
        model_ratio=fmean(shares) if orders else 0.0,
        ratio_error=fmean(apart) if orders else 0.0,
        ratio_apart=fmean(map(abs, apart)) if orders else 0.0,
        time_error=median(times) if times else None,
        time_apart=fmean(map(abs, times)) if times else None,
        price_error=fmean(prices) if prices else None,
        price_apart=fmean(map(abs, prices)) if prices else None,
    )


def _part(order: NewOrder, fills: Sequence[Trade]) -> float:
    return min(1.0, sum(fill.size for fill in fills) / order.size)


def _average(fills: Sequence[Trade]) -> float:
    return sum(fill.price * fill.size for fill in fills) / sum(fill.size for fill in fills)


def _score(error: ModelError) -> tuple[float, float, float]:
    """What is filled counts first, then when, then for how much."""
    far = float("inf")
    return (
        error.ratio_apart,
        far if error.time_apart is None else error.time_apart,
        far if error.price_apart is None else error.price_apart,
    )


def _warnings(covered: Sequence[RealOrder], given: int, last: int) -> tuple[str, ...]:
    found = []
    if not covered:
        found.append(f"none of {given} orders lies in the time of the recording")
    elif len(covered) < FEW:
        found.append(f"{len(covered)} orders, fewer than {FEW}: which model fits best is chance to a large part")
    late = sum(any(fill.ts > last for fill in each.fills) for each in covered)
    if late:
        found.append(f"{late} orders were filled behind the end of the recording")
    return tuple(found)
