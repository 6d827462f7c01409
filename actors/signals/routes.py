"""The HTTP routes of signals, in the shapes of the inference service, and the WebSocket."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Final, get_args

import msgspec

from actors.edge.call import Call
from actors.edge.errors import HttpError
from actors.edge.routing import Route, delete, get, post, websocket
from actors.signals import analytics, archive
from actors.signals.client import signal_stream
from actors.signals.outcome_routes import SUMMARY_S, performance, several, summary
from actors.signals.requests import SubmitTestSignal
from protocols.nanos import INT64_MAX
from protocols.paths import HUB, QUERIES
from protocols.signal_stream import TradingSignal, timestamp, trading_signal
from protocols.signals import (
    NO_METADATA,
    Action,
    GetLatestSignals,
    GetSignal,
    SignalStatus,
    StoredSignal,
    UpdateSignal,
)

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
    """A page of signals, the newest first. `total_count`: how many the filters let through in all.

    `behind`: so many rows were accepted but not in the database yet, and may be lacking.
    """

    signals: tuple[TradingSignal, ...]
    total_count: int
    limit: int
    offset: int
    filters_applied: dict[str, Any]
    behind: int


class OneSignal(msgspec.Struct, frozen=True):
    """Which signal."""

    signal_id: str


class LatestOfSymbol(msgspec.Struct, frozen=True):
    """The newest signals of which symbol, and how many."""

    symbol: str
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 10


class MakeTestSignal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a test signal says; it is marked `synthetic`, of source `test`, and goes where every signal goes."""

    symbol: str = "TEST"
    exchange: str = ""
    strategy_id: str = "test"
    action: Action = "HOLD"
    confidence: Annotated[float, msgspec.Meta(ge=0, le=1)] = 1.0
    validity_s: Annotated[float, msgspec.Meta(gt=0, le=86_400)] | None = None
    metadata: dict[str, Any] = {}


class MadeTestSignal(msgspec.Struct, frozen=True):
    """The test signal is stored."""

    message: str
    signal: TradingSignal


class CancelSignal(msgspec.Struct, frozen=True):
    """Which signal nobody is to act on."""

    signal_id: str


class SignalCancelled(msgspec.Struct, frozen=True):
    """The signal is cancelled, and everybody is told. Whether an order of it is still open is execution's to say."""

    message: str
    signal_id: str
    status: SignalStatus
    cancelled_at: str


async def list_signals(request: ListSignals, call: Call) -> SignalList:
    """Answer a filtered list from the database, once that has what was accepted before."""
    queries = call.ref(QUERIES)
    now = call.node.clock.now()
    which = archive.Filter(
        several(request.symbols),
        several(request.strategy_ids),
        _chosen(request.actions, "actions", frozenset(get_args(Action))),
        request.min_confidence,
        _chosen(request.status, "status", frozenset(get_args(SignalStatus))),
        now,
        _nanoseconds(request.from_date, "from_date", 0),
        _nanoseconds(request.to_date, "to_date", INT64_MAX),
    )
    behind = await analytics.settle(call.node.require_log(), queries)
    signals, total = await archive.list_signals(queries, which, request.limit, request.offset)
    given = msgspec.structs.asdict(request)
    filters = {name: value for name, value in given.items() if name not in ("limit", "offset") and value}
    shown = tuple(_shown(each, now) for each in signals)
    return SignalList(shown, total, request.limit, request.offset, filters, behind)


async def one_signal(request: OneSignal, call: Call) -> TradingSignal:
    """Answer one signal with its status now."""
    return _shown(await call.ref(HUB).ask(GetSignal(request.signal_id)), call.node.clock.now())


async def latest_of_symbol(request: LatestOfSymbol, call: Call) -> list[TradingSignal]:
    """Answer the newest signals of a symbol, the newest first."""
    found = await call.ref(HUB).ask(GetLatestSignals(request.symbol, request.limit))
    now = call.node.clock.now()
    return [_shown(each, now) for each in found.signals]


async def make_test_signal(request: MakeTestSignal, call: Call) -> MadeTestSignal:
    """Make a signal for a test; 404 unless `signals.test_endpoints` is true."""
    stored = await call.ref(HUB).ask(
        SubmitTestSignal(
            symbol=request.symbol,
            exchange=request.exchange,
            strategy_id=request.strategy_id,
            action=request.action,
            confidence=request.confidence,
            validity_s=request.validity_s,
            metadata=msgspec.Raw(msgspec.json.encode(request.metadata)) if request.metadata else NO_METADATA,
        )
    )
    return MadeTestSignal("Test signal stored", _shown(stored, call.node.clock.now()))


async def cancel_signal(request: CancelSignal, call: Call) -> SignalCancelled:
    """Cancel a signal that is pending or active; 409 with its state if it is neither."""
    hub = call.ref(HUB)
    await hub.ask(UpdateSignal(signal_id=request.signal_id, status="cancelled"))
    now = timestamp(call.node.clock.now())
    return SignalCancelled("Signal cancelled", request.signal_id, "cancelled", now)


def _shown(stored: StoredSignal, now: int) -> TradingSignal:
    return trading_signal(stored, stored.status_at(now))


def _chosen(text: str, field: str, known: frozenset[str]) -> tuple[str, ...] | None:
    """Known values that are separated by commas, in any case."""
    by_case = {value.lower(): value for value in known}
    values = several(text) or ()
    for value in values:
        if value.lower() not in by_case:
            expected = ", ".join(sorted(known))
            raise HttpError(400, "invalid", f"expected any of {expected}, got {value[:100]!r}", field)
    return tuple(by_case[value.lower()] for value in values) or None


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
    get(
        "/api/signals/analytics/summary",
        summary,
        summary="Figures of the signals of a period",
        tags=TAGS,
        timeout_s=SUMMARY_S + 1,
    ),
    post("/api/signals/test", make_test_signal, summary="A signal for a test, where that is allowed", tags=TAGS),
    get("/api/signals/{signal_id}/performance", performance, summary="What became of a signal", tags=TAGS),
    delete("/api/signals/{signal_id}", cancel_signal, summary="Cancel a signal", tags=TAGS),
    get("/api/signals/{signal_id}", one_signal, summary="One signal", tags=TAGS),
    websocket("/api/signals/stream", signal_stream, summary="Signals as they are stored", tags=TAGS),
]
