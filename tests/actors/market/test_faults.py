"""Every fault against every venue: no stale book is published as fresh, all recover alone, nothing counts twice.

How it is judged: `tests/actors/market/faulty.py`. Four feeds meet each fault side by side.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from protocols.control import Probe
from tests.actors.market.faulty import VENUES, Rig, rig

BINANCE = ("binance", "binance-usdm")
LONG = pytest.mark.long


async def figures(running: Rig, venue: str) -> dict[str, Any]:
    return dict((await running.node.ref(f"/market/{venue}/session").ask(Probe())).figures)


async def test_without_a_fault_every_quote_is_the_venues_own_and_nothing_is_lost(tmp_path: Path) -> None:
    async with rig(tmp_path) as running:
        await running.quotes()
        await running.end()
        assert all(set(running.reasons(venue)) == {"session_started"} for venue in VENUES)
        assert all(running.sessions[venue] == f"{venue}-1.1-1" for venue in VENUES)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        pytest.param("drop", {"count": 1}, marks=LONG),
        ("drop", {"count": 5}),
        pytest.param("duplicate", {"count": 5}, marks=LONG),
        ("reorder", {"count": 3}),
        ("garble", {"count": 1}),
    ],
    ids=lambda value: value if isinstance(value, str) else str(value["count"]),
)
async def test_frames_that_are(tmp_path: Path, kind: str, options: dict[str, Any]) -> None:
    async with rig(tmp_path) as running:
        assert running.inject(kind, **options) == len(VENUES)
        await running.spent()
        await running.quotes()
        await running.live()
        await running.end()
        if kind == "drop":
            for venue in ("kalshi", "coinbase"):
                assert (await figures(running, venue))["gaps"] > 0


@pytest.mark.long
async def test_answers_that_are_lost(tmp_path: Path) -> None:
    async with rig(tmp_path) as running:
        running.inject("close", code=1012)
        running.inject("drop", of="all", count=0, probability=0.3)
        await running.until("many hits", lambda: sum(each.hits for each in running.standin.faults) > 40)
        running.standin.clear()
        await running.live()
        await running.quotes()
        await running.end()


@pytest.mark.long
async def test_all_of_it_now_and_then(tmp_path: Path) -> None:
    async with rig(tmp_path) as running:
        for kind in ("drop", "duplicate", "reorder"):
            running.inject(kind, count=0, probability=0.02)
        await running.until("many hits", lambda: all(each.hits > 8 for each in running.standin.faults))
        running.standin.clear()
        await running.live()
        await running.quotes()
        await running.end()


@pytest.mark.long
async def test_a_silent_socket(tmp_path: Path) -> None:
    async with rig(tmp_path) as running:
        before = dict(running.sessions)
        running.inject("silence")
        await running.anew(before)
        await running.quotes()
        await running.end()


@pytest.mark.long
async def test_a_socket_that_is_silent_for_a_moment(tmp_path: Path) -> None:
    async with rig(tmp_path) as running:
        running.inject("silence", seconds=0.4)
        await running.quotes(12)
        await running.live()
        await running.end()


@pytest.mark.long
async def test_a_slow_socket(tmp_path: Path) -> None:
    async with rig(tmp_path) as running:
        running.inject("slow", rate=15_000)
        await running.quotes(3)
        running.standin.clear()
        await running.live()
        await running.quotes()
        await running.end()


@pytest.mark.long
async def test_a_client_that_is_too_slow_for_the_venue(tmp_path: Path) -> None:
    async with rig(tmp_path, backlog=60) as running:
        before = dict(running.sessions)
        running.inject("slow", rate=1_000)
        running.inject("burst", count=2_000)
        # Kalshi ends the subscriptions of such a client, the others its connection.
        await running.until("told", lambda: bool({"gap", "error 25"} & set(running.reasons("kalshi"))))
        await running.anew(before, "binance", "binance-usdm", "coinbase")
        running.standin.clear()
        await running.live()
        await running.quotes()
        await running.end()


@pytest.mark.parametrize(
    "code", [1006, 1012, *(pytest.param(code, marks=LONG) for code in (1000, 1001, 1008, 1011, 1013, 4000))]
)
async def test_a_connection_closed_with(tmp_path: Path, code: int) -> None:
    async with rig(tmp_path) as running:
        before = dict(running.sessions)
        assert running.inject("close", code=code) == len(VENUES)
        await running.anew(before)
        await running.quotes(5)
        await running.end()


@pytest.mark.parametrize(
    "options",
    [
        {"status": 401},
        {"status": 429, "retry_after": 0.3},
        *(pytest.param({"status": status}, marks=LONG) for status in (403, 418, 429, 500, 503)),
    ],
    ids=lambda each: "-".join(str(value) for value in each.values()),
)
async def test_handshakes_refused_with(tmp_path: Path, options: dict[str, Any]) -> None:
    async with rig(tmp_path) as running:
        for venue in VENUES:
            running.inject("http", venue=venue, on="handshakes", count=2, **options)
        before = dict(running.sessions)
        running.inject("close", code=1001)
        await running.spent()
        await running.anew(before)
        await running.quotes(5)
        await running.end()


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        pytest.param("http", {"status": 401}, marks=LONG),
        ("http", {"status": 503}),
        ("late", {"seconds": 0.2}),
        ("old_snapshot", {"seconds": 0.5}),
        pytest.param("late", {"seconds": 1.3}, marks=LONG),
        # Limits hold all calls back for a while.
        pytest.param("http", {"status": 429, "retry_after": 1.0, "count": 1}, marks=LONG),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(str(each) for each in value.values()),
)
async def test_snapshots_over_rest_that_are(tmp_path: Path, kind: str, options: dict[str, Any]) -> None:
    async with rig(tmp_path, *BINANCE) as running:
        more = {"on": "requests"} if kind == "http" else {}
        for venue in BINANCE:
            running.inject(kind, **{"venue": venue, "count": 2, **options, **more})
        # So many that depth is among them, whatever else there is.
        running.inject("drop", count=30)
        await running.spent()
        await running.live()
        await running.quotes()
        await running.end()


@pytest.mark.parametrize("seconds", [7.0, pytest.param(-7.0, marks=LONG)])
async def test_a_clock_that_is_wrong(tmp_path: Path, seconds: float) -> None:
    async with rig(tmp_path) as running:
        running.inject("clock", seconds=seconds)
        await running.quotes(5)
        # Signatures are judged by the venue's clock: Kalshi lets nobody in who has not learnt it.
        before = dict(running.sessions)
        running.inject("close", code=1001)
        await running.anew(before)
        await running.quotes(5)
        await running.end()
        offset = (await figures(running, "kalshi"))["clock offset s"]
        assert abs(offset - seconds) < 2


async def test_a_burst(tmp_path: Path) -> None:
    async with rig(tmp_path) as running:
        for venue in VENUES:
            running.inject("burst", venue=venue, count=2_000)
        await running.quotes()
        await running.live()
        await running.end()


@pytest.mark.parametrize("kind", ["channel_error", "overflow"])
async def test_an_error_that_ends_kalshis_subscriptions(tmp_path: Path, kind: str) -> None:
    async with rig(tmp_path, "kalshi") as running:
        await running.quotes()
        assert running.inject(kind) == 1
        code = "10" if kind == "channel_error" else "25"
        await running.until("told", lambda: f"error {code}" in running.reasons("kalshi"))
        await running.live()
        await running.quotes()
        await running.end()
        assert running.sessions["kalshi"] == "kalshi-1.1-1"


async def test_a_shutdown_that_binance_announces(tmp_path: Path) -> None:
    async with rig(tmp_path, *BINANCE) as running:
        before = dict(running.sessions)
        assert running.inject("shutdown", seconds=0.3) == len(BINANCE)
        await running.anew(before)
        await running.quotes()
        await running.end()
