"""Ordinary strategies run unchanged: with the language layer and without it they give the same signals."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from actors.strategies.sandbox import wire
from actors.strategies.sandbox.inside import program
from actors.strategies.sandbox.inside.journal import Journal
from tests.actors.strategies.sandbox.serving import Serving, bar, load

STRATEGIES = sorted((Path(__file__).parent / "ordinary").glob("*.py"))
MARKETS = (("BTCUSDT", "1m"), ("BTCUSDT", "5m"), ("ETHUSDT", "1m"))
BARS = 100


@pytest.fixture(scope="module")
def serving() -> Iterator[Serving]:
    serving = Serving()
    yield serving
    serving.close()


def walk(seed: int, count: int) -> list[float]:
    generator = random.Random(seed)
    price, found = 100.0, []
    for place in range(count):
        price += generator.gauss(0.0, 0.4) + 0.3 * math.sin(place / 5)
        found.append(round(price, 2))
    return found


def inputs() -> list[wire.Input]:
    """Two walks in bars of a minute and five, with quotes and trades between them."""
    found: list[wire.Input] = []
    btc, eth = walk(1, BARS), walk(2, BARS)
    for place in range(BARS):
        now = 60_000_000_000 * (place + 1)
        quoted = math.nan if place % 10 == 9 else btc[place] - 0.1
        found.append(wire.QuoteInput("BTCUSDT", quoted, 1.0, btc[place] + 0.1, 2.0, now - 5, now - 4))
        taker = "buy" if place % 3 else "sell"
        found.append(wire.TradeInput("BTCUSDT", btc[place], 1.0 + place % 4 * 0.6, taker, now - 3, now - 2))
        found.append(bar(place, btc[place]))
        found.append(bar(place, eth[place], "ETHUSDT"))
        if place % 5 == 4:
            found.append(bar(place // 5, btc[place], timeframe="5m", minutes=5))
            found.append(wire.TimerInput(now + 1))
    return found


def plainly(source: str, given: Sequence[wire.Input]) -> list[wire.WireSignal]:
    """The signals of a strategy as a trusted program: real modules, real builtins, in this process."""
    contract = program.built(load(source, markets=MARKETS), Journal(1 << 20), language_rules=False)
    found: list[wire.WireSignal] = []
    for index, each in enumerate(given):
        found += contract.handle(each, index)
    return found


def in_parts(request: int, given: Sequence[wire.Input], size: int) -> list[wire.Run]:
    return [wire.Run(request, tuple(given[at : at + size])) for at in range(0, len(given), size)]


def test_there_are_at_least_forty_of_them() -> None:
    assert len(STRATEGIES) >= 40


@pytest.mark.parametrize("path", STRATEGIES, ids=lambda path: path.stem)
def test_the_same_signals_with_the_language_layer_in_a_worker_as_without_it(path: Path, serving: Serving) -> None:
    source, given = path.read_text(), inputs()
    expected = plainly(source, given)
    assert expected, "a strategy that says nothing shows nothing"
    with serving.worker() as worker:
        ready = worker.call(load(source, markets=MARKETS))
        assert isinstance(ready, wire.Ready), ready
        found: list[wire.WireSignal] = []
        for at, request in enumerate(in_parts(2, given, 100)):
            done = worker.call(request)
            assert isinstance(done, wire.Done), done
            found += [msgspec.structs.replace(each, index=each.index + at * 100) for each in done.signals]
    assert found == expected


@pytest.mark.parametrize("name", ["counting_class", "sdk_rsi", "sdk_quotes_and_trades"])
def test_a_state_that_was_saved_goes_on_where_it_was(name: str, serving: Serving) -> None:
    source, given = (Path(__file__).parent / "ordinary" / f"{name}.py").read_text(), inputs()
    with serving.worker() as worker:
        worker.call(load(source, markets=MARKETS))
        worker.call(wire.Run(2, tuple(given[:101])))
        saved = worker.call(wire.Save(3))
        assert isinstance(saved, wire.Saved)
        assert saved.state
    with serving.worker() as worker:
        ready = worker.call(load(source, markets=MARKETS, state=saved.state))
        assert isinstance(ready, wire.Ready), ready
        again = worker.call(wire.Save(3))
        assert isinstance(again, wire.Saved)
        assert again.state == saved.state


@pytest.mark.parametrize("path", STRATEGIES, ids=lambda path: path.stem)
def test_single_inputs_and_batches_give_the_same_signals(path: Path, serving: Serving) -> None:
    source, given = path.read_text(), inputs()
    found: list[list[wire.WireSignal]] = []
    for size in (1, 256):
        with serving.worker() as worker:
            worker.call(load(source, markets=MARKETS))
            signals: list[wire.WireSignal] = []
            for request in in_parts(2, given, size):
                done = worker.call(request)
                assert isinstance(done, wire.Done), done
                signals += [msgspec.structs.replace(each, index=0) for each in done.signals]
            found.append(signals)
    assert found[0] == found[1]
