"""Downloads from stand-ins of the venues: every page, nothing twice, faults in between, killed and gone on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet
import pytest
import trio

from actors.market.history import Manifest, Span
from actors.market.history_client import TRIES, HistoryClient, rest_of
from actors.market.history_download import MOST_TRADES, Download, Progress, cut
from actors.market.history_files import History, HistoryError, manifests, part_name, span_of
from actors.market.rest_client import CallFailed
from actors.market.session_core import Credentials
from actors.market.venue_rest import HistoryKind, HistoryPage
from protocols.market import Trade
from protocols.venues.errors import VenueError
from tests.actors.market import history_stand_ins as venues
from tests.actors.market.history_stand_ins import NANO, Truth
from tests.actors.market.rest_stand_in import LeapingClock, RestStandIn, rest_stand_in

REPOSITORY = Path(__file__).resolve().parents[3]


def seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


START = seconds("2024-01-30T14:30")
# A hole of seven minutes, and borders of days, months and pages all over the span.
MINUTES = [START + 60 * n for n in range(2600) if not 100 <= n < 107]
SESSION = [START + 60 * n for n in range(390) if not 100 <= n < 107]
WANTED = Span(START * NANO, (START + 2600 * 60) * NANO)
NOW = seconds("2024-03-01T00:00") * NANO


class Case(NamedTuple):
    """A venue, a market of it, its stand-in, and how many rows of how many holes there are."""

    venue: str
    market: str
    answering: Callable[[Truth], Any]
    minutes: Sequence[int]
    holes: int
    base: str = ""


CASES = [
    Case("binance", "BTCUSDT.BINANCE", venues.binance, MINUTES, 7),
    Case("binance-usdm", "BTCUSDT.BINANCE-USDM", venues.binance, MINUTES, 7),
    Case("coinbase", "BTC-USD.COINBASE", venues.coinbase, MINUTES, 0),
    Case("kraken", "BTC-USD.KRAKEN", venues.kraken, MINUTES[-700:], 0),
    Case("kalshi", "KX-1", venues.kalshi, MINUTES, 0, "/trade-api/v2"),
    Case("massive", "AAPL.MASSIVE", venues.massive, SESSION, 1),
    Case("alphavantage", "IBM.ALPHAVANTAGE", venues.alphavantage, SESSION, 1),
]


async def download(
    case: Case,
    stand_in: RestStandIn,
    root: Path,
    wanted: Span = WANTED,
    clock: LeapingClock | None = None,
    kind: HistoryKind = "bars",
    told: Callable[[Progress], object] = lambda progress: None,
    most_trades: int = MOST_TRADES,
) -> Manifest:
    key = Credentials("", b"KEY") if case.venue in ("massive", "alphavantage") else None
    history = History(root, case.venue, case.market, kind, "1m")
    async with HistoryClient(rest_of(case.venue, key), stand_in.url + case.base, clock or LeapingClock(NOW)) as client:
        return await Download(client, history, told, most_trades).run(wanted)


def rows(root: Path, case: Case, kind: HistoryKind = "bars") -> list[dict[str, Any]]:
    """All rows of all parts, in the order of the parts."""
    history = History(root, case.venue, case.market, kind, "1m")
    parts = history.manifest().parts
    return [row for part in parts for row in pyarrow.parquet.read_table(history.folder / part.file).to_pylist()]


def files(root: Path, ending: str = "") -> list[Path]:
    return [path for path in root.rglob(f"*{ending}") if path.is_file()]


def starts(root: Path, case: Case) -> list[int]:
    return [row["start"].value // NANO for row in rows(root, case)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.venue)
async def test_a_download_has_every_bar_once_through_all_pages_and_faults(case: Case, tmp_path: Path) -> None:
    clock = LeapingClock(NOW)
    with rest_stand_in(case.answering(Truth(case.minutes))) as stand_in:
        stand_in.faults = [(429, {"retry-after": "3"}, {}), (500, {}, b"oops")]
        manifest = await download(case, stand_in, tmp_path, clock=clock)
    assert starts(tmp_path, case) == list(case.minutes)
    assert sum(hole.missing for hole in manifest.holes()) == case.holes
    assert manifest.missing(WANTED) == []
    assert 3.0 in clock.slept
    first = rows(tmp_path, case)[0]
    assert first["open"] == first["close"] == (100 + (case.minutes[0] // 60) % 900) * NANO + NANO // 4
    assert (first["venue"], first["market"], first["source"]) == (case.venue, case.market, "venue")
    assert str(first["volume"]).rstrip("0") in (venues.volume(case.minutes[0]), "7.")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.venue)
async def test_what_is_there_is_not_asked_for_again_and_more_is_added_to_it(case: Case, tmp_path: Path) -> None:
    middle = (WANTED.start + WANTED.end) // 2 // (60 * NANO) * 60 * NANO
    with rest_stand_in(case.answering(Truth(case.minutes))) as stand_in:
        await download(case, stand_in, tmp_path, Span(middle, WANTED.end))
        asked = len(stand_in.asked)
        await download(case, stand_in, tmp_path, Span(middle, WANTED.end))
        assert len(stand_in.asked) == asked
        await download(case, stand_in, tmp_path)
    assert starts(tmp_path, case) == list(case.minutes)


@pytest.mark.parametrize("case", CASES[:3], ids=lambda case: case.venue)
async def test_a_download_that_was_stopped_goes_on_at_the_page_where_it_was(case: Case, tmp_path: Path) -> None:
    with rest_stand_in(case.answering(Truth(case.minutes))) as stand_in:
        whole = 0

        def stop_after_two_pages(progress: Progress) -> None:
            if progress.calls == 2:
                scope.cancel()

        with trio.CancelScope() as scope:
            await download(case, stand_in, tmp_path, told=stop_after_two_pages)
        assert scope.cancelled_caught
        stand_in.asked.clear()
        await download(case, stand_in, tmp_path)
        resumed = len(stand_in.asked)
        stand_in.asked.clear()
        await download(case, stand_in, tmp_path / "whole")
        whole = len(stand_in.asked)
    assert resumed == whole - 2
    assert starts(tmp_path, case) == list(case.minutes)
    assert files(tmp_path, ".pages") == []


async def test_a_page_that_was_cut_off_by_a_crash_is_asked_for_again(tmp_path: Path) -> None:
    case = CASES[0]
    history = History(tmp_path, case.venue, case.market, "bars", "1m")
    with rest_stand_in(case.answering(Truth(case.minutes))) as stand_in:
        with trio.CancelScope() as scope:
            await download(case, stand_in, tmp_path, told=lambda progress: progress.calls == 2 and scope.cancel())
        (pages,) = history.folder.glob("*.pages")
        pages.write_bytes(pages.read_bytes()[:-100])
        await download(case, stand_in, tmp_path)
    assert starts(tmp_path, case) == list(case.minutes)


async def test_a_place_that_the_venue_knows_no_more_makes_the_part_begin_anew(tmp_path: Path) -> None:
    case = CASES[0]
    with rest_stand_in(case.answering(Truth(case.minutes))) as stand_in:
        with trio.CancelScope() as scope:
            await download(case, stand_in, tmp_path, told=lambda progress: progress.calls == 1 and scope.cancel())
        stand_in.faults = [(400, {}, {"code": -1100, "msg": "Illegal cursor."})]
        await download(case, stand_in, tmp_path)
    assert starts(tmp_path, case) == list(case.minutes)


LONG = [START + 60 * n for n in range(6000) if n % 1300 != 7]
ALL_OF_IT = Span(START * NANO, (START + 6000 * 60) * NANO)
KILLED = """
import sys, trio
from pathlib import Path
from tests.actors.market.test_history_download import ALL_OF_IT, CASES, RestStandIn, download

class Stand(RestStandIn):
    def __init__(self, url): self.url = url

def told(progress):
    print(progress.calls, flush=True)

trio.run(lambda: download(CASES[0], Stand(sys.argv[1]), Path(sys.argv[2]), ALL_OF_IT, told=told))
print("done", flush=True)
"""


@pytest.mark.long
def test_a_download_that_is_killed_at_any_page_leaves_nothing_half_and_goes_on(tmp_path: Path) -> None:
    case = CASES[0]
    kills = 0
    with rest_stand_in(venues.binance(Truth(LONG))) as stand_in:
        for _ in range(40):
            process = subprocess.Popen(
                [sys.executable, "-c", KILLED, stand_in.url, str(tmp_path)],
                cwd=REPOSITORY,
                stdout=subprocess.PIPE,
                text=True,
            )
            assert process.stdout is not None
            seen: list[str] = []
            for line in process.stdout:
                seen.append(line.strip())
                # The second page is asked for, or written, or on its way when this comes.
                if len(seen) == 3 and line.strip() != "done":
                    os.kill(process.pid, signal.SIGKILL)
                    kills += 1
                    break
            process.stdout.close()
            process.wait(timeout=30)
            # Whatever is there is whole.
            for folder, manifest in manifests(tmp_path):
                assert all((folder / part.file).exists() for part in manifest.parts)
            if seen[-1:] == ["done"]:
                break
    assert kills >= 2
    assert starts(tmp_path, case) == LONG
    ((_, manifest),) = manifests(tmp_path)
    assert sum(hole.missing for hole in manifest.holes()) == 6000 - len(LONG)


TRADES = [(START + n * 1.5, n) for n in range(1, 3001)]
TRADE_CASES = [CASES[0], CASES[2], CASES[3], CASES[4]]


@pytest.mark.parametrize("most", [MOST_TRADES, 700])
@pytest.mark.parametrize("case", TRADE_CASES, ids=lambda case: case.venue)
async def test_trades_come_once_whichever_way_a_venue_pages(case: Case, most: int, tmp_path: Path) -> None:
    wanted = Span(START * NANO, (START + 4000) * NANO)
    with rest_stand_in(case.answering(Truth((), TRADES))) as stand_in:
        manifest = await download(case, stand_in, tmp_path, wanted, kind="trades", most_trades=most)
    expected = [round(at * 1000) for at, _ in TRADES if at < START + 4000]
    assert [row["ts_event"].value // 1_000_000 for row in rows(tmp_path, case, "trades")] == expected
    assert manifest.missing(wanted) == []
    assert manifest.holes() == ()


async def test_a_number_that_is_missing_among_trades_is_a_hole(tmp_path: Path) -> None:
    case = CASES[0]
    wanted = Span(START * NANO, (START + 1000) * NANO)
    truth = Truth((), [trade for trade in TRADES if trade[1] not in (50, 51)])
    with rest_stand_in(case.answering(truth)) as stand_in:
        manifest = await download(case, stand_in, tmp_path, wanted, kind="trades")
    (hole,) = manifest.holes()
    assert (hole.missing, hole.start) == (2, round((START + 49 * 1.5) * NANO))


async def test_an_error_that_does_not_pass_ends_it_and_keeps_what_came(tmp_path: Path) -> None:
    case = CASES[0]
    with rest_stand_in(case.answering(Truth(case.minutes))) as stand_in:
        wrong = case._replace(market="NOPE.BINANCE")
        with pytest.raises(VenueError, match="Invalid symbol"):
            await download(wrong, stand_in, tmp_path)
        assert len(stand_in.asked) == 1
        stand_in.faults = [(500, {}, b"")] * TRIES
        with pytest.raises(VenueError):
            await download(case, stand_in, tmp_path)
        assert len(stand_in.asked) == 1 + TRIES


async def test_a_venue_that_does_not_answer_is_tried_a_few_times(tmp_path: Path) -> None:
    clock = LeapingClock(NOW)
    with rest_stand_in(lambda path, query: (200, [])) as stand_in:
        pass
    with pytest.raises(CallFailed):
        await download(CASES[0], stand_in, tmp_path, clock=clock)
    assert len(clock.slept) == TRIES - 1


async def test_calls_keep_the_pace_that_the_venue_allows(tmp_path: Path) -> None:
    case = CASES[5]  # five calls a minute
    clock = LeapingClock(NOW)
    with rest_stand_in(venues.massive(Truth(SESSION), most=40)) as stand_in:
        await download(case, stand_in, tmp_path, clock=clock)
        calls = len(stand_in.asked)
    assert starts(tmp_path, case) == SESSION
    assert sum(clock.slept) == pytest.approx((calls - 5) * 12.0)


async def test_a_missing_key_is_said_before_any_call(tmp_path: Path) -> None:
    with rest_stand_in(venues.massive(Truth(SESSION))) as stand_in:
        history = History(tmp_path, "massive", "AAPL.MASSIVE", "bars", "1m")
        async with HistoryClient(rest_of("massive"), stand_in.url, LeapingClock(NOW)) as client:
            with pytest.raises(ValueError, match="key"):
                await Download(client, history).run(WANTED)
    assert stand_in.asked == []


async def test_keys_go_where_the_venue_wants_them_and_into_no_file(tmp_path: Path) -> None:
    for case in CASES[5:]:
        with rest_stand_in(case.answering(Truth(case.minutes))) as stand_in:
            with trio.CancelScope() as scope:
                await download(case, stand_in, tmp_path, told=lambda progress: progress.calls and scope.cancel())
            await download(case, stand_in, tmp_path)
            in_query = stand_in.asked[0][1].get("apikey") == "KEY"
            in_header = stand_in.headers.get("authorization") == "Bearer KEY"
            assert in_query != in_header
    assert not [path for path in files(tmp_path) if b"KEY" in path.read_bytes()]


async def test_a_bar_that_is_open_is_left_for_later(tmp_path: Path) -> None:
    case = CASES[0]
    clock = LeapingClock((MINUTES[50] + 30) * NANO)
    with rest_stand_in(case.answering(Truth(MINUTES))) as stand_in:
        await download(case, stand_in, tmp_path, clock=clock)
        assert starts(tmp_path, case) == MINUTES[:50]
        await download(case, stand_in, tmp_path)
    assert starts(tmp_path, case) == MINUTES


async def test_two_downloads_do_not_write_to_one_folder(tmp_path: Path) -> None:
    case = CASES[0]
    with (
        rest_stand_in(case.answering(Truth(MINUTES))) as stand_in,
        History(tmp_path, case.venue, case.market, "bars", "1m").locked(),
        pytest.raises(HistoryError, match="another download"),
    ):
        await download(case, stand_in, tmp_path)


def test_a_damaged_manifest_is_said(tmp_path: Path) -> None:
    history = History(tmp_path, "binance", "M", "bars", "1m")
    history.folder.mkdir(parents=True)
    (history.folder / "manifest.json").write_text(json.dumps({"venue": 3}))
    with pytest.raises(HistoryError, match="damaged"):
        history.manifest()


def test_names_of_parts_say_their_spans() -> None:
    for span in (Span(0, NANO), Span(START * NANO, START * NANO + 1)):
        assert span_of(part_name(span)) == span
    assert span_of("manifest") is None


def page(*times: int) -> HistoryPage:
    return HistoryPage(
        trades=tuple(
            Trade(market="M", price=1, size=1, taker=None, trade_id=str(at), session="", seq=0, ts_event=at, ts_recv=0)
            for at in times
        )
    )


def test_what_pages_cover_for_certain_leaves_the_last_moment_to_the_rest() -> None:
    span = Span(0, 100)
    assert cut(span, [page(1, 5), page(5, 9)]) == (Span(0, 9), Span(9, 100))
    assert cut(span, [page(90, 95), page(80, 90)]) == (Span(81, 100), Span(0, 81))
    assert cut(span, [page(1, 50), page(20, 60)]) is None
    assert cut(span, [page(1, 50)]) is None
    assert cut(span, [page(), page()]) is None
