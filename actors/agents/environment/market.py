"""Simulated bars with planted regimes: the traders of the simulated venue, looked at every few turns. A core.

Prices, spreads and volumes are what the traders of `actors.market.simulated.flow` do to one another; the regime that
holds is the label of the bar. All of it is made up, and marked `synthetic`.

The hidden value is a probability, so its log-odds must not run into the ends where nobody can trade: a trend begins
on the other side of even odds, and a track is no longer than it takes to cross them. Where a mixed track begins is
drawn. The features that are made of the bars are relative, so they do not tell where a track stands.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final, Literal, get_args

import msgspec

from actors.agents.environment.tracks import Track
from actors.decisions.features.names import REGIMES
from actors.market.simulated.flow import OrderFlow, Regime, RegimeName, Traded
from protocols.instruments import Instrument, PriceRange
from protocols.market import SYNTHETIC, Bar, Quote
from protocols.nanos import NANO, decimal_text

Scenario = Literal["mixed", "bull", "bear", "sideways", "high_volatility"]
SCENARIOS: Final[tuple[Scenario, ...]] = get_args(Scenario)
"""What is planted: all four in turn, or mostly one of them."""
PLANTED: Final[dict[str, RegimeName]] = {
    "bull": "trend_up",
    "bear": "trend_down",
    "sideways": "calm",
    "high_volatility": "volatile",
}
"""What the venue calls the regimes."""
_LABELS: Final = {PLANTED[name]: place for place, name in enumerate(REGIMES)}

MARKET: Final = "SIM-TRAIN"
HOUR: Final = 3600 * NANO
"""A bar is said to last an hour, so that a day (`change_percent`) is 24 of them and a track has one to look back on."""
BEGIN: Final = 1_704_067_200 * NANO
"""2024-01-01 00:00 UTC; any fixed time would do."""
TICK: Final = NANO // 1000
TURNS: Final = 4
"""Turns of traders in one bar: a trend then moves the log-odds by 0.012 a bar, 0.6 % of a price at even odds."""
SETTLING: Final = 400
"""Turns before the first bar, calm, so that there is a book."""
SHORTEST, LONGEST = 40, 110
"""Bars for which a regime holds."""
INTERLUDE: Final = 20
"""The longest time, in bars, for which another regime holds in a track that is mostly one."""
_STARTS: Final[dict[str, tuple[float, float]]] = {
    "mixed": (0.35, 0.65),
    "bull": (0.10, 0.20),
    "bear": (0.80, 0.90),
    "sideways": (0.35, 0.65),
    "high_volatility": (0.35, 0.65),
}


class SimulatedBars(msgspec.Struct, frozen=True, kw_only=True):
    """What a simulated track is: the same settings and the same seed make the same one.

    `fee`: of a taker, as a share of the value (decimal text).
    """

    scenario: Scenario = "mixed"
    bars: int = 256
    turns: int = TURNS
    fee: str = "0.001"

    def __post_init__(self) -> None:
        if self.scenario not in SCENARIOS:
            raise ValueError(f"scenario: expected one of {', '.join(SCENARIOS)}, got {self.scenario!r}")
        if self.bars < 2:
            raise ValueError(f"bars: expected 2 or more, got {self.bars}")
        if self.turns < 1:
            raise ValueError(f"turns: expected 1 or more, got {self.turns}")


def simulated_track(settings: SimulatedBars, seed: int) -> Track:
    """One made-up track. Each bar has `turns` quotes, the last at its end; a side may be empty, as it was."""
    chance = random.Random(f"{settings.scenario}/{seed}")  # noqa: S311 - repeatable on purpose
    value = chance.uniform(*_STARTS[settings.scenario])
    regimes = planted(settings.scenario, settings.bars, chance)
    schedule = [Regime("calm", SETTLING), *(Regime(name, bars * settings.turns) for name, bars in regimes)]
    flow = OrderFlow(MARKET, seed, value=value, tick=TICK, schedule=schedule)
    for _ in range(SETTLING):
        flow.step()
    camera = _Camera(flow, seed)
    bars, quotes, labels = [], [], []
    for number in range(settings.bars):
        bar, seen = camera.bar(number, settings.turns)
        bars.append(bar)
        quotes.append(seen)
        labels.append(_LABELS[flow.regime])
    return Track(
        name=f"{settings.scenario}-{seed}",
        instrument=instrument(settings.fee),
        bars=tuple(bars),
        quotes=tuple(quotes),
        regimes=tuple(labels),
        marks=(SYNTHETIC,),
    )


def planted(scenario: Scenario, bars: int, chance: random.Random) -> list[tuple[RegimeName, int]]:
    """Which regime holds for how many bars, `bars` in all or more: a little more, since the last one may be cut off.

    In a track that is mostly one regime, that one holds for four bars of five or more; short interludes of the others
    come in between, as a filter that guesses the regime is sometimes late.
    """
    found: list[tuple[RegimeName, int]] = []
    total = 0
    while total < bars:
        if scenario == "mixed":
            others = [name for name in REGIMES if not found or PLANTED[name] != found[-1][0]]
            part = [(PLANTED[chance.choice(others)], chance.randint(SHORTEST, LONGEST))]
        else:
            other = chance.choice([name for name in REGIMES if name != scenario])
            part = [
                (PLANTED[scenario], chance.randint(2 * SHORTEST, LONGEST)),
                (PLANTED[other], chance.randint(INTERLUDE // 4, INTERLUDE)),
            ]
        found += part
        total += sum(length for _, length in part)
    return found


def simulated_tracks(settings: SimulatedBars, seeds: Sequence[int]) -> list[Track]:
    """One track for each seed."""
    return [simulated_track(settings, seed) for seed in seeds]


def instrument(fee: str) -> Instrument:
    """What is traded on a simulated track: shares of 0.01 in steps of 0.001, paid in full."""
    return Instrument(
        market=MARKET,
        symbol=MARKET,
        venue="simulated",
        kind="equity",
        currency="USD",
        price_ranges=(PriceRange(0, NANO, TICK),),
        lot=NANO // 100,
        maker_fee=fee,
        taker_fee=fee,
        status="open",
        source="simulated",
        marks=(SYNTHETIC,),
    )


class _Camera:
    """Takes bars of a flow: prices half way between the best ones, volumes of what was traded."""

    def __init__(self, flow: OrderFlow, seed: int) -> None:
        self._flow = flow
        self._session = f"simulated/{seed}"
        self._seq = 0
        self._middle = round(flow.value * NANO)

    def bar(self, number: int, turns: int) -> tuple[Bar, tuple[Quote, ...]]:
        """The next bar, and the quotes in it."""
        start = BEGIN + number * HOUR
        opened = high = low = self._middle
        volume = trades = 0
        quotes = []
        for turn in range(1, turns + 1):
            for event in self._flow.step():
                if type(event) is Traded:
                    volume += event.size
                    trades += 1
            quote = self._quote(start + turn * HOUR // turns)
            quotes.append(quote)
            if quote.bid is not None and quote.ask is not None:
                self._middle = (quote.bid + quote.ask) // 2
            high, low = max(high, self._middle), min(low, self._middle)
        end = start + HOUR
        bar = Bar(
            market=MARKET,
            interval="1h",
            start=start,
            end=end,
            open=opened,
            high=high,
            low=low,
            close=self._middle,
            volume=decimal_text(volume),
            trades=trades,
            vwap=None,
            source="quotes",
            ts_recv=end,
            marks=(SYNTHETIC,),
        )
        return bar, tuple(quotes)

    def _quote(self, ts: int) -> Quote:
        self._seq += 1
        view = self._flow.engine.view(1)
        bid, ask = next(iter(view.bids), None), next(iter(view.asks), None)
        return Quote(
            market=MARKET,
            bid=None if bid is None else bid.price,
            bid_size=0 if bid is None else bid.size,
            ask=None if ask is None else ask.price,
            ask_size=0 if ask is None else ask.size,
            session=self._session,
            seq=self._seq,
            ts_event=ts,
            ts_recv=ts,
            marks=(SYNTHETIC,),
        )
