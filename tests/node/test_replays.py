"""Recorded sessions, flat out through a whole node: every frame accounted for, and the books are right."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from tests.actors.market.test_recordings import FILES, raw_frames, reconstructed
from tests.node.kit import NodeProcess, until

pytestmark = pytest.mark.recordings

CONFIGURATION = """\
[node]
name = "replayed"
data_dir = "data"

[edge]
port = 0

[[feeds]]
name = "session"
venue = "replay"
file = "{file}"
speed = 0

[[strategies]]
name = "every"
strategy = "tests.node.strategies:EveryQuote"
"""
WITH_REMOVALS = "kalshi-btcmaxy-20251104-0252.jsonl.gz"
NOTHING_OF = (
    "dropped while stale",
    "gaps",
    "frames lost",
    "snapshots asked",
    "resubscribed",
    "malformed",
    "number faults",
    "rows refused",
    "unreadable",
)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name == WITH_REMOVALS else pytest.mark.long, id=name.partition(".")[0])
        for name in FILES
    ],
)
async def test_every_frame_is_accounted_for_and_the_books_are_right(
    recordings: Path, prepared: Path, name: str
) -> None:
    frames = raw_frames(recordings / name)
    with NodeProcess(prepared, CONFIGURATION.format(file=recordings / name)) as node:
        await node.ready()

        async def ended() -> bool:
            return bool((await node.component("market"))["figures"]["session: state"] == "ended")

        await until(ended, "the end of the recording")
        market = await node.component("market")
        figures = {key.removeprefix("session: "): value for key, value in market["figures"].items()}
        assert market["status"] == "ok", market["detail"]
        assert figures["lines"] == figures["frames"] == len(frames)
        updates = [frame for frame in frames if frame["type"] in ("orderbook_snapshot", "orderbook_delta")]
        assert figures["updates"] == len(updates)
        assert {key: figures[key] for key in NOTHING_OF} == dict.fromkeys(NOTHING_OF, 0)
        assert figures["books stale"] == ""
        expected = reconstructed(frames)
        assert figures["books current"] == len(expected)
        for symbol, book in expected.items():
            body = await node.get(f"/api/v1/markets/{symbol}/book?depth=0")
            shown = tuple(
                {Decimal(level["price"]): Decimal(level["size"]) for level in body[side]} for side in ("bids", "asks")
            )
            assert shown == book
            assert body["stale"] == ""
            assert body["marks"] == ["delayed"]
            assert not body["bids"] or not body["asks"] or max(book[0]) < min(book[1])
        strategy = (await node.get("/api/strategies/every/status"))["figures"]
        assert strategy["quotes"] > 0
        assert (strategy["crossed"], strategy["negative"], strategy["stale"]) == (0, 0, 0)
        assert (await node.actor("/market/session/session"))["restarts"] == 0

        async def all_stored() -> bool:
            accepted = (await node.get("/api/strategies/every/status"))["figures"]["signals_accepted"]
            return len(await node.stored()) == accepted > 0

        await until(all_stored, "all signals in the database")
        assert await node.stop() == 0
