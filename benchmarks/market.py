"""Market data: from the bytes of a venue's frames to books with a best bid and ask, on one core, beside the peers.

All sides get the same recorded frames, in a process of their own, and must end with the same best prices. A frame is
decoded, checked against the venue's sequence rule, applied, and the best bid and ask are known after each one.

The peers want other versions of our libraries, so they live in an environment of their own (`peers`), which is made at
the first use; one that is not there is said to be so.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.harness import (
    TROUPE,
    ChildFailed,
    Findings,
    Row,
    Sample,
    Scale,
    Target,
    at_least,
    at_most,
    cores,
    in_turns,
    measured,
    times_at_least,
)
from benchmarks.market_frames import BINANCE, KALSHI, frames_of, levels_in, troupe
from benchmarks.peers import ask, ensure, python

TITLE = "Market data: from frames to books"
PEERS: Final[dict[str, tuple[tuple[str, Target | None], ...]]] = {
    KALSHI: (("nautilus_trader", None), ("cryptofeed", times_at_least(1))),
    BINANCE: (("nautilus_trader", None), ("cryptofeed", times_at_least(1)), ("hftbacktest", times_at_least(1))),
}
WIDE_LEVELS: Final = 46_000
BOOKS: Final = 1_000
LEVELS: Final = 94
# Prices of floats that stand on the same tick.
_SAME: Final = 1e-6

Best = dict[str, tuple[float | None, float | None]]


class Answer(msgspec.Struct, frozen=True):
    """What a peer found."""

    rate: float = msgspec.field(name="frames/s")
    best: Best
    version: str


def ask_peer(peer: str, venue: str, frames: Path, seconds: float, cpu: str) -> Answer:
    """Let a peer play the frames. Raises ChildFailed with the last line of what it said."""
    found = ask("market_peers", peer, venue, str(frames), str(seconds), cpu, cwd=frames.parent)
    return msgspec.convert(found, Answer)


def play_peer(peer: str, venue: str, frames: Path, seconds: float, cpu: str, expected: Best) -> Sample:
    """Frames a second of a peer. Raises ChildFailed where its books end elsewhere."""
    answer = ask_peer(peer, venue, frames, seconds, cpu)
    if differing := different(expected, answer.best):
        raise ChildFailed(f"{peer} ends with other best prices: {differing}")
    return {"frames/s": answer.rate}


def different(ours: Best, theirs: Best) -> str:
    """The first market whose best prices differ; empty if none does."""
    for market, pair in ours.items():
        for mine, other in zip(pair, theirs.get(market, (None, None)), strict=True):
            if (mine is None) != (other is None) or (
                mine is not None and other is not None and abs(mine - other) > _SAME
            ):
                return f"{market}: {pair} here, {theirs.get(market)} there"
    return ""


def run(scale: Scale) -> Findings:
    """Both recordings, then the wide snapshot and what books take."""
    core, _ = cores()
    rows: list[Row] = []
    notes: list[str] = [failed] if (failed := ensure()) else []
    with tempfile.TemporaryDirectory() as folder:
        for venue in (KALSHI, BINANCE):
            found, told = _venue(venue, Path(folder), core, scale)
            rows += found
            notes += told
    wide = in_turns(
        {TROUPE: lambda: measured("benchmarks.market_frames:wide_snapshot", core, levels=WIDE_LEVELS)}, scale
    )[TROUPE]
    taken = measured("benchmarks.market_frames:memory", core, books=BOOKS, levels=LEVELS)
    rows += [
        Row(f"packed snapshot of {WIDE_LEVELS:,} levels to its quote", "ms", wide["snapshot ms"], target=at_most(4)),
        Row("first look into one of its sides", "ms", wide["side ms"], target=at_most(4)),
        Row(f"a book of {LEVELS} levels, one of {BOOKS:,}", "bytes", (taken["bytes"],)),
    ]
    return Findings(tuple(rows), tuple(notes))


def _venue(venue: str, folder: Path, core: str, scale: Scale) -> tuple[list[Row], list[str]]:
    frames = frames_of(venue)
    file = folder / f"{venue}.frames"
    file.write_bytes(b"\n".join(frames) + b"\n")
    _, expected = troupe(venue, frames)
    sides: dict[str, Callable[[], Sample]] = {
        TROUPE: lambda: measured("benchmarks.market_frames:play", core, venue=venue, seconds=scale.seconds)
    }
    names: dict[str, str] = {}
    notes = [
        f"{venue}: {len(frames):,} frames, {levels_in(venue, frames):.1f} level changes each; every round begins with "
        "new books, every side ends with the same best prices."
    ]
    for peer, _ in PEERS[venue]:
        try:
            names[peer] = f"{peer} {ask_peer(peer, venue, file, 0, core).version}"
        except ChildFailed as error:
            notes.append(f"{venue}: {peer} could not be run ({error}); {python()} is the Python of its environment.")
        else:
            sides[peer] = partial(play_peer, peer, venue, file, scale.seconds, core, expected)
    rates = {side: figures["frames/s"] for side, figures in in_turns(sides, scale).items()}
    figure = f"{venue}: bytes to best bid and ask"
    rows = [Row(figure, "frames/s", rates[TROUPE], target=at_least(400_000) if venue == KALSHI else None)]
    for peer, target in PEERS[venue]:
        if peer in rates:
            rows.append(Row(figure, "frames/s", rates[TROUPE], names[peer], rates[peer], target))
    return rows, notes
