"""Kalshi's order book snapshots of hundreds of kilobytes: from the frame to packed bytes.

Made to run in another process: bytes in, bytes out, nothing kept. A book has at most 10,000 prices a side (ticks of
$0.0001), which is half a megabyte. There are two functions, because the frame does not say on which scale its NO levels
stand: that was settled when it was subscribed (`use_yes_price`).
"""

from __future__ import annotations

import msgspec

from protocols.market import level_changes, pack_levels
from protocols.nanos import NumberFaults
from protocols.venues.kalshi import SnapshotFrame, decode
from protocols.venues.kalshi_messages import Codec


class PackedSnapshot(msgspec.Struct, gc=False, array_like=True):
    """A snapshot, or (`raw`) any other frame as it came.

    `bids`, `asks`: the YES book, little-endian int64 pairs of price and size in nanos, best first (`pack_levels`).
    `fault`: why it cannot be read. `truncated` and so on as in `NumberFaults`.
    """

    id: int = 0
    sid: int = 0
    seq: int | None = None
    market_ticker: str = ""
    market_id: str = ""
    bids: bytes = b""
    asks: bytes = b""
    fault: str = ""
    truncated: int = 0
    clamped: int = 0
    dropped: int = 0
    raw: bytes = b""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(PackedSnapshot)


def decode_yes_price(frame: bytes) -> bytes:
    """The frame, packed, as msgpack, where NO levels stand on the YES scale. Raises WireError for what is no frame."""
    return _packed(frame, yes_price=True)


def decode_no_price(frame: bytes) -> bytes:
    """The same, where NO levels stand on the scale of NO."""
    return _packed(frame, yes_price=False)


def read_packed(packed: bytes) -> PackedSnapshot:
    """What the functions above made. Raises msgspec.DecodeError."""
    return _decoder.decode(packed)


def _packed(frame: bytes, *, yes_price: bool) -> bytes:
    decoded = decode(frame)
    if not isinstance(decoded, SnapshotFrame):
        return _encoder.encode(PackedSnapshot(raw=frame))
    faults = NumberFaults()
    bids: dict[int, int] = {}
    asks: dict[int, int] = {}
    fault = ""
    try:
        update = Codec(faults).snapshot(decoded, "", 0, (), yes_price)
        for change in level_changes(update):
            (bids if change.side == "bid" else asks)[change.price] = change.size
    except ValueError as error:
        fault = str(error)
    return _encoder.encode(
        PackedSnapshot(
            id=decoded.id,
            sid=decoded.sid,
            seq=decoded.seq,
            market_ticker=decoded.msg.market_ticker,
            market_id=decoded.msg.market_id,
            bids=b"" if fault else pack_levels(sorted(bids.items(), reverse=True)),
            asks=b"" if fault else pack_levels(sorted(asks.items())),
            fault=fault,
            truncated=faults.truncated,
            clamped=faults.clamped,
            dropped=faults.dropped,
        )
    )
