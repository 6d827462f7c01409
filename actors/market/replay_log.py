"""The log of a replay: every event and quote in its order, one JSON object a line, numbers as exact decimal text.

`{"type": "quote", "market": …, "bid": "61837.63", …}`: `type` is the message's own word. Fields that are empty are left
out. Times stay integers of nanoseconds. The same replay writes the same bytes.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from actors.market.replay_core import Output
from actors.market.session_core import Incident
from protocols.instruments import Instrument
from protocols.market import BookUpdate, OrderUpdate, level_changes
from protocols.nanos import decimal_text

# The fields that hold nanos, over all messages.
_NANOS: Final = frozenset(
    {"price", "size", "bid", "bid_size", "ask", "ask_size", "last", "open", "high", "low", "close", "vwap"}
    | {"settlement", "mark_price", "index_price"}
    | {"lot", "multiplier", "minimum_size", "maximum_size", "minimum_notional"}
)
_LEFT_OUT: Final = frozenset({"packed_bids", "packed_asks", "changes", "price_ranges"})
_encode: Final = msgspec.json.Encoder().encode


def line(output: Output | OrderUpdate) -> bytes:
    """One line of the log, with its end."""
    return _encode(fields(output)) + b"\n"


def fields(output: Output | OrderUpdate) -> dict[str, Any]:
    """The message as what goes into a line."""
    kind = "incident" if isinstance(output, Incident) else str(type(output).__struct_config__.tag)
    found: dict[str, Any] = {"type": kind}
    for name in output.__struct_fields__:
        value = getattr(output, name)
        if name in _LEFT_OUT or value == "" or value == ():
            continue
        found[name] = decimal_text(value) if name in _NANOS and isinstance(value, int) else value
    if isinstance(output, BookUpdate):
        found["changes"] = [
            (change.side, decimal_text(change.price), decimal_text(change.size)) for change in level_changes(output)
        ]
    elif isinstance(output, Instrument):
        found["price_ranges"] = [
            (decimal_text(span.start), decimal_text(span.end), decimal_text(span.step)) for span in output.price_ranges
        ]
    return found
