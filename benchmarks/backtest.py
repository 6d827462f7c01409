"""Backtests: events a second of one rule over the same data, beside NautilusTrader, backtesting.py and vectorbt.

Every side runs in a process of its own over arrays that were written before (`backtest_data`), and must come to the
same orders and to the same equity to the cent, so that nobody measures an idle loop. What is timed is the run over
messages that are there; with their making it is told beside it. The peers live in an environment of their own
(`peers`), which is made at the first use.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from benchmarks import peers
from benchmarks.backtest_data import AVERAGES, HALF, write
from benchmarks.harness import (
    TROUPE,
    ChildFailed,
    Findings,
    Row,
    Sample,
    Scale,
    cores,
    in_turns,
    measured,
    times_at_least,
)

TITLE = "Backtests: quotes, books, bars, a sweep"
SANDBOXED: Final = "Troupe, sandboxed"
EVENTS: Final = 600_000
BARS: Final = 200_000
BARS_OF_SWEEP: Final = 5_000
RUNS: Final = 1_000
QUANTITY: Final = 10
PERIODS: Final = {"quotes": (50, 200), "l2": (20, 60), "bars": AVERAGES}
SAME: Final = 0.005
"""Of a currency unit: what two equities may differ by."""

_PEERS: Final = ("nautilus_trader", "backtesting", "vectorbt")

Side = Callable[[], Sample]


def run(scale: Scale) -> Findings:
    """The streams, then the bars, then the sweep."""
    rows: list[Row] = []
    notes: list[str] = [failed] if (failed := peers.ensure()) else []
    with tempfile.TemporaryDirectory() as folder:
        for kind, title in (("quotes", "quotes"), ("l2", "changes of an L2 book")):
            rows += _stream(kind, title, write(kind, scale.count(EVENTS, 5_000), Path(folder)), scale, notes)
        rows += _bars("bars", 10, write("bars", scale.count(BARS, 4_000), Path(folder)), scale, notes)
        rows += _bars("bars of a random walk", 0, write("walk", scale.count(BARS, 4_000), Path(folder)), scale, notes)
        rows += _sweep(write("bars", BARS_OF_SWEEP, Path(folder)), scale, notes)
    named = [each.replace("==", " ") for each in peers.PACKAGES if each.split("=")[0] in _PEERS]
    return Findings(tuple(rows), (*notes, f"Peers: {', '.join(named)}."))


def pairs_of(count: int) -> list[tuple[int, int]]:
    """So many pairs of periods of averages: a grid of 25 fast ones by as many slow ones as it takes."""
    return [(5 + 2 * (at % 25), 60 + 5 * (at // 25)) for at in range(count)]


def ask_peer(what: str, data: Path, cpu: str, **parameters: Any) -> dict[str, Any]:
    """What a peer says of a run. Raises ChildFailed."""
    text = msgspec.json.encode(parameters).decode()
    found: dict[str, Any] = peers.ask("backtest_peers", what, str(data), text, cpu, cwd=data.parent)
    return found


def differing(ours: dict[str, Any], theirs: dict[str, Any]) -> str:
    """The first figure of the outcome that is another one; empty if none is."""
    for name in ("orders", "fills", "trades", "runs"):
        if name in ours and name in theirs and ours[name] != theirs[name]:
            return f"{name}: {ours[name]:g} here, {theirs[name]:g} there"
    if abs(ours["equity"] - theirs["equity"]) > SAME:
        return f"equity: {ours['equity']:.2f} here, {theirs['equity']:.2f} there"
    return ""


def rate_of(side: str, found: dict[str, Any], expected: dict[str, Any]) -> Sample:
    """The speeds of a run whose outcome is the expected one. Raises ChildFailed for another one."""
    if wrong := differing(expected, found):
        raise ChildFailed(f"{side} comes to something else: {wrong}")
    return {name: float(found[name]) for name in ("rate", "whole") if name in found}


def _with_peers(ours: dict[str, Side], expected: Sample, asked: dict[str, Side], notes: list[str]) -> dict[str, Side]:
    """All sides that can be measured; the others are told in the notes."""
    sides = dict(ours)
    for peer, side in asked.items():
        try:
            rate_of(peer, side(), expected)
        except ChildFailed as error:
            notes.append(f"{peer} is missing: {error}")
        else:
            sides[peer] = lambda peer=peer, side=side: rate_of(peer, side(), expected)  # type: ignore[misc]
    return sides


def _stream(kind: str, title: str, data: Path, scale: Scale, notes: list[str]) -> list[Row]:
    core, _ = cores()
    fast, slow = PERIODS[kind]
    about: dict[str, Any] = {"quantity": QUANTITY, "fast": fast, "slow": slow}

    def ours(cpu: str, sandboxed: bool = False) -> Sample:
        name = "benchmarks.backtest_troupe:stream"
        return measured(name, cpu, data=str(data), kind=kind, sandboxed=sandboxed, **about)

    expected = ours(core)
    nautilus = "nautilus_trader"
    sides = _with_peers(
        {
            TROUPE: lambda: rate_of(TROUPE, ours(core), expected),
            SANDBOXED: lambda: rate_of(SANDBOXED, ours("any", True), expected),
        },
        expected,
        {nautilus: lambda: ask_peer(f"nautilus_{kind}", data, core, **about)},
        notes,
    )
    found = in_turns(sides, scale)
    count = int(data.stem.rpartition("-")[2])
    notes.append(
        f"{title}: {count:,} events, {expected['orders']:.0f} orders (averages of {fast} and {slow}; they cross about "
        f"once in {HALF:,} events), final equity {expected['equity']:,.2f} on every side."
    )
    peer, values, whole = nautilus, found.get(nautilus, {}).get("rate", ()), found.get(nautilus, {}).get("whole", ())
    return [
        Row(f"{title}, trusted strategy", "events/s", found[TROUPE]["rate"], peer, values, times_at_least(4)),
        Row("  with the making of the messages", "events/s", found[TROUPE]["whole"], peer, whole),
        Row(f"{title}, sandboxed strategy", "events/s", found[SANDBOXED]["rate"], peer, values, times_at_least(1)),
    ]


def _bars(title: str, times: int, data: Path, scale: Scale, notes: list[str]) -> list[Row]:
    core, _ = cores()
    fast, slow = PERIODS["bars"]
    about: dict[str, Any] = {"quantity": QUANTITY, "fast": fast, "slow": slow}

    def ours() -> Sample:
        return measured("benchmarks.backtest_troupe:bars", core, data=str(data), **about)

    expected = ours()
    asked: dict[str, Side] = {
        "backtesting.py": lambda: ask_peer("backtesting_bars", data, core, **about),
        "vectorbt": lambda: ask_peer("vectorbt_bars", data, core, **about),
    }
    found = in_turns(_with_peers({TROUPE: lambda: rate_of(TROUPE, ours(), expected)}, expected, asked, notes), scale)
    notes.append(
        f"{title}: {int(data.stem.rpartition('-')[2]):,} of a minute, {expected['trades']:.0f} trades (averages of "
        f"{fast} and {slow}, long or short by turns, orders at the next open), statistics included, final equity "
        f"{expected['equity']:,.2f} on every side."
    )
    rate = found[TROUPE]["rate"]
    return [
        Row(f"{title}, one run", "bars/s", rate, peer, found[peer]["rate"], target)
        for peer, target in (("backtesting.py", times_at_least(times) if times else None), ("vectorbt", None))
        if peer in found
    ] or [Row(f"{title}, one run", "bars/s", rate)]


def _sweep(data: Path, scale: Scale, notes: list[str]) -> list[Row]:
    pairs = pairs_of(scale.count(RUNS, 8))
    about: dict[str, Any] = {"quantity": QUANTITY, "pairs": pairs}

    def ours() -> Sample:
        return measured("benchmarks.backtest_troupe:sweep", data=str(data), **about)

    expected = ours()
    asked: dict[str, Side] = {
        "backtesting.py": lambda: ask_peer("backtesting_sweep", data, "any", **about),
        "vectorbt": lambda: ask_peer("vectorbt_sweep", data, "any", **about),
    }
    sides = _with_peers({TROUPE: lambda: rate_of(TROUPE, ours(), expected)}, expected, asked, notes)
    found = in_turns(sides, msgspec.structs.replace(scale, repeats=min(scale.repeats, 3)))
    notes.append(
        f"sweep: {len(pairs):,} pairs of periods over {BARS_OF_SWEEP:,} bars. Troupe and backtesting.py in two "
        "processes on two cores, a whole run each; vectorbt in one, all pairs as columns of one array, which has no "
        "orders that wait for each other, no risk, no margin. The best final equity is the same on every side."
    )
    rate = found[TROUPE]["rate"]
    title = f"a sweep of {len(pairs):,} runs over two cores"
    return [
        Row(title, "runs/s", rate, peer, found[peer]["rate"])
        for peer in ("backtesting.py", "vectorbt")
        if peer in found
    ] or [Row(title, "runs/s", rate)]
