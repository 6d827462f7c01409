"""The ordinary strategies in really locked workers."""

from __future__ import annotations

import msgspec
import pytest

from actors.strategies.sandbox import wire
from actors.strategies.sandbox.zygote import Limits, Zygote
from tests.actors.strategies.sandbox.serving import load
from tests.actors.strategies.sandbox.test_inside_ordinary import MARKETS, STRATEGIES, in_parts, inputs, plainly

LIMITS = Limits(memory_mb=128)
WITHIN_S = 30.0


@pytest.mark.long
async def test_all_ordinary_strategies_give_the_same_signals_in_a_locked_worker() -> None:
    given = inputs()
    zygote = await Zygote.start()
    try:
        for path in STRATEGIES:
            source = path.read_text()
            worker = await zygote.create(path.stem, LIMITS)
            try:
                ready = await worker.call(load(source, markets=MARKETS), WITHIN_S)
                assert isinstance(ready, wire.Ready), (path.stem, ready)
                found: list[wire.WireSignal] = []
                for at, request in enumerate(in_parts(2, given, 100)):
                    done = await worker.call(request, WITHIN_S)
                    assert isinstance(done, wire.Done), (path.stem, done)
                    found += [msgspec.structs.replace(each, index=each.index + at * 100) for each in done.signals]
                assert found == plainly(source, given), path.stem
                assert isinstance(await worker.call(wire.Save(3), WITHIN_S), wire.Saved), path.stem
            finally:
                await worker.close()
    finally:
        await zygote.close()
