"""What an account says of its venue. Nothing is sent unless it is live there, and the node lets orders leave."""

from __future__ import annotations

from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

import msgspec

from protocols.market import DEMO, MARKS, SYNTHETIC

Positive = Annotated[float, msgspec.Meta(gt=0)]
Environment = Literal["production", "demo", "simulated"]
GatewayVenue = Literal["kalshi", "binance"]

_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")
_ACCEPTED: Final[dict[str, frozenset[str]]] = {
    "production": frozenset(),
    "demo": frozenset({DEMO}),
    # Everything there is made up, and says so.
    "simulated": frozenset({DEMO, SYNTHETIC}),
}


class GatewaySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How one account reaches its venue. Times in seconds."""

    account: str
    """The account whose orders these are."""
    venue: GatewayVenue
    """The venue."""
    live: bool = False
    """Whether this account's orders may leave; `[execution] live` must say so, too."""
    environment: Environment = "production"
    """`demo`: the venue's practice exchange, whose data are marked so. `simulated`: this node's own venue, or one at a
    loopback address."""
    rest_url: str = ""
    """Where the venue's REST interface is; empty: where the venue says for this environment."""
    url: str = ""
    """Where its private WebSocket is; empty: where the venue says for this environment."""
    key_id: str = ""
    """The id of the API key."""
    key_file: str = ""
    """The file with the private key (PEM) or secret of `key_id`."""
    budget: str = ""
    """The path of the keeper of the account's rate limits; empty: the venue's, which its feeds share."""
    timeout_s: Positive = 5.0
    """How long an answer may take; then the outcome is unknown, and asked for."""
    budget_s: Positive = 5.0
    """How long a call may wait for the rate limit; then it is not made."""
    arrival_s: Positive = 15.0
    """How long after it left a request may still reach the venue. Only then does "the venue does not know it" mean that
    it never will."""
    ask_s: Positive = 0.5
    """How often an unknown outcome, or a fill that has not been told, is asked for."""
    reconcile_s: Positive = 30.0
    """How often everything is compared with what the venue says over REST."""
    silence_s: Positive = 60.0
    """A private stream that is silent for so long, without even a ping's answer, is opened anew."""
    backoff_s: Positive = 0.25
    """The longest wait before the first attempt to reconnect; it doubles each time."""
    backoff_most_s: Positive = 30.0
    """The longest wait between two attempts to reconnect."""
    self_trade: Literal["taker_at_cross", "maker"] = "taker_at_cross"
    """Which order gives way when two of the account meet: the new one, or the resting one."""

    def __post_init__(self) -> None:
        for name in ("rest_url", "url"):
            host = urlsplit(getattr(self, name)).hostname
            if self.environment == "simulated" and host not in (None, *_LOOPBACK):
                raise ValueError(f"{name}: a simulated venue is at a loopback address, got {host}")
        if bool(self.rest_url) != bool(self.url):
            raise ValueError("url and rest_url belong to one venue: set both or none")

    @property
    def refused_marks(self) -> frozenset[str]:
        """An order with any of these marks stays here."""
        return MARKS - _ACCEPTED[self.environment]
