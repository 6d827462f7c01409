"""Whether a strategy sees what it cannot know: its orders up to a moment must not change with what comes after it.

The run over all data is compared with runs in which the data ends at that moment, and with runs in which the rows after
it are shuffled. A run that knows nothing of the future says the same up to there, and its order log is the same, byte
for byte.

What a strategy reads by itself (a file, a clock, a network) is no data of the run; a sandboxed one cannot.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

import msgspec
import numpy as np

from actors.research.backtest.opening import Opened
from actors.research.backtest.optimise import Tell
from actors.research.backtest.passes import LocalPasses
from actors.research.backtest.sources import Source, TableSource
from actors.research.backtest.spec import BacktestSpec, SpecError
from actors.research.datasets.table import Table

EARLIEST: Final = 0.2
LATEST: Final = 0.95
"""Between these shares of the span the moments are drawn."""
_TIMES: Final = ("ts", "ts_event", "ts_recv", "start", "end", "seq", "market")


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One comparison. `lines`: signals and order events before `ts` over all data. The first that differ are shown."""

    ts: int
    variant: Literal["cut", "shuffled"]
    lines: int
    equal: bool
    expected: str = ""
    got: str = ""


class LookAhead(msgspec.Struct, frozen=True, kw_only=True):
    """What was found. `caught`: what comes later changes what was done before. `empty`: nothing was done at all."""

    checks: tuple[Check, ...]
    seed: int

    @property
    def caught(self) -> bool:
        """Whether any comparison differs."""
        return any(not check.equal for check in self.checks)

    @property
    def empty(self) -> bool:
        """Whether there was nothing to compare."""
        return not any(check.lines for check in self.checks)


def look_ahead(
    spec: BacktestSpec, opened: Opened, passes: LocalPasses, *, moments: int = 5, tell: Tell | None = None
) -> LookAhead:
    """Compare at so many moments, drawn by the seed of the specification. Raises what runs raise."""
    if moments < 1:
        raise SpecError("moments", f"expected at least 1, got {moments}")
    spec = msgspec.structs.replace(spec, close_at_end=False)
    first, last = opened.span()
    draw = random.Random(spec.seed)  # noqa: S311 - a seed, not a secret
    chosen = sorted(int(first + (last - first) * draw.uniform(EARLIEST, LATEST)) for _ in range(moments))
    whole = _lines(passes, spec, opened.sources(spec.since, spec.until))
    checks: list[Check] = []
    for place, ts in enumerate(chosen):
        bound = _known_before(opened.sources(spec.since, spec.until, keep=False), ts)
        expected = _before(whole, ts, bound)
        cut = opened.sources(spec.since, ts, keep=False)
        checks.append(_check(ts, "cut", expected, _before(_lines(passes, spec, cut), ts, bound)))
        shuffled = _shuffled(opened.sources(spec.since, spec.until, keep=False), ts, spec.seed)
        if shuffled is not None:
            checks.append(_check(ts, "shuffled", expected, _before(_lines(passes, spec, shuffled), ts, bound)))
        if tell is not None:
            tell((place + 1) / moments, f"{place + 1} of {moments} moments")
    return LookAhead(checks=tuple(checks), seed=spec.seed)


def _known_before(sources: Sequence[Source], ts: int) -> int:
    """The last moment before `ts` at which something was known of every market: what was said then may wait for more
    (an order for the open of the next bar)."""
    found = [ts]
    for source in sources:
        if not isinstance(source, TableSource):
            continue
        times, markets = source.table.columns["ts"], source.table.columns["market"]
        for place in range(len(source.table.markets)):
            own = times[markets == place]
            before = own[own < ts]
            if len(before):
                found.append(int(before[-1]))
    return min(found)


class _Log(NamedTuple):
    said: list[bytes]
    orders: list[bytes]


def _lines(passes: LocalPasses, spec: BacktestSpec, sources: list[Source]) -> _Log:
    found = passes.over(spec, sources, keep_log=True)
    return _Log(found.said, found.log.lines)


def _before(log: _Log, ts: int, bound: int) -> list[bytes]:
    """All that was said before `ts`, and what became of it before `bound`."""
    return [line for line in log.said if _time(line) < ts] + [line for line in log.orders if _time(line) < bound]


def _check(ts: int, variant: Literal["cut", "shuffled"], expected: Sequence[bytes], got: Sequence[bytes]) -> Check:
    for place in range(max(len(expected), len(got))):
        own = expected[place] if place < len(expected) else b""
        other = got[place] if place < len(got) else b""
        if own != other:
            return Check(
                ts=ts,
                variant=variant,
                lines=len(expected),
                equal=False,
                expected=own.decode().strip(),
                got=other.decode().strip(),
            )
    return Check(ts=ts, variant=variant, lines=len(expected), equal=True)


class _Line(msgspec.Struct):
    ts: int


_DECODER: Final = msgspec.json.Decoder(_Line)


def _time(line: bytes) -> int:
    return _DECODER.decode(line).ts


def _shuffled(sources: Sequence[Source], ts: int, seed: int) -> list[Source] | None:
    """The same with the rows from `ts` on in another order under the same times; None where that makes no sense."""
    found: list[Source] = []
    for source in sources:
        if not isinstance(source, TableSource) or source.table.kind == "l2":
            return None
        found.append(TableSource(_with_shuffled_rows(source.table, ts, seed), session=source.session))
    return found


def _with_shuffled_rows(table: Table, ts: int, seed: int) -> Table:
    times = table.columns["ts"]
    begin = int(np.searchsorted(times, ts, "left"))
    order = np.arange(len(times))
    markets = table.columns["market"]
    draw = np.random.default_rng(seed)
    for market in np.unique(markets[begin:]):
        own = begin + np.flatnonzero(markets[begin:] == market)
        order[own] = draw.permutation(own)
    columns = {name: column if name in _TIMES else column[order] for name, column in table.columns.items()}
    rows = order if table.rows_of_source is None else table.rows_of_source[order]
    return msgspec.structs.replace(table, columns=columns, rows_of_source=rows)
