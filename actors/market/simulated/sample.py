"""Makes the short session that the repository carries: the simulated venue, recorded without a socket.

    python -m actors.market.simulated.sample config/recordings/simulated-session.trec

Time is counted and not read, so the same arguments make the same file.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from actors.market.recordings.entries import Begin, Entry, Received, RecordingHeader
from actors.market.recordings.recording_file import write_recording
from actors.market.simulated.desk import Desk, public_event
from actors.market.simulated.flow import OrderFlow, Regime
from protocols.market import SYNTHETIC
from protocols.nanos import NANO
from protocols.venues import kalshi, kalshi_commands

MARKETS = ("SIM-ALPHA", "SIM-BETA")
# 2026-01-05 14:30 UTC; any fixed time would do.
BEGIN = 1_767_623_400 * NANO
SCHEDULE = (
    Regime("calm", 500),
    Regime("trend_up", 400),
    Regime("volatile", 200),
    Regime("pause", 30),
    Regime("trend_down", 400),
    Regime("calm", 300),
)


def make_sample(path: Path, *, seed: int = 7, steps: int = 2_000, rate: float = 40.0) -> int:
    """Record `steps` steps of two markets, `rate` a second. Returns the number of frames."""
    flows = {market: OrderFlow(market, seed, schedule=SCHEDULE) for market in MARKETS}
    for flow in flows.values():
        # A book to begin with, as a client that comes later would find it.
        for _ in range(200):
            flow.step()
    header = RecordingHeader(
        venue="kalshi",
        feed="simulated",
        marks=(SYNTHETIC,),
        markets=MARKETS,
    )
    desk = Desk(flows)
    now = BEGIN
    entries: list[Entry] = [Begin(now, "simulated", (SYNTHETIC,))]
    subscriptions = (
        kalshi_commands.subscribe(1, kalshi.ORDERBOOK, MARKETS),
        kalshi_commands.subscribe(2, kalshi.TRADE, MARKETS),
        kalshi_commands.subscribe(3, kalshi.LIFECYCLE),
    )
    frames = [frame for command in subscriptions for frame in desk.command(command)]
    for step in range(steps):
        entries += [Received(now, frame) for frame in frames]
        # Uneven, so that a replay at recorded speed shows whether it keeps time.
        now += round(NANO / rate * (0.4 + 1.2 * ((step * 7919) % 101) / 100))
        market = MARKETS[step % len(MARKETS)]
        # Received a little after it was sent.
        sent = now - 350_000
        frames = [frame for event in flows[market].step() for frame in desk.publish(public_event(market, event, sent))]
    entries += [Received(now, frame) for frame in frames]
    # One and the same file, whatever was there.
    path.unlink(missing_ok=True)
    write_recording(path, header, entries, level=19)
    return len(entries) - 1


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line: where to, and optionally seed, steps and rate."""
    parser = argparse.ArgumentParser(prog="python -m actors.market.simulated.sample", description=__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--steps", type=int, default=2_000)
    parser.add_argument("--rate", type=float, default=40.0)
    options = parser.parse_args(arguments)
    count = make_sample(options.path, seed=options.seed, steps=options.steps, rate=options.rate)
    print(f"{options.path}: {count} synthetic frames")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
