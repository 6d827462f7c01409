"""What columns a table of market data has, by kind, and what files call them.

Times are int64 nanoseconds, prices and sizes int64 nanos, volumes decimal128(38, 12): sums of sizes outgrow int64.
"""

from __future__ import annotations

from typing import Final, Literal

Kind = Literal["bars", "quotes", "trades", "l2"]
KINDS: Final[tuple[Kind, ...]] = ("bars", "quotes", "trades", "l2")

VOLUME_DIGITS: Final = (38, 12)
Form = Literal["time", "price", "size", "volume", "integer", "text", "side", "taker", "flag"]

COLUMNS: Final[dict[Kind, dict[str, Form]]] = {
    "bars": {
        "market": "text",
        "start": "time",
        "open": "price",
        "high": "price",
        "low": "price",
        "close": "price",
        "volume": "volume",
        "trades": "integer",
        "vwap": "price",
    },
    "quotes": {
        "market": "text",
        "ts_event": "time",
        "ts_recv": "time",
        "bid": "price",
        "bid_size": "size",
        "ask": "price",
        "ask_size": "size",
        "seq": "integer",
    },
    "trades": {
        "market": "text",
        "ts_event": "time",
        "ts_recv": "time",
        "price": "price",
        "size": "size",
        "taker": "taker",
        "trade_id": "text",
        "seq": "integer",
    },
    "l2": {
        "market": "text",
        "ts_event": "time",
        "ts_recv": "time",
        "session": "text",
        "seq": "integer",
        "side": "side",
        "price": "price",
        "size": "size",
        "flags": "flag",
    },
}
"""In their order; a column that is all missing may be left out."""

REQUIRED: Final[dict[Kind, tuple[str, ...]]] = {
    "bars": ("start", "open", "high", "low", "close"),
    "quotes": ("bid", "ask"),
    "trades": ("price", "size"),
    "l2": ("side", "price", "size"),
}

_TIME: Final = (
    "timestamp", "time", "datetime", "ts", "opentime", "starttime", "start", "bartime", "tsevent", "eventtime",
    "exchtime", "exchangetime", "exchts", "createdtime", "t", "date",
)  # fmt: skip
_RECEIVED: Final = ("tsrecv", "recvtime", "receivetime", "received", "localtime", "localts", "localtimestamp", "recv")
_MARKET: Final = ("symbol", "ticker", "market", "instrument", "pair", "marketticker")
_SEQ: Final = ("seq", "sequence", "seqnum", "sequencenumber", "updateid")
_SIZE: Final = ("size", "qty", "quantity", "amount", "count", "contracts", "volume", "vol")

NAMES: Final[dict[Kind, dict[str, tuple[str, ...]]]] = {
    "bars": {
        "market": _MARKET,
        "start": _TIME,
        "open": ("open", "openprice", "o"),
        "high": ("high", "highprice", "h"),
        "low": ("low", "lowprice", "l"),
        "close": ("close", "closeprice", "c"),
        "volume": ("volume", "vol", "v"),
        "trades": ("trades", "tradescount", "tradecount", "numberoftrades", "count"),
        "vwap": ("vwap",),
    },
    "quotes": {
        "market": _MARKET,
        "ts_event": _TIME,
        "ts_recv": _RECEIVED,
        "bid": ("bid", "bidprice", "bestbid", "bidpx", "bestbidprice"),
        "bid_size": ("bidsize", "bidqty", "bidvolume", "bidsz", "bestbidqty", "bestbidsize", "bidquantity"),
        "ask": ("ask", "askprice", "bestask", "askpx", "offer", "bestaskprice"),
        "ask_size": ("asksize", "askqty", "askvolume", "asksz", "bestaskqty", "bestasksize", "askquantity"),
        "seq": _SEQ,
    },
    "trades": {
        "market": _MARKET,
        "ts_event": _TIME,
        "ts_recv": _RECEIVED,
        "price": ("price", "px", "tradeprice", "p", "yesprice"),
        "size": _SIZE,
        "taker": ("taker", "side", "takerside", "aggressor", "aggressorside", "direction"),
        "trade_id": ("tradeid", "id", "aggtradeid"),
        "seq": _SEQ,
    },
    "l2": {
        "market": _MARKET,
        "ts_event": _TIME,
        "ts_recv": _RECEIVED,
        "session": ("session", "sessionid"),
        "seq": _SEQ,
        "side": ("side", "bookside"),
        "price": ("price", "px"),
        "size": _SIZE,
        "flags": ("flags", "issnapshot", "snapshot"),
    },
}
"""Usual names in any case, without what is neither letter nor digit; the first that is there wins."""

TIME_COLUMN: Final[dict[Kind, str]] = {"bars": "start", "quotes": "ts_event", "trades": "ts_event", "l2": "ts_event"}

METADATA: Final = b"troupe"
"""The key of what a parquet file of ours says about itself (JSON)."""
