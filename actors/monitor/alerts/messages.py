"""What people are told of an alert, and what the other side's answer means: a core without I/O.

    webhook    {"type": "alert.fired", "timestamp": "...", "data": {...}}     signed (standardwebhooks.com)
    slack      {"text": "...", "blocks": [...]}                              api.slack.com, incoming webhooks

A message is repeated until it is taken, so it may come twice; `webhook-id` is then the same.
"""

from __future__ import annotations

import math
from email.utils import parsedate_to_datetime
from typing import Final, Literal

import msgspec

from actors.monitor.alerts.bodies import AlertBody, body_of
from actors.signals.channels.signing import request_id, signature
from protocols.alerts import Alert
from protocols.signal_stream import timestamp

MOST_TEXT: Final = 2900
"""Slack takes 3000 characters in a text of a block."""
_REFUSED_FOR_GOOD: Final = frozenset({400, 410, 413, 414, 415, 422})
_SIGNS: Final = {"info": "ℹ️", "warning": "⚠️", "error": "❌", "critical": "🚨"}


class Outgoing(msgspec.Struct, frozen=True):
    """One message, ready but for the signature, which has the time of the attempt in it."""

    message_id: str
    body: bytes


class Judgement(msgspec.Struct, frozen=True):
    """What an answer means; `after_s`: not before so many seconds."""

    outcome: Literal["taken", "refused", "again"]
    said: str
    after_s: float = 0.0


class _Webhook(msgspec.Struct, frozen=True):
    type: str
    timestamp: str
    data: AlertBody


class _SlackText(msgspec.Struct, frozen=True):
    type: str
    text: str


class _SlackBlock(msgspec.Struct, frozen=True, omit_defaults=True):
    type: str
    text: _SlackText | None = None
    elements: tuple[_SlackText, ...] = ()


class _Slack(msgspec.Struct, frozen=True):
    text: str
    blocks: tuple[_SlackBlock, ...]


def message_of(alert: Alert, kind: Literal["webhook", "slack"], node: str) -> Outgoing:
    """An alert as a message to the outside; `node`: the node that tells it."""
    state = "resolved" if alert.ts_resolved else "fired"
    body = _webhook(alert, state) if kind == "webhook" else _slack(alert, state, node)
    return Outgoing(request_id((alert.alert_id, state)), msgspec.json.encode(body))


def signed_headers(key: bytes, message: Outgoing, now: int) -> dict[str, str]:
    """The headers by which the receiver knows that it is we who say so, at `now` (ns)."""
    seconds = now // 1_000_000_000
    return {
        "webhook-id": message.message_id,
        "webhook-timestamp": str(seconds),
        "webhook-signature": signature(key, message.message_id, seconds, message.body),
    }


def judged(status: int, retry_after: str | None, now: int) -> Judgement:
    """What an answer means: taken, refused for good, or to be tried again."""
    said = f"HTTP {status}"
    if 200 <= status < 300:
        return Judgement("taken", said)
    if status in _REFUSED_FOR_GOOD:
        return Judgement("refused", said)
    return Judgement("again", said, _seconds(retry_after, now))


def full_jitter(attempt: int, first_s: float, most_s: float, chance: float) -> float:
    """The wait after attempt number `attempt` (from 1): random below a bound that doubles; `chance` is in [0, 1).

    "Exponential Backoff And Jitter", AWS Architecture Blog 2015: of its variants the one that spreads best.
    """
    return chance * min(most_s, first_s * 2.0 ** min(attempt - 1, 40))


def _webhook(alert: Alert, state: str) -> _Webhook:
    return _Webhook(f"alert.{state}", timestamp(alert.ts_resolved or alert.ts), body_of(alert))


def _slack(alert: Alert, state: str, node: str) -> _Slack:
    sign = "✅" if alert.ts_resolved else _SIGNS[alert.severity]
    head = f"{sign} {alert.severity.upper()} {state}: {_escaped(alert.title)}"[:MOST_TEXT]
    about = [f"{name}: {value}" for name, value in (("source", alert.source), ("node", node), *alert.labels)]
    when = timestamp(alert.ts_resolved or alert.ts)
    context = _escaped(" | ".join((*about, f"at: {when}", f"id: {alert.alert_id}")))[:MOST_TEXT]
    blocks = [_SlackBlock("section", _SlackText("mrkdwn", f"*{head}*"))]
    if alert.description:
        blocks.append(_SlackBlock("section", _SlackText("mrkdwn", _escaped(alert.description)[:MOST_TEXT])))
    blocks.append(_SlackBlock("context", elements=(_SlackText("mrkdwn", context),)))
    return _Slack(head, tuple(blocks))


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _seconds(text: str | None, now: int) -> float:
    if text is None:
        return 0.0
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - now / 1e9
        except (ValueError, OverflowError):
            return 0.0
    return min(max(0.0, seconds), 3600.0) if math.isfinite(seconds) else 0.0
