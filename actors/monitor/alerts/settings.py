"""What a configuration says of alerts: how often rules are evaluated, how much is remembered, and who is told."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from protocols.alerts import Severity
from runtime.redaction import Secret
from runtime.settings import LocalPath

SECTION = "alerting"
RULES_SECTION = "alerts"
TARGETS_SECTION = "alerts_to"


class AlertingSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[alerting]`: how rules are evaluated, and what is remembered."""

    interval_s: Annotated[float, msgspec.Meta(ge=0.1, le=3600)] = 15.0
    """The rules are evaluated every so many seconds."""
    retention_s: Annotated[float, msgspec.Meta(gt=0, le=86_400)] = 7200.0
    """How long samples of metrics are kept; no rule can look back further."""
    points: Annotated[int, msgspec.Meta(ge=2, le=10_000)] = 1000
    """How many samples of one series are kept."""
    series: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 5000
    """How many series are sampled; only what rules name is."""
    keep_days: Annotated[float, msgspec.Meta(gt=0, le=365)] = 7.0
    """How long resolved alerts are remembered; the database has all."""
    default_rules: bool = True
    """Whether the rules that come with Troupe are evaluated."""


class TargetSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[[alerts_to]]`: somebody who is told when an alert is fired or resolved."""

    name: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_-]{0,49}$")]
    kind: Literal["webhook", "slack"]
    """`webhook`: signed JSON, as the Standard Webhooks specification has it. `slack`: an incoming webhook of Slack."""
    url: Secret = ""
    """Where it is sent to; it is never shown, for who knows it may often post. Slack's may be in `secret_file`."""
    severities: tuple[Severity, ...] = ("warning", "error", "critical")
    """Alerts of others are not told."""
    secret_file: LocalPath = ""
    """The file with the secret of a webhook, `whsec_` and 24 to 64 random bytes in base64; of Slack, with the URL."""
    queue: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 1000
    """So many messages wait while the other side is away, also over a restart; then the oldest is lost, and counted."""
    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=60)] = 10.0
    attempts: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 1000
    """After so many the message is lost, and counted; with the waits below, these are about two days."""
    retry_s: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 1.0
    """The longest wait before the second attempt in seconds; it doubles. The wait itself is random below it."""
    retry_most_s: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 300.0
    breaker_failures: Annotated[int, msgspec.Meta(ge=1, le=100)] = 5
    """After so many failed attempts in a row nothing is sent for `breaker_open_s`."""
    breaker_open_s: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 30.0
