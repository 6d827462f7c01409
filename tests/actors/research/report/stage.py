"""A run whose every text is hostile, with all that a report can hold."""

from __future__ import annotations

from functools import cache

import msgspec
import numpy as np

from actors.research.report.page import Listing, Section, html
from actors.research.results import RunResult
from actors.research.statistics.comparison import compare
from actors.research.statistics.monte_carlo import Contract, run
from actors.research.statistics.selection import pbo
from actors.research.statistics.walk_forward import assess
from tests.actors.research.metrics.samples import random_run, trip
from tests.actors.research.statistics.test_walk_forward import outcome

HOSTILE = "</script><script>alert('x')</script><img src=x onerror=alert(1)>\"' onmouseover='x' $$\\evil$$ \u2028 ${x}"


def hostile_run(noise: int = 0) -> RunResult:
    trips = tuple(
        trip(float(10 - 3 * n), n, market=HOSTILE, exit_reason=HOSTILE, side="short" if n % 2 else "long")
        for n in range(8)
    )
    return random_run(
        noise,
        strategy=HOSTILE,
        family=HOSTILE,
        methodology=HOSTILE,
        data=(HOSTILE,),
        markets=(HOSTILE,),
        parameters={HOSTILE: HOSTILE},
        currency=HOSTILE,
        marks=("synthetic", HOSTILE),
        warnings=(HOSTILE,),
        seed=424242,
        round_trips=trips,
        run_id=f"{noise}{HOSTILE}",
    )


@cache
def hostile_page() -> str:
    first, second = hostile_run(1), hostile_run(2)
    outcomes = tuple(
        msgspec.structs.replace(outcome(number, 0.02), parameters={HOSTILE: HOSTILE}) for number in range(3)
    )
    section = Section(
        result=first,
        monte_carlo=run(first, simulations=20, contracts={HOSTILE: Contract(0.01)}),
        walk_forward=assess(outcomes, capital=100.0, periods=365),
        overfitting=pbo(np.random.default_rng(0).normal(size=(80, 6)), 4),
        listings=(Listing(title=HOSTILE, said=HOSTILE, head=(HOSTILE, "b"), rows=((HOSTILE, HOSTILE),)),),
    )
    return html([section, second], comparison=compare([first, second], simulations=20))
