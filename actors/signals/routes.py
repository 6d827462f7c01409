"""The HTTP routes of signals, in the shapes of the inference service, and the WebSocket."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Final, get_args

import msgspec

from actors.edge.call import Call
from actors.edge.errors import HttpError
from actors.edge.routing import Route, get, websocket
from actors.signals import archive
from actors.signals.client import signal_stream
from protocols.nanos import INT64_MAX
from protocols.paths import HUB, QUERIES
from protocols.signal_stream import TradingSignal, trading_signal
from protocols.signals import Action, GetLatestSignals, GetSignal, SignalStatus, StoredSignal

TAGS: Final = ("signals",)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class ListSignals(msgspec.Struct, frozen=True):
    """Filters of a list; lists are separated by commas, dates are ISO 8601 (UTC where they do not say)."""

    symbols: str = ""
    strategy_ids: str = ""
    actions: str = ""
    status: str = ""
    min_confidence: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    from_date: str = ""
    to_date: str = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100
    offset: Annotated[int, msgspec.Meta(ge=0, le=10_000_000)] = 0


class SignalList(msgspec.Struct, frozen=True):
    """A page of signals, the newest first. `total_count`: how many the filters let through in all."""

    signals: tuple[TradingSignal, ...]
    total_count: int
    limit: int
    offset: int
    filters_applied: dict[str, Any]


class OneSignal(msgspec.Struct, frozen=True):
    """Which signal."""

    signal_id: str


class LatestOfSymbol(msgspec.Struct, frozen=True):
    """The newest signals of which symbol, and how many."""

    symbol: str
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 10


async def list_signals(request: ListSignals, call: Call) -> SignalList:
    """Answer a filtered list from the database."""
    now = call.node.clock.now()
    which = archive.Filter(
        _several(request.symbols),
        _several(request.strategy_ids),
        _several(request.actions, "actions", frozenset(get_args(Action))),
        request.min_confidence,
        _several(request.status, "status", frozenset(get_args(SignalStatus))),
        now,
        _nanoseconds(request.from_date, "from_date", 0),
        _nanoseconds(request.to_date, "to_date", INT64_MAX),
    )
    signals, total = await archive.list_signals(call.ref(QUERIES), which, request.limit, request.offset)
    given = msgspec.structs.asdict(request)
    filters = {name: value for name, value in given.items() if name not in ("limit", "offset") and value}
    return SignalList(tuple(_shown(each, now) for each in signals), total, request.limit, request.offset, filters)


async def one_signal(request: OneSignal, call: Call) -> TradingSignal:
    """Answer one signal with its status now."""
    return _shown(await call.ref(HUB).ask(GetSignal(request.signal_id)), call.node.clock.now())


async def latest_of_symbol(request: LatestOfSymbol, call: Call) -> list[TradingSignal]:
    """Answer the newest signals of a symbol, the newest first."""
    found = await call.ref(HUB).ask(GetLatestSignals(request.symbol, request.limit))
    now = call.node.clock.now()
    return [_shown(each, now) for each in found.signals]


def _shown(stored: StoredSignal, now: int) -> TradingSignal:
    return trading_signal(stored, stored.status_at(now))


def _several(text: str, field: str = "", known: frozenset[str] | None = None) -> tuple[str, ...] | None:
    values = tuple(part.strip() for part in text.split(",") if part.strip())
    if known is not None:
        by_case = {value.lower(): value for value in known}
        for value in values:
            if value.lower() not in by_case:
                expected = ", ".join(sorted(known))
                raise HttpError(400, "invalid", f"expected any of {expected}, got {value[:100]!r}", field)
        values = tuple(by_case[value.lower()] for value in values)
    return values or None


def _nanoseconds(text: str, field: str, default: int) -> int:
    if not text:
        return default
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise HttpError(400, "invalid", f"expected a date or time in ISO 8601, got {text[:100]!r}", field) from None
    span = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH
    nanoseconds = ((span.days * 86_400 + span.seconds) * 1_000_000 + span.microseconds) * 1000
    return max(-INT64_MAX, min(INT64_MAX, nanoseconds))


routes: list[Route] = [
    get("/api/signals/list", list_signals, summary="Stored signals, filtered", tags=TAGS),
    get("/api/signals/latest/{symbol}", latest_of_symbol, summary="The newest signals of a symbol", tags=TAGS),
    get("/api/signals/{signal_id}", one_signal, summary="One signal", tags=TAGS),
    websocket("/api/signals/stream", signal_stream, summary="Signals as they are stored", tags=TAGS),
]
