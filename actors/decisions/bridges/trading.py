"""The bridge to the trading service: how a user trades there, starting and stopping it, signals, settings, feedback.

What may be made twice:

    status, signals   questions
    settings (PUT)    the same settings twice are the same settings
    stop              who has stopped is stopped
    feedback          has an idempotency key, made of user and prediction; a repeat is the same outcome
    start             might open a second session: only with the caller's own idempotency key. Without one it is made
                      again only when the first attempt certainly did not get there, and ends as Unknown otherwise
"""

from __future__ import annotations

import hashlib
from functools import partial
from typing import ClassVar
from urllib.parse import quote, urlencode

import msgspec

from actors.decisions.bridges import answers
from actors.decisions.bridges.bridge import Bridge, encoded
from actors.decisions.bridges.retrying import Repeat
from actors.decisions.bridges.upstream import Call
from protocols.bridges import (
    ChangeUpstreamSettings,
    FeedbackSent,
    GetTradingState,
    GetUpstreamSignals,
    SendFeedback,
    SettingsTaken,
    StartUpstreamTrading,
    StopUpstreamTrading,
)
from protocols.control import Refused
from protocols.signal_stream import timestamp
from runtime import receive

KEY_HEADER = "idempotency-key"


class _Start(msgspec.Struct, frozen=True, rename="camel"):
    user_id: str
    watchlist: tuple[str, ...]
    settings: msgspec.Raw


class _Stop(msgspec.Struct, frozen=True, rename="camel"):
    user_id: str


class _Feedback(msgspec.Struct, frozen=True, rename="camel"):
    user_id: str
    prediction_id: str
    outcome: msgspec.Raw
    timestamp: str


class TradingBridge(Bridge):
    """Calls the trading service."""

    title: ClassVar[str] = "trading service"

    @receive
    def status(self, request: GetTradingState) -> None:
        """How a user trades."""
        call = Call(method="GET", target=f"/api/trading/status/{segment('user_id', request.user_id)}")
        self.begin(call, lambda body: answers.trading_state(body, request.user_id, self.clock.now()))

    @receive
    def start(self, request: StartUpstreamTrading) -> None:
        """Let a user trade."""
        segment("user_id", request.user_id)
        key = request.idempotency_key
        call = Call(
            method="POST",
            target="/api/trading/start",
            body=encoded(_Start(request.user_id, request.watchlist, json_object("settings", request.settings))),
            repeat=Repeat.IDEMPOTENT if key else Repeat.NEVER,
            headers=((KEY_HEADER, header("idempotency_key", key)),) if key else (),
        )
        self.begin(call, lambda body: answers.trading_state(body, request.user_id, self.clock.now()))

    @receive
    def halt(self, request: StopUpstreamTrading) -> None:
        """Stop a user's trading."""
        segment("user_id", request.user_id)
        call = Call(
            method="POST",
            target="/api/trading/stop",
            body=encoded(_Stop(request.user_id)),
            repeat=Repeat.IDEMPOTENT,
        )
        self.begin(call, lambda body: answers.trading_state(body, request.user_id, self.clock.now()))

    @receive
    def signals(self, request: GetUpstreamSignals) -> None:
        """The newest signals of a user."""
        if request.limit < 1:
            raise Refused("invalid", f"expected a limit of at least 1, got {request.limit}", "limit")
        query = {"limit": str(request.limit)} | ({"symbol": request.symbol} if request.symbol else {})
        target = f"/api/trading/signals/{segment('user_id', request.user_id)}?{urlencode(query)}"
        call = Call(method="GET", target=target)
        self.begin(call, lambda body: answers.trading_signals(body, request.user_id, self.clock.now()))

    @receive
    def settings_changed(self, request: ChangeUpstreamSettings) -> None:
        """Change a user's settings."""
        call = Call(
            method="PUT",
            target=f"/api/trading/settings/{segment('user_id', request.user_id)}",
            body=bytes(json_object("settings", request.settings)),
            repeat=Repeat.IDEMPOTENT,
        )

        def read(body: bytes) -> SettingsTaken:
            return SettingsTaken(user_id=request.user_id, answer=answers.any_json(body), ts_recv=self.clock.now())

        self.begin(call, read)

    @receive
    def feedback(self, request: SendFeedback) -> None:
        """Tell what came of a prediction."""
        segment("user_id", request.user_id)
        segment("prediction_id", request.prediction_id)
        said = timestamp(request.ts or self.clock.now())
        call = Call(
            method="POST",
            target="/api/rl/feedback",
            body=encoded(_Feedback(request.user_id, request.prediction_id, valid("outcome", request.outcome), said)),
            repeat=Repeat.IDEMPOTENT,
            headers=((KEY_HEADER, feedback_key(request)),),
        )
        self.begin(call, partial(self._taken, request.prediction_id))

    def _taken(self, prediction_id: str, body: bytes) -> FeedbackSent:
        return FeedbackSent(prediction_id=prediction_id, answer=answers.any_json(body), ts_recv=self.clock.now())


def feedback_key(request: SendFeedback) -> str:
    """The same for every repeat of the same outcome."""
    parts = msgspec.json.encode((request.user_id, request.prediction_id, request.outcome))
    return hashlib.sha256(parts).hexdigest()[:32]


def segment(field: str, text: str) -> str:
    """One segment of a path. Raises Refused `invalid` for what cannot be one."""
    if not text or len(text) > 200 or not text.isprintable() or text in (".", ".."):
        raise Refused("invalid", f"expected 1 to 200 printable characters, got {text[:50]!r}", field)
    return quote(text, safe="")


def header(field: str, text: str) -> str:
    """A header's value. Raises Refused `invalid` for what cannot be one."""
    if not text.isascii() or not text.isprintable() or len(text) > 200:
        raise Refused("invalid", "expected at most 200 printable ASCII characters", field)
    return text


def valid(field: str, value: msgspec.Raw) -> msgspec.Raw:
    """JSON. Raises Refused `invalid` for what is none."""
    try:
        msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refused("invalid", f"expected JSON: {error}", field) from None
    return value


def json_object(field: str, value: msgspec.Raw) -> msgspec.Raw:
    """A JSON object. Raises Refused `invalid` for what is none."""
    if not bytes(valid(field, value)).lstrip().startswith(b"{"):
        raise Refused("invalid", "expected a JSON object", field)
    return value
