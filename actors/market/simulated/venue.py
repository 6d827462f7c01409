"""The simulated venue in a node: an actor around the stand-in, which serves real venues' protocols on loopback.

Only a client with the demo key gets into Kalshi's face. A feed reaches it as it reaches a real venue, over a socket.
Everything it makes is synthetic and says so (`protocols.venues.simulated`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from actors.execution.matching.exchange import OrderRefused
from actors.market.simulated.faults import BadFault, FaceWord
from actors.market.simulated.kalshi_face import KEY_ID, KalshiFace
from actors.market.simulated.market import SimulatedMarket
from actors.market.simulated.standin import StandIn, StandInSettings, beat_s
from protocols.control import Message, Probe, ProbeReport, Refused
from protocols.market import SYNTHETIC, BookView
from protocols.nanos import NANO
from protocols.venues import kalshi_signing
from protocols.venues.simulated import (
    FaultOrder,
    GetEngineBook,
    GetVenueAddress,
    InjectFault,
    PlantRegime,
    RunSteps,
    SetRate,
    SettleMarket,
    VenueAddress,
)
from runtime import Actor, Timer, receive

__all__ = ["KEY_ID", "SimulatedVenue"]


class _Beat(Message, frozen=True, gc=False, tag="venue_beat"):
    """Time for the traders."""


class SimulatedVenue(Actor):
    """Markets, their traders, and the servers. `rate`: events a second over all markets, 0 for none.

    `key_file`: a PEM private key (RSA or Ed25519) whose public half verifies Kalshi's clients; made if it does not
    exist. `faces`: what it speaks beside Kalshi's protocol; `coins` and `levels`: what is traded there. `ports`: by the
    faces' words, where `port` (Kalshi's) does not say. `control`: whether faults can be ordered over HTTP, too.
    """

    def __init__(
        self,
        markets: tuple[str, ...],
        key_file: str,
        seed: int = 7,
        rate: float = 50.0,
        port: int = 0,
        warm_up: int = 200,
        backlog: int = 4096,
        ping_s: float | None = None,
        faces: Sequence[FaceWord] = (),
        coins: Sequence[str] = ("BTC", "ETH"),
        levels: int = 4_000,
        ports: Mapping[str, int] | None = None,
        control: bool = False,
    ) -> None:
        self.settings = StandInSettings(
            faces=("kalshi", *faces),
            markets=tuple(markets),
            coins=tuple(coins),
            seed=seed,
            rate=rate,
            levels=levels,
            warm_up=warm_up,
            backlog=backlog,
            ping_s=ping_s,
            ports={"kalshi": port, **(ports or {})},
            control=control,
        )
        self.key_file = Path(key_file)
        self._last_beat = 0
        self._standin: StandIn
        self._timer: Timer

    async def on_start(self) -> None:
        """Bind the ports and warm the markets up, so that whoever starts next finds both."""
        pem = await self.offload(demo_key, self.key_file, timeout=5.0)
        key = kalshi_signing.public_key_of(pem)
        self._standin = StandIn(self.settings, key, self.clock.now, self.clock.monotonic)
        await self._standin.open()
        self.spawn(self._standin.run, name="server")
        self._last_beat = self.clock.monotonic()
        self._timer = self.every(beat_s(self._standin.rate), _Beat())

    # -- traders -------------------------------------------------------------------------------------------

    @receive
    def beat(self, message: _Beat) -> None:
        """Let the traders take the turns that are due."""
        now = self.clock.monotonic()
        self._standin.advance((now - self._last_beat) / NANO)
        self._last_beat = now

    @receive
    def run_steps(self, request: RunSteps) -> int:
        """Take turns now, beside the rate."""
        return self._standin.run_steps(request.steps)

    @receive
    def set_rate(self, request: SetRate) -> None:
        """Change the pace."""
        try:
            self._standin.set_rate(request.rate)
        except ValueError as error:
            raise Refused("invalid", str(error), "rate") from None
        self._timer.cancel()
        self._timer = self.every(beat_s(request.rate), _Beat())

    @receive
    def plant(self, request: PlantRegime) -> None:
        """Plant a regime."""
        if request.steps < 1:
            raise Refused("invalid", f"a regime holds for at least one step, got {request.steps}", "steps")
        self._market(request.market).flow.plant(request.regime, request.steps)

    @receive
    def settle(self, request: SettleMarket) -> None:
        """End a market."""
        try:
            self._standin.settle(self._market(request.market), request.value)
        except OrderRefused as error:
            raise Refused("invalid", str(error), "value") from None

    # -- questions and faults ------------------------------------------------------------------------------

    @property
    def _kalshi(self) -> KalshiFace:
        face = self._standin.faces["kalshi"]
        assert isinstance(face, KalshiFace)
        return face

    @receive
    def address(self, request: GetVenueAddress) -> VenueAddress:
        """Where to connect."""
        if request.venue not in self._standin.faces:
            spoken = ", ".join(self._standin.faces)
            raise Refused("not_found", f"the simulated venue speaks {spoken}, not {request.venue!r}", "venue")
        return VenueAddress(
            self._kalshi.url,
            KEY_ID,
            str(self.key_file),
            tuple(self._kalshi.markets),
            (SYNTHETIC,),
            self._standin.addresses(),
            self._standin.control_url,
        )

    @receive
    def engine_book(self, request: GetEngineBook) -> BookView:
        """The truth that a keeper's book is compared with."""
        ledger = self._market(request.market).ledger
        return BookView(
            market=request.market,
            bids=ledger.levels("bid"),
            asks=ledger.levels("ask"),
            session=KEY_ID,
            seq=max(self._kalshi.numbers(), default=0),
            ts_event=0,
            ts_recv=self.clock.now(),
            marks=(SYNTHETIC,),
        )

    @receive
    def fault(self, request: InjectFault) -> int:
        """Misbehave."""
        order = FaultOrder(
            kind=request.fault,
            venue=request.venue,
            count=request.count,
            seconds=request.seconds,
            code=request.code,
            status=request.status,
        )
        try:
            return self._standin.inject(order)
        except BadFault as error:
            raise Refused("invalid", str(error), error.field) from None

    @receive
    def probe(self, request: Probe) -> ProbeReport:
        """How the venue is."""
        faces = self._standin.faces.values()
        return ProbeReport(
            status="ok",
            figures=(
                ("url", self._kalshi.url),
                *(("control", url) for url in [self._standin.control_url] if url),
                ("clients", sum(len(face.clients) for face in faces)),
                ("refused", sum(face.refused for face in faces)),
                ("events", self._standin.events),
                ("rate", self._standin.rate),
                ("marks", SYNTHETIC),
                *((f"regime {name}", market.flow.regime) for name, market in self._kalshi.markets.items()),
            ),
        )

    def _market(self, name: str) -> SimulatedMarket:
        """A market of any face by its own name. Two faces with the same symbol: the first."""
        for face in self._standin.faces.values():
            if name in face.markets:
                return face.markets[name]
        raise Refused("not_found", f"the simulated venue has no market {name!r}", "market")


def demo_key(path: Path) -> bytes:
    """The PEM there, made if it does not exist."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_bytes(kalshi_signing.generate_ed25519_pem())
    return path.read_bytes()
