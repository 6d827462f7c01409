"""What an account's actor is started with, and what it says to itself."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from actors.execution.deployments import Decided
from actors.execution.engine_state import EngineSettings
from actors.execution.gateways.settings import GatewaySettings
from actors.execution.gateways.venues import native_kinds
from protocols.control import Message, Request
from protocols.deployments import DeployRun
from protocols.execution import AccountMode
from protocols.market import MARKS
from protocols.signals import SignalPage


class AccountSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An account as the roster keeps it. `markets`: those that it follows whether or not a deployment trades them.

    `instruments`: definitions (fields of `Instrument`) for markets that no venue defines. `snapshot_inputs`: a
    snapshot is taken every so many inputs. `gateway`: of a live account (fields of GatewaySettings, the account left
    out): where its orders go.
    """

    engine: EngineSettings
    mode: AccountMode = "paper"
    session: str = ""
    name: str = ""
    description: str = ""
    markets: tuple[str, ...] = ()
    instruments: tuple[dict[str, Any], ...] = ()
    snapshot_inputs: Annotated[int, msgspec.Meta(ge=100)] = 20_000
    gateway: dict[str, Any] | None = None
    reconcile_s: Annotated[float, msgspec.Meta(gt=0)] = 60.0
    """How often the account is held against its venue's."""
    flush_s: Annotated[float, msgspec.Meta(gt=0, le=10)] = 1.0
    """How long a market message that led to nothing may wait for its row in the journal."""

    def __post_init__(self) -> None:
        live = self.mode == "live"
        if live != (self.gateway is not None):
            raise ValueError(f"gateway: expected one for a live account and none for another, the mode is {self.mode}")
        if self.engine.venue == "external" and not live:
            raise ValueError("engine.venue: expected simulated, as the account is not live, got external")

    @property
    def spot(self) -> bool:
        """Whether positions are balances of assets at the venue."""
        return self.gateway is not None and self.gateway.get("venue") == "binance"


def resolved(spec: AccountSpec) -> AccountSpec:
    """With what the venue of a live account decides: who fills, what it takes, which marks it refuses.

    Raises msgspec.ValidationError for a gateway's setting that is none.
    """
    if spec.gateway is None:
        return spec
    gateway = msgspec.convert({**spec.gateway, "account": spec.engine.account.account_id}, GatewaySettings)
    engine = msgspec.structs.replace(
        spec.engine,
        venue="external",
        native=native_kinds(gateway.venue),
        accepts_marks=tuple(sorted(MARKS - gateway.refused_marks)),
    )
    return msgspec.structs.replace(spec, engine=engine)


class Due(Message, frozen=True, gc=False, tag="account_due"):
    """Something of the engine's own is due."""

    moment: int


class Flush(Message, frozen=True, gc=False, tag="account_flush"):
    """Inputs have waited for long enough."""


class ReadOn(Message, frozen=True, gc=False, tag="account_read_on"):
    """There may be signals that were not taken yet."""


class SignalsRead(Message, frozen=True, gc=False, tag="account_signals_read"):
    """A page of the hub's stream; None: the hub did not answer."""

    page: SignalPage | None


class SignalsDecided(Message, frozen=True, gc=False, tag="account_signals_decided"):
    """A page of the hub's stream, and what was decided about its signals, each with the signal's place."""

    page: SignalPage
    decided: tuple[tuple[int, Decided], ...]


class MarketReady(Message, frozen=True, gc=False, tag="account_market_ready"):
    """What was found out of a market: its definition, its book at this moment, or why not."""

    market: str
    messages: tuple[Any, ...]
    problem: str = ""


class ShowDeployment(Request[DeployRun], frozen=True, gc=False, tag="show_deployment"):
    """Asks an account what the run of a deployment has to know. Refused `not_found`."""

    deployment_id: str


class FollowMarket(Request[None], frozen=True, gc=False, tag="account_follow_market"):
    """Asks an account to follow a market; answered when its definition is there. Refused with what is missing."""

    market: str
