"""The simulated venue as a whole: markets and their traders, a face for each venue that it speaks, faults, sockets.

One engine and one kind of traders stand behind all faces. It runs on any trio loop, in a node or alone. Everything
that it makes follows from the seed; when things happen follows from the clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
import trio

from actors.market.simulated.binance_face import BinanceSpotFace, BinanceUsdmFace
from actors.market.simulated.coinbase_face import CoinbaseFace
from actors.market.simulated.desk import TICKER_FORM
from actors.market.simulated.face import Client, Clock, Face
from actors.market.simulated.faults import ANSWER_KINDS, FACES, FRAME_KINDS, BadFault, FaceWord, Faults, checked
from actors.market.simulated.flow import DEFAULT_SCHEDULE, OrderFlow
from actors.market.simulated.http import Answer, Request, Upgrade, serve_connection
from actors.market.simulated.kalshi_face import KalshiFace
from actors.market.simulated.link import Link
from actors.market.simulated.market import SimulatedMarket
from actors.market.simulated.play import Player
from actors.market.simulated.wide_flow import WideFlow
from protocols.nanos import NANO
from protocols.venues.kalshi_signing import PublicKey
from protocols.venues.simulated import FaultOrder, VenueFace

# A loop that stood still does not make the venue catch up with all of it at once.
_MOST_CATCH_UP_S: Final = 0.25
_MEMORY: Final = 200_000
_PRICES: Final = {"BTC": 60_000, "ETH": 3_000, "SOL": 150}
_OTHER_PRICE: Final = 100
_CENT: Final = NANO // 100
CUT: Final = Answer(0, cut=True)
"""No answer at all."""


class StandInSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to trade and how fast. `rate`: events a second over all markets of all faces; 0: none."""

    faces: tuple[FaceWord, ...] = ("kalshi",)
    markets: tuple[str, ...] = ("SIM-ALPHA", "SIM-BETA")
    """Kalshi's tickers."""
    coins: tuple[str, ...] = ("BTC", "ETH")
    """What is traded against dollars at the other faces."""
    seed: int = 7
    rate: float = 50.0
    levels: int = 4_000
    """Levels of a coin's book, both sides together."""
    warm_up: int = 200
    """Turns that each market's traders take before anybody sees it."""
    backlog: int = 4096
    """Frames that may wait for a client."""
    ping_s: float | None = None
    """How often clients are pinged; None: as often as each venue does."""
    ports: Mapping[str, int] = {}
    """Of the faces, by their words, and of `control`; 0: any free one."""
    control: bool = False
    hurry: float = 1.0
    """How many times as often as the venues it sends what they send by the clock: depth, heartbeats."""

    def __post_init__(self) -> None:
        for market in (*self.markets, *self.coins):
            if TICKER_FORM.fullmatch(market) is None:
                raise ValueError(f"no market's name: {market!r}")
        if unknown := set(self.faces) - set(FACES):
            raise ValueError(f"expected faces out of {', '.join(FACES)}, got {', '.join(sorted(unknown))}")
        if len(set(self.markets)) < len(self.markets) or len(set(self.coins)) < len(self.coins):
            raise ValueError("a market is named twice")


class StandIn:
    """`key`: verifies Kalshi's client. `now` and `monotonic`: nanoseconds. `play`: a recording, and how fast.

    Raises what opening a recording raises.
    """

    def __init__(
        self,
        settings: StandInSettings,
        key: PublicKey,
        now: Callable[[], int],
        monotonic: Callable[[], int],
        play: tuple[Path, float] | None = None,
    ) -> None:
        self.settings = settings
        self.rate = settings.rate
        self.faults = Faults(settings.seed)
        self.events = 0
        self.control_url = ""
        self._now = now
        self._monotonic = monotonic
        count = sum(len(settings.markets if word == "kalshi" else settings.coins) for word in settings.faces)
        self._memory = max(500, _MEMORY // max(1, count))
        self.faces: dict[str, Face] = {word: self._face(word, key) for word in dict.fromkeys(settings.faces)}
        if play is not None:
            player = Player(*play, self.faults, Clock(now))
            self.faces[player.word] = player
        self._turn = [(face, market) for face in self.faces.values() for market in face.markets.values()]
        self._next = 0
        self._due = 0.0
        self._links_made = 0
        self._listeners: list[tuple[str, list[trio.SocketListener]]] = []
        self._later: trio.Nursery | None = None

    def _face(self, word: FaceWord, key: PublicKey) -> Face:
        clock = Clock(self._now)
        if word == "kalshi":
            return KalshiFace(
                [self._prediction(name, n) for n, name in enumerate(self.settings.markets)], self.faults, clock, key
            )
        if word == "binance":
            coins = [self._coin(coin, BinanceSpotFace) for coin in self.settings.coins]
            return BinanceSpotFace(coins, self.faults, clock, key)
        faces: dict[FaceWord, type[BinanceSpotFace] | type[BinanceUsdmFace] | type[CoinbaseFace]] = {
            "binance-usdm": BinanceUsdmFace,
            "coinbase": CoinbaseFace,
        }
        face = faces[word]
        return face([self._coin(coin, face) for coin in self.settings.coins], self.faults, clock)

    def _prediction(self, name: str, number: int) -> SimulatedMarket:
        shift = number % 2
        schedule = DEFAULT_SCHEDULE[shift:] + DEFAULT_SCHEDULE[:shift]
        return SimulatedMarket(OrderFlow(name, self.settings.seed, schedule=schedule), self.settings.seed, self._memory)

    def _coin(
        self, coin: str, face: type[BinanceSpotFace] | type[BinanceUsdmFace] | type[CoinbaseFace]
    ) -> SimulatedMarket:
        flow = WideFlow(
            face.symbol(coin),
            self.settings.seed,
            value=_PRICES.get(coin, _OTHER_PRICE) * NANO,
            tick=_CENT,
            lot=face.LOT,
            levels=self.settings.levels,
        )
        return SimulatedMarket(flow, self.settings.seed, self._memory)

    # -- running -------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Warm the markets up and bind the ports. Raises OSError for a port that is taken."""
        for _ in range(self.settings.warm_up):
            for face, market in self._turn:
                market.step(face.clock.now())
        for face in self.faces.values():
            face.warm()
        try:
            for word, face in self.faces.items():
                face.port = await self._bind(word)
            if self.settings.control:
                self.control_url = f"http://127.0.0.1:{await self._bind('control')}"
        except BaseException:
            await self._unbind()
            raise

    async def _bind(self, word: str) -> int:
        listeners = await trio.open_tcp_listeners(self.settings.ports.get(word, 0), host="127.0.0.1")
        self._listeners.append((word, listeners))
        port: int = listeners[0].socket.getsockname()[1]
        return port

    async def _unbind(self) -> None:
        for _, listeners in self._listeners:
            for listener in listeners:
                await listener.aclose()

    async def run(self) -> None:
        """Serve for ever. `open` comes first."""
        from actors.market.simulated.control import control

        async with trio.open_nursery() as nursery:
            self._later = nursery
            for word, listeners in self._listeners:
                if word == "control":
                    serve = partial(serve_connection, handler=partial(control, self), now=self._now)
                else:
                    face = self.faces[word]
                    serve = partial(serve_connection, handler=partial(self._handle, face), now=face.clock.now)
                nursery.start_soon(partial(trio.serve_listeners, serve, listeners))
            for face in self.faces.values():
                nursery.start_soon(self._pulse, face)

    async def _pulse(self, face: Face) -> None:
        while True:
            await trio.sleep(face.BEAT_NS / NANO / self.settings.hurry)
            face.pulse(self._monotonic())

    async def trade(self) -> None:
        """Let the traders take their turns at the rate, for ever."""
        last = self._monotonic()
        while True:
            await trio.sleep(beat_s(self.rate))
            now = self._monotonic()
            self.advance((now - last) / NANO)
            last = now

    async def _handle(self, face: Face, request: Request) -> Answer | Upgrade:
        faults, write = self.faults, request.method != "GET"
        order = faults.http(face.word, handshake=request.upgrade, write=write)
        if order is not None:
            face.refused += 1
            return face.refusal(order)
        if request.upgrade:
            refusal = face.admits(request)
            return Upgrade(face.headers, partial(self._serve, face, request)) if refusal is None else refusal
        if faults.answering("lost_request", face.word, write=write) is not None:
            return CUT
        travelling = faults.answering("late_request", face.word, write=write)
        if travelling is not None:
            await trio.sleep(travelling.seconds)
        late = faults.answering("late", face.word, write=write)
        answer = face.rest(request)
        if late is not None:
            await trio.sleep(late.seconds)
        if faults.answering("lost_answer", face.word, write=write) is not None:
            return CUT
        failed = faults.answering("failed_answer", face.word, write=write)
        return answer if failed is None else face.refusal(failed)

    async def _serve(self, face: Face, request: Request, stream: trio.abc.Stream, rest: bytes) -> None:
        self._links_made += 1
        settings = self.settings
        link = Link(
            self._links_made,
            face.word,
            self.faults,
            face.clock.now,
            capacity=settings.backlog,
            ping_s=settings.ping_s or face.PING_S,
            ping=face.PING,
        )
        client = face.greet(link, request)
        link.take = client.take
        face.clients[link.number] = client
        try:
            await link.run(stream, rest)
        finally:
            face.left(link.number)

    # -- traders -------------------------------------------------------------------------------------------

    def advance(self, elapsed_s: float) -> None:
        """Let the traders take the turns that are due after so many seconds."""
        self._due += min(elapsed_s, _MOST_CATCH_UP_S) * self.rate
        while self._due >= 1 and self._turn:
            # A turn that changes nothing takes little time, but some: a pause has no others.
            self._due -= self.step() or 0.1

    def set_rate(self, rate: float) -> None:
        """Change the pace. Raises ValueError."""
        if not 0 <= rate <= 100_000:
            raise ValueError(f"a rate lies between 0 and 100000, got {rate}")
        self.rate = rate
        self._due = 0.0

    def step(self) -> int:
        """One trader's turn on the next market; how many events came of it."""
        face, market = self._turn[self._next]
        self._next = (self._next + 1) % len(self._turn)
        return self._step(face, market)

    def _step(self, face: Face, market: SimulatedMarket) -> int:
        events = market.step(face.clock.now())
        face.publish(market, events)
        self.events += len(events)
        return len(events)

    def run_steps(self, steps: int) -> int:
        """Let every market's traders take so many turns at once; how many events came of it."""
        return sum(self.step() for _ in range(steps * len(self._turn)))

    def settle(self, market: SimulatedMarket, value: int | None) -> None:
        """End one of Kalshi's markets. Raises OrderRefused."""
        face = self.faces["kalshi"]
        events = market.settle(value, face.clock.now())
        self.events += len(events)
        face.publish(market, events)

    # -- faults --------------------------------------------------------------------------------------------

    def clients(self, venue: str = "", connection: int = 0) -> Iterator[tuple[Face, Client]]:
        """Clients of a face, or of all."""
        for word, face in self.faces.items():
            if venue in ("", word):
                for number, client in list(face.clients.items()):
                    if connection in (0, number):
                        yield face, client

    def inject(self, order: FaultOrder) -> int:
        """Perform a fault; how many connections it is for. Raises BadFault."""
        checked(order)
        if order.venue and order.venue not in self.faces:
            raise BadFault(f"this venue speaks {', '.join(self.faces)}, not {order.venue!r}", "venue")
        affected = list(self.clients(order.venue, order.connection))
        if order.kind in FRAME_KINDS or order.kind in ANSWER_KINDS:
            self.faults.add(order, (client.link.number for _, client in affected))
        elif order.kind == "clock":
            for word, face in self.faces.items():
                if order.venue in ("", word):
                    face.clock.wrong_ns = round(order.seconds * NANO)
        elif order.kind == "lag":
            for face in self.faces.values():
                face.lag(round(order.seconds * NANO))
        elif order.kind == "burst":
            self._burst(order)
        else:
            affected = [(face, client) for face, client in affected if self._hit(face, client, order)]
        return len(affected)

    def _hit(self, face: Face, client: Client, order: FaultOrder) -> bool:
        link = client.link
        if order.kind in ("silence", "speak"):
            link.silence(order.kind == "silence")
            if order.kind == "silence" and order.seconds:
                self._after(order.seconds, partial(link.silence, False))
        elif order.kind == "slow":
            link.rate, link.delay_s = order.rate, order.seconds
        elif order.kind == "close":
            link.close(order.code, "going away" if order.code == 1001 else "")
        else:
            hit = face.fail(client, order)
            if hit and order.kind == "shutdown":
                self._after(order.seconds, partial(link.close, order.code))
            return hit
        return True

    def _after(self, seconds: float, act: Callable[[], None]) -> None:
        async def later() -> None:
            await trio.sleep(seconds)
            act()

        assert self._later is not None
        self._later.start_soon(later)

    def _burst(self, order: FaultOrder) -> None:
        turns = [(face, market) for face, market in self._turn if order.venue in ("", face.word)]
        left, idle = order.count, 0
        while turns and left > 0 and idle < 1_000:
            for face, market in turns:
                events = self._step(face, market)
                left -= events
                idle = 0 if events else idle + 1
                if left <= 0:
                    break

    def clear(self, id: int | None = None) -> int:
        """Take an order back; or everything: orders, silence, slowness, wrong clocks."""
        count = self.faults.clear(id)
        if id is None:
            for face in self.faces.values():
                count += face.clock.wrong_ns != 0
                face.clock.wrong_ns = 0
                face.lag(0)
                for client in face.clients.values():
                    link = client.link
                    count += link.silent + bool(link.rate or link.delay_s)
                    link.rate, link.delay_s = 0, 0.0
                    link.silence(False)
        return count

    # -- looking -------------------------------------------------------------------------------------------

    def addresses(self) -> tuple[VenueFace, ...]:
        """Where each face is."""
        return tuple(VenueFace(word, face.url, face.rest_url, tuple(face.markets)) for word, face in self.faces.items())


def beat_s(rate: float) -> float:
    """As even as the rate allows, and no more than a thousand times a second."""
    return max(0.001, min(0.05, 1 / rate)) if rate > 0 else 0.05
