"""Formats of others: what a line means, how a format is found out, and what is no recording."""

from __future__ import annotations

import base64
import gzip
import json
import os
from pathlib import Path

import pytest
import zstandard

from actors.market.importers import sequences
from actors.market.importers.dbn import is_dbn
from actors.market.importers.opening import open_recording, recorded_markets
from actors.market.recordings.entries import (
    READ_FAULTS,
    Answer,
    Begin,
    Entry,
    Received,
    Recording,
    RecordingError,
    RecordingHeader,
    Sent,
)
from actors.market.recordings.recording_file import write_recording
from protocols.nanos import NANO

SNAPSHOT = b'{"type":"orderbook_snapshot","sid":1,"seq":2,"msg":{"market_ticker":"%b"}}'
DELTA = b'{"type":"orderbook_delta","sid":1,"seq":3,"msg":{"market_ticker":"B","ts_ms":%d}}'
OK = b'{"type":"ok","id":6,"sid":1,"seq":1,"msg":[]}'
DEPTH = b'{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":3,"u":4%b,"b":[],"a":[]}}'
TRADE = b'{"stream":"btcusdt@trade","data":{"e":"trade","E":1,"s":"BTCUSDT","t":1,"p":"1","q":"1","T":1,"m":true}}'
ANSWER = b'{"lastUpdateId":3,"bids":[],"asks":[]}'
T = 1_723_161_253_937_085_768


def written(path: Path, lines: list[bytes]) -> Path:
    raw = b"\n".join(lines) + b"\n"
    if path.suffix == ".gz":
        raw = gzip.compress(raw)
    elif path.suffix == ".zst":
        raw = zstandard.ZstdCompressor().compress(raw)
    path.write_bytes(raw)
    return path


def entries(path: Path, **options: str | bool) -> list[Entry]:
    return list(open_recording(path, **options))  # type: ignore[arg-type]


def exhaust(recording: Recording) -> None:
    while recording.take(1000):
        pass


# -- Kalshi --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz", "jsonl.zst"])
def test_bare_frames_take_the_running_maximum_of_the_venues_times(tmp_path: Path, suffix: str) -> None:
    frames = [OK, SNAPSHOT % b"B", DELTA % 7000, DELTA % 6000, b"", DELTA % 8000]
    recording = open_recording(written(tmp_path / f"raw.{suffix}", frames))
    assert (recording.format, recording.header.venue) == ("kalshi-lines", "kalshi")
    first, *received = recording
    assert first == Begin(7 * NANO, "recording")
    # The undated ones at the front were received with the first dated one, as far as anyone can tell.
    assert [entry.ts // NANO for entry in received] == [7, 7, 7, 7, 8]
    assert [entry.raw for entry in received if isinstance(entry, Received)] == [frame for frame in frames if frame]


def test_frames_without_any_time_are_played_at_the_epoch(tmp_path: Path) -> None:
    assert entries(written(tmp_path / "raw.jsonl", [OK])) == [Begin(0, "recording"), Received(0, OK)]


def test_receive_times_may_be_rfc_3339_and_never_go_back(tmp_path: Path) -> None:
    lines = [
        b'{"recv":"2025-11-04T02:52:44.583891+00:00","frame":{"type":"ok"}}',
        b'{"recv":"2025-11-04T02:52:43+00:00","frame":{"type":"ok", "id": 1}}',
    ]
    begin, first, second = entries(written(tmp_path / "recv.jsonl", lines))
    assert begin.ts == first.ts == second.ts == 1762224764583891000
    assert second == Received(second.ts, b'{"type":"ok", "id": 1}')


def test_the_scale_of_no_prices_is_the_openers_to_say(tmp_path: Path) -> None:
    path = written(tmp_path / "raw.jsonl", [OK])
    assert not open_recording(path).header.options.use_yes_price
    assert open_recording(path, use_yes_price=True).header.options.use_yes_price


@pytest.mark.parametrize("line", [b"not json", b'{"recv":5}', b'{"recv":"yesterday","frame":{}}'])
def test_a_line_that_is_none_is_an_error_that_names_it(tmp_path: Path, line: bytes) -> None:
    recording = open_recording(written(tmp_path / "raw.jsonl", [DELTA % 1, line]))
    assert len(recording.take(10)) == 2
    with pytest.raises(RecordingError, match=r"raw\.jsonl, line 2: "):
        recording.take(10)


# -- hftbacktest ---------------------------------------------------------------------------------------------------


def hft(path: Path, *frames: bytes, step: int = 1000) -> Path:
    return written(path, [b"%d %b" % (T + number * step, frame) for number, frame in enumerate(frames)])


@pytest.mark.parametrize(
    ("field", "venue", "market"),
    [
        (b"", "binance", "BTCUSDT.BINANCE"),
        (b',"pu":2', "binance-usdm", "BTCUSDT.BINANCE-USDM"),
        (b',"pu":2,"ps":"BTCUSD"', "binance-coinm", "BTCUSDT.BINANCE-COINM"),
    ],
)
def test_the_frames_tell_the_venue_and_a_snapshot_is_the_answer_to_a_call(
    tmp_path: Path, field: bytes, venue: str, market: str
) -> None:
    depth = DEPTH % field
    path = hft(tmp_path / "b.txt.gz", TRADE, depth, ANSWER)
    recording = open_recording(path)
    assert (recording.format, recording.header.venue) == ("hftbacktest", venue)
    begin, trade, update, answer = recording
    assert begin == Begin(T, "recording")
    assert (trade, update) == (Received(T, TRADE), Received(T + 1000, depth))
    assert isinstance(answer, Answer)
    assert (answer.call.purpose, answer.call.market, answer.status, answer.body) == ("depth", market, 200, ANSWER)
    assert dict(answer.call.query)["symbol"] == "BTCUSDT"


def test_times_that_go_back_are_held(tmp_path: Path) -> None:
    assert [entry.ts - T for entry in entries(hft(tmp_path / "b.txt", DEPTH % b"", TRADE, step=-5))] == [0, 0, 0]


def test_a_venue_that_the_frames_do_not_tell_can_be_named(tmp_path: Path) -> None:
    path = hft(tmp_path / "b.txt", TRADE)
    with pytest.raises(RecordingError, match="do not tell the venue"):
        open_recording(path)
    assert open_recording(path, venue="binance").header.venue == "binance"


def test_an_answer_that_nothing_explains_is_an_error(tmp_path: Path) -> None:
    path = hft(tmp_path / "b.txt", ANSWER, DEPTH % b"")
    with pytest.raises(RecordingError, match="line 1: neither a frame"):
        entries(path)


# -- cryptofeed ----------------------------------------------------------------------------------------------------


def feed(path: Path, exchange: str, *records: dict[str, object]) -> Path:
    lines: list[dict[str, object]] = [{"t": "header", "exchange": exchange}, *records]
    return written(path, [json.dumps(line).encode() for line in lines])


def test_connections_are_merged_by_time_and_kept_apart_by_number(tmp_path: Path) -> None:
    path = feed(
        tmp_path / "x.jsonl.zst",
        "BYBIT",
        {"t": "http", "conn": "X.http", "ts": 10.5, "url": "https://x/y?a=b", "data": "{}"},
        {"t": "connect", "conn": "X.1", "ts": 11.000000001, "addr": "wss://x"},
        {"t": "send", "conn": "X.1", "ts": 11.1, "addr": "wss://x", "data": "s1"},
        {"t": "recv", "conn": "X.1", "ts": 14, "data": "r1 ü"},
        {"t": "connect", "conn": "X.2", "ts": 11.5, "addr": "wss://x"},
        {"t": "recv", "conn": "X.2", "ts": 13, "b64": base64.b64encode(b"\x00\xff").decode()},
    )
    found = entries(path)
    assert [entry.ts for entry in found] == sorted(entry.ts for entry in found)
    begin, answer, sent, second, binary, text = found
    # The answer was there before the connection that it belongs to.
    assert (begin, second) == (Begin(10_500_000_000, "X.1"), Begin(11_500_000_000, "X.2", (), 1))
    assert isinstance(answer, Answer)
    assert (answer.call.purpose, answer.call.target) == ("", "/y?a=b")
    assert sent == Sent(11_100_000_000, b"s1")
    assert binary == Received(13 * NANO, b"\x00\xff", 1)
    assert text == Received(14 * NANO, "r1 ü".encode())


def test_a_depth_answer_is_known_by_its_address(tmp_path: Path) -> None:
    url = "https://fapi.binance.com/fapi/v1/depth?symbol=AKROUSDT&limit=1000"
    path = feed(tmp_path / "x.jsonl", "BINANCE_FUTURES", {"t": "http", "conn": "h", "ts": 1, "url": url, "data": "{}"})
    recording = open_recording(path)
    assert recording.header.venue == "binance-usdm"
    _, answer = recording
    assert isinstance(answer, Answer)
    assert (answer.call.purpose, answer.call.market) == ("depth", "AKROUSDT.BINANCE-USDM")


def test_a_record_of_an_unknown_kind_is_an_error_that_names_the_line(tmp_path: Path) -> None:
    path = feed(tmp_path / "x.jsonl", "GATEIO", {"t": "recv", "conn": "w", "ts": 1, "data": ""}, {"t": "odd", "ts": 1})
    with pytest.raises(RecordingError, match="line 3: a record of the unknown kind 'odd'"):
        entries(path)


# -- any -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("raw", [b"", b"a,b,c\n1,2,3\n", b'{"no":"type"}\n', b"12 {}\n"])
def test_what_is_no_known_format_says_which_ones_are(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "odd").write_bytes(raw)
    with pytest.raises(RecordingError, match="no recording of a known format"):
        open_recording(tmp_path / "odd")


@pytest.mark.parametrize("name", ["torn.jsonl.gz", "torn.jsonl.zst"])
def test_a_torn_file_gives_what_it_has_and_then_says_so(tmp_path: Path, name: str) -> None:
    # Lines that do not compress, and one length for all, so that the cut may fall between two of them.
    lines = [b'{"type":"ok","id":%d,"msg":"%b"}' % (number, os.urandom(30).hex().encode()) for number in range(20_000)]
    path = written(tmp_path / name, lines)
    raw = path.read_bytes()
    for part in range(1, 6):
        path.write_bytes(raw[: len(raw) * part // 6])
        recording = open_recording(path)
        with pytest.raises(READ_FAULTS):
            exhaust(recording)


def test_frames_of_zstd_one_behind_the_other_are_one_file(tmp_path: Path) -> None:
    path = tmp_path / "two.jsonl.zst"
    path.write_bytes(b"".join(zstandard.ZstdCompressor().compress(line + b"\n") for line in (DELTA % 1, DELTA % 2)))
    assert len(entries(path)) == 3


def test_the_markets_are_those_of_the_header_or_of_all_books(tmp_path: Path) -> None:
    raw = written(tmp_path / "raw.jsonl", [SNAPSHOT % b"B", SNAPSHOT.replace(b":2,", b":3,") % b"A"])
    assert recorded_markets(raw) == ("A", "B")
    ours = tmp_path / "ours.trec"
    write_recording(ours, RecordingHeader(venue="kalshi", markets=("Z", "Y")), [])
    assert recorded_markets(ours) == ("Y", "Z")


def test_a_dbn_file_is_known_by_its_beginning(tmp_path: Path) -> None:
    (tmp_path / "a.dbn").write_bytes(b"DBN\x03")
    (tmp_path / "b.dbn").write_bytes(b"no")
    (tmp_path / "c.txt").write_bytes(b"DBN\x03")
    assert [is_dbn(tmp_path / name) for name in ("a.dbn", "b.dbn", "c.txt")] == [True, False, False]
    assert not is_dbn(tmp_path)


# -- sequences -----------------------------------------------------------------------------------------------------


def bybit(u: int, kind: str = "delta") -> bytes:
    return json.dumps({"topic": "orderbook.200.BTCUSDT", "type": kind, "data": {"u": u}}).encode()


def test_bybit_counts_by_one_and_a_snapshot_or_a_restart_begins_anew() -> None:
    frames = [bybit(7, "snapshot"), bybit(8), bybit(9), bybit(11), bybit(12), bybit(1), bybit(2), bybit(50, "snapshot")]
    checked = sequences.check(sequences.bybit, [(0, frame) for frame in frames])
    assert (checked.frames, checked.followed, checked.gaps) == (8, 4, 1)
    assert checked.kinds == {"orderbook delta": 6, "orderbook snapshot": 2}


def test_the_same_topic_on_two_connections_is_two_chains() -> None:
    frames = [(0, bybit(7)), (1, bybit(90)), (0, bybit(8)), (1, bybit(91))]
    assert sequences.check(sequences.bybit, frames).gaps == 0


def test_deribit_names_the_change_before() -> None:
    def book(change: int, before: int | None) -> tuple[int, bytes]:
        data = {"type": "snapshot" if before is None else "change", "change_id": change, "prev_change_id": before}
        return 0, json.dumps({"method": "subscription", "params": {"channel": "book.X.raw", "data": data}}).encode()

    checked = sequences.check(sequences.deribit, [book(5, None), book(9, 5), book(12, 9), book(20, 13), book(21, 20)])
    assert (checked.followed, checked.gaps) == (3, 1)


def test_gateio_begins_where_the_last_update_ended() -> None:
    def update(first: int, last: int) -> tuple[int, bytes]:
        result = {"s": "A_B", "U": first, "u": last}
        return 0, json.dumps({"channel": "spot.order_book_update", "event": "update", "result": result}).encode()

    checked = sequences.check(sequences.gateio, [update(1, 5), update(6, 6), update(8, 9), update(10, 10)])
    assert (checked.followed, checked.gaps) == (2, 1)


def test_what_is_no_frame_is_counted() -> None:
    checked = sequences.check(sequences.unnumbered, [(0, b"{"), (0, b'{"event":"data"}'), (0, b'{"ty":"trade"}')])
    assert (checked.unreadable, checked.frames, checked.kinds) == (1, 3, {"data": 1, "trade": 1})
