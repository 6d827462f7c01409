"""What an engine is told besides markets, orders and venues' reports; all of it can be written to the input journal.

Every input has a number and a time. The same inputs at the same times give the same orders, fills and ledger.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec
import zstandard

from actors.execution.deployments import Decided, DeploymentSettings, DeploymentState
from actors.execution.risk.limits import RiskLimits
from protocols.control import Message
from protocols.orders import MarketInput, OrderCommand, VenueReport
from protocols.signals import Signal


class Deposit(Message, frozen=True, gc=False, tag="deposit"):
    """Money comes in, or goes out if negative; nanos. `reference` recognises a repeat."""

    amount: int
    currency: str
    reference: str


class Opened(Message, frozen=True, gc=False, tag="opened"):
    """The account begins: its initial capital is booked, once."""


class Deploy(Message, frozen=True, gc=False, tag="deploy"):
    """A deployment begins, or goes on with other settings."""

    settings: DeploymentSettings


class MoveDeployment(Message, frozen=True, gc=False, tag="move_deployment"):
    """A deployment is in this state now."""

    deployment_id: str
    state: DeploymentState
    reason: str = ""


class TakeSignal(Message, frozen=True, gc=False, tag="take_signal"):
    """A stored signal, with its place in the hub's stream: every deployment that it is meant for acts on it.

    `body`: the signal as JSON, as its metadata is, which cannot stand in msgpack. `decided`: what was decided about it
    for those deployments that ask.
    """

    seq: int
    body: bytes
    decided: tuple[Decided, ...] = ()

    @classmethod
    def of(cls, seq: int, signal: Signal, decided: tuple[Decided, ...] = ()) -> TakeSignal:
        """The input of a signal."""
        return cls(seq, msgspec.json.encode(signal), decided)

    def signal(self) -> Signal:
        """The signal."""
        return msgspec.json.decode(self.body, type=Signal)


class SkipSignals(Message, frozen=True, gc=False, tag="skip_signals"):
    """Signals up to this place of the hub's stream are not meant for this account."""

    seq: int


class Flatten(Message, frozen=True, gc=False, tag="flatten"):
    """The kill switch, of the account or of one deployment: no new orders, cancel by id, then close if asked to."""

    reason: str
    close: bool = True
    deployment_id: str = ""


class SetTrading(Message, frozen=True, gc=False, tag="set_trading"):
    """`active`: all orders; `reducing`: only such as reduce; `halted`: none. Cancels always pass."""

    state: Literal["active", "reducing", "halted"]
    reason: str


class SetBreaker(Message, frozen=True, gc=False, tag="set_breaker"):
    """Opens the breaker by hand (only what reduces passes), or closes it."""

    open: bool
    reason: str = ""


class Unlock(Message, frozen=True, gc=False, tag="unlock"):
    """Takes the locks of protections away: of a market, or of all."""

    market: str = ""
    deployment_id: str = ""


class SetLimits(Message, frozen=True, gc=False, tag="set_limits"):
    """Other limits, of the account or of one deployment."""

    limits: RiskLimits
    deployment_id: str = ""


class SettleMarket(Message, frozen=True, gc=False, tag="settle_market"):
    """A market pays `value` (nanos per unit); None takes a settlement back."""

    market: str
    value: int | None
    reference: str


class AlignCash(Message, frozen=True, gc=False, tag="align_cash"):
    """The venue has this much of a currency, and is right. Nanos."""

    currency: str
    total: int
    reference: str


class AlignPosition(Message, frozen=True, gc=False, tag="align_position"):
    """The venue holds this quantity of a market (signed nanos), and is right."""

    market: str
    quantity: int
    reference: str


class Restarted(Message, frozen=True, gc=False, tag="restarted"):
    """A new life: what books were is not current any more."""

    epoch: int


class SenderEnded(Message, frozen=True, gc=False, tag="sender_ended"):
    """A life of a run has ended without being asked to: what it had sent and nobody had taken up yet is stale."""

    path: str
    epoch: int
    count: int


class Tick(Message, frozen=True, gc=False, tag="tick"):
    """Time has passed."""


OwnInput = (
    Opened
    | Deposit
    | Deploy
    | MoveDeployment
    | TakeSignal
    | SkipSignals
    | Flatten
    | SetTrading
    | SetLimits
    | SetBreaker
    | Unlock
    | SettleMarket
    | AlignCash
    | AlignPosition
    | Restarted
    | SenderEnded
    | Tick
)
EngineInput = MarketInput | OrderCommand | VenueReport | OwnInput


class Numbered(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """An input as it is journaled: its number, its time, itself."""

    number: int
    ts: int
    item: EngineInput


ENCODER: Final = msgspec.msgpack.Encoder()
DECODER: Final = msgspec.msgpack.Decoder(tuple[Numbered, ...])
ZSTANDARD: Final = b"\x28\xb5\x2f\xfd"
"""How a zstandard frame begins (RFC 8878, 3.1.1); no msgpack array does."""
COMPRESSED_BYTES: Final = 1024
"""What is shorter is written as it is."""
MOST_BYTES: Final = 64 << 20
_LEVEL: Final = 1


def encode(inputs: tuple[Numbered, ...] | list[Numbered]) -> bytes:
    """A batch of inputs for the journal: msgpack, in a zstandard frame where that pays (books shrink to a tenth)."""
    packed = ENCODER.encode(inputs)
    if len(packed) < COMPRESSED_BYTES:
        return packed
    return zstandard.ZstdCompressor(level=_LEVEL).compress(packed)


def decode(payload: bytes) -> tuple[Numbered, ...]:
    """A batch back from the journal. Raises msgspec.ValidationError, zstandard.ZstdError."""
    if payload[:4] == ZSTANDARD:
        payload = zstandard.ZstdDecompressor().decompress(payload, max_output_size=MOST_BYTES)
    return DECODER.decode(payload)
