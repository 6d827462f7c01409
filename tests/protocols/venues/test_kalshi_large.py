"""Large snapshots of Kalshi, packed in another process, say what the codec says."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from protocols.market import level_changes, unpack_levels
from protocols.venues import kalshi
from protocols.venues.errors import WireError
from protocols.venues.kalshi import SnapshotBody, SnapshotFrame
from protocols.venues.kalshi_large import decode_no_price, decode_yes_price, read_packed
from protocols.venues.kalshi_messages import Codec


def frame(levels: int, size: str = "2.50") -> bytes:
    body = SnapshotBody(
        market_ticker="T",
        market_id="synthetic-1",
        yes_dollars_fp=tuple((f"0.{1 + at:04d}", size) for at in range(levels)),
        no_dollars_fp=tuple((f"0.{1 + at:04d}", f"{at}.00") for at in range(levels)),
    )
    return kalshi.encode(SnapshotFrame(id=3, sid=4, seq=5, msg=body))


def pairs(packed: bytes) -> list[tuple[int, int]]:
    return list(zip(*unpack_levels(packed), strict=True))


@pytest.mark.parametrize(("decode", "yes_price"), [(decode_yes_price, True), (decode_no_price, False)])
def test_a_packed_snapshot_is_the_codecs_best_first(decode: Callable[[bytes], bytes], yes_price: bool) -> None:
    raw = frame(4_000)
    packed = read_packed(decode(raw))
    assert (packed.id, packed.sid, packed.seq, packed.market_ticker, packed.market_id, packed.fault, packed.raw) == (
        3, 4, 5, "T", "synthetic-1", "", b"",
    )  # fmt: skip
    decoded = kalshi.decode(raw)
    assert isinstance(decoded, SnapshotFrame)
    expected = list(level_changes(Codec().snapshot(decoded, "", 0, (), yes_price)))
    bids = sorted(((each.price, each.size) for each in expected if each.side == "bid"), reverse=True)
    asks = sorted((each.price, each.size) for each in expected if each.side == "ask")
    assert len(asks) == 3_999, "a textual zero is no level"
    assert (pairs(packed.bids), pairs(packed.asks)) == (bids, asks)


def test_a_number_that_is_none_is_a_fault_of_this_market() -> None:
    packed = read_packed(decode_yes_price(frame(2, "x")))
    assert (packed.market_ticker, packed.seq, packed.bids, packed.asks) == ("T", 5, b"", b"")
    assert "'x'" in packed.fault


def test_any_other_frame_comes_back_as_it_was() -> None:
    raw = b'{"type":"ok","id":1,"sid":2,"seq":3,"msg":{}}'
    assert read_packed(decode_no_price(raw)).raw == raw
    with pytest.raises(WireError):
        decode_no_price(b"{")
