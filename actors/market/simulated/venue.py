"""The simulated venue: serves Kalshi's WebSocket protocol on loopback, with markets of its own making.

Only a client with the demo key gets in. A feed reaches it as it reaches the real venue, over a socket.
Everything it makes is synthetic and says so (`protocols.venues.simulated`).
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from pathlib import Path

import trio
from trio_websocket import ConnectionClosed, WebSocketRequest, WebSocketServer

from actors.market.simulated.desk import TICKER_FORM, Desk, public_event
from actors.market.simulated.engine import OrderRefused
from actors.market.simulated.flow import DEFAULT_SCHEDULE, FlowEvent, OrderFlow
from actors.market.simulated.link import Link
from protocols.control import Message, Probe, ProbeReport, Refused
from protocols.market import SYNTHETIC, BookView
from protocols.nanos import NANO
from protocols.venues import kalshi, kalshi_signing
from protocols.venues.kalshi_commands import ErrorCode
from protocols.venues.kalshi_signing import (
    KEY_HEADER,
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
    WEBSOCKET_PATH,
    PublicKey,
)
from protocols.venues.simulated import (
    MARKS_HEADER,
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

KEY_ID = "synthetic-demo-key"
# No rule of the venue's is published; a signature that is older than this is refused here.
_MOST_SKEW_MS = 30_000
_MILLISECOND = 1_000_000
# A loop that stood still does not make the venue catch up with all of it at once.
_MOST_CATCH_UP_S = 0.25


class _Beat(Message, frozen=True, gc=False, tag="venue_beat"):
    """Time for the traders."""


class _CommandCame(Message, frozen=True, gc=False, tag="venue_command"):
    """A client has sent something."""

    link: int
    raw: bytes


class SimulatedVenue(Actor):
    """Markets, their traders, and the server. `rate`: events a second over all markets, 0 for none.

    `key_file`: a PEM private key (RSA or Ed25519) whose public half verifies clients; made if it does not
    exist.
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
        ping_s: float = 10.0,
    ) -> None:
        for market in markets:
            if TICKER_FORM.fullmatch(market) is None:
                raise ValueError(f"no market's name: {market!r}")
        self.flows = {
            market: OrderFlow(market, seed, schedule=DEFAULT_SCHEDULE[index % 2 :] + DEFAULT_SCHEDULE[: index % 2])
            for index, market in enumerate(markets)
        }
        self.key_file = Path(key_file)
        self.rate = rate
        self.port = port
        self.warm_up = warm_up
        self.backlog = backlog
        self.ping_s = ping_s
        self.links: dict[int, Link] = {}
        self.url = ""
        self.events = 0
        self.refused = 0
        self._turn = list(self.flows.values())
        self._due = 0.0
        self._last_beat = 0
        self._key: PublicKey
        self._timer: Timer
        self._links_made = 0

    async def on_start(self) -> None:
        """Bind the port and warm the markets up, so that whoever starts next finds both."""
        pem = await self.offload(_demo_key, self.key_file, timeout=5.0)
        self._key = kalshi_signing.public_key_of(pem)
        for flow in self.flows.values():
            for _ in range(self.warm_up):
                flow.step()
        listeners = await trio.open_tcp_listeners(self.port, host="127.0.0.1")
        port = listeners[0].socket.getsockname()[1]
        self.url = f"ws://127.0.0.1:{port}{WEBSOCKET_PATH}"
        server = WebSocketServer(self._upgrade, listeners, connect_timeout=5.0, disconnect_timeout=1.0)
        self.spawn(server.run, name="server")
        self._last_beat = self.clock.monotonic()
        self._timer = self.every(_beat_s(self.rate), _Beat())

    # -- clients ---------------------------------------------------------------------------------------

    async def _upgrade(self, request: WebSocketRequest) -> None:
        if not self._admits(request):
            self.refused += 1
            with suppress(ConnectionClosed):
                await request.reject(401, body=b'{"error":{"code":"authentication_error"}}')
            return
        try:
            connection = await request.accept(extra_headers=[(MARKS_HEADER.encode(), SYNTHETIC.encode())])
        except ConnectionClosed:
            return
        self._links_made += 1
        link = Link(self._links_made, Desk(self.flows), connection, self.backlog)
        self.links[link.id] = link
        try:
            with link.scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(link.write)
                    nursery.start_soon(link.beat, self.ping_s)
                    await self._read(link)
                    nursery.cancel_scope.cancel()
        finally:
            del self.links[link.id]

    async def _read(self, link: Link) -> None:
        try:
            while True:
                message = await link.connection.get_message()
                raw = message.encode() if isinstance(message, str) else message
                await self.ref.send(_CommandCame(link.id, raw))
        except (ConnectionClosed, Refused):
            pass

    def _admits(self, request: WebSocketRequest) -> bool:
        headers = {name.decode().upper(): value.decode() for name, value in request.headers}
        stamp = headers.get(TIMESTAMP_HEADER, "")
        if request.path.partition("?")[0] != WEBSOCKET_PATH or headers.get(KEY_HEADER) != KEY_ID:
            return False
        if not (stamp.isascii() and stamp.isdigit() and len(stamp) < 16):
            return False
        if abs(int(stamp) - self.clock.now() // _MILLISECOND) > _MOST_SKEW_MS:
            return False
        signature = headers.get(SIGNATURE_HEADER, "")
        return kalshi_signing.verify(self._key, signature, int(stamp), "GET", WEBSOCKET_PATH)

    @receive
    def command(self, message: _CommandCame) -> None:
        """Perform a client's command."""
        link = self.links.get(message.link)
        if link is not None:
            link.offer(link.desk.command(message.raw))

    # -- traders ---------------------------------------------------------------------------------------

    @receive
    def beat(self, message: _Beat) -> None:
        """Let the traders take the turns that are due."""
        now = self.clock.monotonic()
        elapsed = min((now - self._last_beat) / NANO, _MOST_CATCH_UP_S)
        self._last_beat = now
        self._due += elapsed * self.rate
        while self._due >= 1:
            # A turn that changes nothing takes little time, but some: a pause has no others.
            self._due -= self._step() or 0.1

    def _step(self) -> int:
        flow = self._turn.pop(0)
        self._turn.append(flow)
        return self._publish(flow.market, flow.step())

    def _publish(self, market: str, events: list[FlowEvent]) -> int:
        self.events += len(events)
        if not self.links:
            return len(events)
        ts = self.clock.now()
        for event in events:
            public = public_event(market, event, ts)
            for link in self.links.values():
                link.offer(link.desk.publish(public))
        return len(events)

    @receive
    def run_steps(self, request: RunSteps) -> int:
        """Take turns now, beside the rate."""
        return sum(self._step() for _ in range(request.steps * len(self.flows)))

    @receive
    def set_rate(self, request: SetRate) -> None:
        """Change the pace."""
        if not 0 <= request.rate <= 100_000:
            raise Refused("invalid", f"a rate lies between 0 and 100000, got {request.rate}", "rate")
        self.rate = request.rate
        self._due = 0.0
        self._timer.cancel()
        self._timer = self.every(_beat_s(self.rate), _Beat())

    @receive
    def plant(self, request: PlantRegime) -> None:
        """Plant a regime."""
        if request.steps < 1:
            raise Refused("invalid", f"a regime holds for at least one step, got {request.steps}", "steps")
        self._flow(request.market).plant(request.regime, request.steps)

    @receive
    def settle(self, request: SettleMarket) -> None:
        """End a market."""
        flow = self._flow(request.market)
        try:
            events = flow.settle(request.value)
        except OrderRefused as error:
            raise Refused("invalid", str(error), "value") from None
        self._publish(request.market, events)

    # -- questions and faults --------------------------------------------------------------------------

    @receive
    def address(self, request: GetVenueAddress) -> VenueAddress:
        """Where to connect."""
        return VenueAddress(self.url, KEY_ID, str(self.key_file), tuple(self.flows), (SYNTHETIC,))

    @receive
    def engine_book(self, request: GetEngineBook) -> BookView:
        """The truth that a keeper's book is compared with."""
        view = self._flow(request.market).engine.view()
        numbers = [
            seq
            for link in self.links.values()
            for _, channel, seq in link.desk.positions
            if channel == kalshi.ORDERBOOK
        ]
        return BookView(
            market=view.market,
            bids=view.bids,
            asks=view.asks,
            session=KEY_ID,
            seq=max(numbers, default=0),
            ts_event=0,
            ts_recv=self.clock.now(),
            marks=(SYNTHETIC,),
        )

    @receive
    async def fault(self, request: InjectFault) -> int:
        """Misbehave."""
        links = list(self.links.values())
        for link in links:
            if request.fault == "drop":
                link.desk.withhold += request.count
            elif request.fault in ("silence", "speak"):
                link.silence(request.fault == "silence")
            elif request.fault == "close":
                self.spawn(partial(_close, link))
            elif request.fault == "slow":
                link.delay_s = request.seconds
            elif request.fault == "overflow":
                link.overflow()
            else:
                link.offer(link.desk.fail(ErrorCode.CHANNEL_ERROR))
        return len(links)

    @receive
    def probe(self, request: Probe) -> ProbeReport:
        """How the venue is."""
        return ProbeReport(
            status="ok",
            figures=(
                ("url", self.url),
                ("clients", len(self.links)),
                ("refused", self.refused),
                ("events", self.events),
                ("rate", self.rate),
                ("marks", SYNTHETIC),
                *((f"regime {flow.market}", flow.regime) for flow in self.flows.values()),
            ),
        )

    def _flow(self, market: str) -> OrderFlow:
        flow = self.flows.get(market)
        if flow is None:
            raise Refused("not_found", f"the simulated venue has no market {market!r}", "market")
        return flow


async def _close(link: Link) -> None:
    with trio.move_on_after(2.0):
        await link.connection.aclose(1001, "going away")
    link.scope.cancel()


def _beat_s(rate: float) -> float:
    """As even as the rate allows, and no more than a thousand times a second."""
    return max(0.001, min(0.05, 1 / rate)) if rate > 0 else 0.05


def _demo_key(path: Path) -> bytes:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_bytes(kalshi_signing.generate_ed25519_pem())
    return path.read_bytes()
