"""Coinbase's books of tens of thousands of levels: from the frame to packed bytes, and no object for each level after.

A snapshot of 46,000 levels is a frame of 5 MB. `decode_large` is made to run in another process: bytes in, bytes out,
nothing kept. What comes out is read with `read_packed` in well under a millisecond.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from protocols.market import LevelChange, pack_levels
from protocols.nanos import NumberFaults, price_nanos, size_nanos
from protocols.venues.coinbase import BookEvent, BookFrame, Codec, LevelUpdate, decode, event_time


class PackedBook(msgspec.Struct, gc=False, array_like=True):
    """What a frame says of one product.

    Of a snapshot `bids` and `asks`: little-endian int64 pairs of price and size in nanos, best first (`pack_levels`).
    Otherwise `changes`, in their order, absolute, 0 removes. `fault`: why it cannot be read.
    """

    product_id: str
    snapshot: bool
    ts_event: int
    bids: bytes = b""
    asks: bytes = b""
    changes: tuple[LevelChange, ...] = ()
    fault: str = ""


class PackedFrame(msgspec.Struct, gc=False, array_like=True):
    """A frame of level 2 data, or (`raw`) any other as it came. `truncated` and so on as in `NumberFaults`."""

    sequence_num: int
    timestamp: str
    books: tuple[PackedBook, ...]
    truncated: int = 0
    clamped: int = 0
    dropped: int = 0
    raw: bytes = b""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(PackedFrame)


def decode_large(frame: bytes) -> bytes:
    """The frame, packed, as msgpack. Raises WireError for what is no frame of the venue."""
    decoded = decode(frame)
    if not isinstance(decoded, BookFrame):
        return _encoder.encode(PackedFrame(0, "", (), raw=frame))
    faults = NumberFaults()
    books = tuple(
        packed(product, snapshot, updates, faults, decoded.timestamp)
        for product, (snapshot, updates) in by_product(decoded.events).items()
    )
    return _encoder.encode(
        PackedFrame(decoded.sequence_num, decoded.timestamp, books, faults.truncated, faults.clamped, faults.dropped)
    )


def read_packed(packed_frame: bytes) -> PackedFrame:
    """What `decode_large` made. Raises msgspec.DecodeError."""
    return _decoder.decode(packed_frame)


def by_product(events: Iterable[BookEvent]) -> dict[str, tuple[bool, list[LevelUpdate]]]:
    """(whether it is the whole book, the levels in their order) of each product of a frame.

    A frame may hold several events of one product; a snapshot among them makes those before it void.
    """
    books: dict[str, tuple[bool, list[LevelUpdate]]] = {}
    for event in events:
        if event.type == "snapshot":
            books[event.product_id] = (True, list(event.updates))
        else:
            books.setdefault(event.product_id, (False, []))[1].extend(event.updates)
    return books


def packed(
    product: str, snapshot: bool, updates: list[LevelUpdate], faults: NumberFaults, timestamp: str
) -> PackedBook:
    """One product's levels, packed. In a snapshot the last word on a level counts."""
    try:
        ts_event = book_time(updates, timestamp)
        if not snapshot:
            changes = tuple(Codec(faults).changes(updates, snapshot=False))
            return PackedBook(product, False, ts_event, changes=changes)
        bids: dict[int, int] = {}
        asks: dict[int, int] = {}
        for update in updates:
            price = price_nanos(update.price_level, faults)
            if price is not None:
                (bids if update.side == "bid" else asks)[price] = size_nanos(update.new_quantity, faults)
    except ValueError as error:
        return PackedBook(product, snapshot, 0, fault=str(error))
    return PackedBook(
        product,
        True,
        ts_event,
        pack_levels(sorted(bids.items(), reverse=True)),
        pack_levels(sorted(asks.items())),
    )


def book_time(updates: list[LevelUpdate], timestamp: str) -> int:
    """When the last of these levels changed, or where the venue does not say so, when it sent the frame."""
    return (event_time(updates[-1].event_time) if updates else 0) or event_time(timestamp)
