"""Kalshi's face: signed WebSocket upgrades, a desk for each client, REST beside it."""

from __future__ import annotations

from typing import ClassVar, Final

from actors.market.budget import Bucket
from actors.market.simulated import kalshi_rest
from actors.market.simulated.desk import Desk, public_event, ticker_event
from actors.market.simulated.face import KEY_ID as KEY_ID
from actors.market.simulated.face import Client, Clock, Face, json_answer, retry_header
from actors.market.simulated.faults import FaceWord, Faults
from actors.market.simulated.flow import OrderFlow
from actors.market.simulated.http import Answer, Request
from actors.market.simulated.kalshi_trading import KalshiTrading
from actors.market.simulated.link import Link
from actors.market.simulated.market import Happened, SimulatedMarket
from protocols.budget import CANCEL
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
from protocols.venues.simulated import FaultOrder

# No rule of the venue's is published; a signature that is further from the venue's clock than this is refused here.
MOST_SKEW_MS: Final = 5_000
# Of the Basic tier, and as little more than a second's worth as the docs allow.
READ_TOKENS: Final = (400.0, 200.0)
WRITE_TOKENS: Final = (100.0, 100.0)
_MILLISECOND: Final = 1_000_000


class KalshiFace(Face):
    """Speaks `/trade-api/ws/v2` and `/trade-api/v2/…`. `key` verifies the one client account there is."""

    WORD: ClassVar[FaceWord] = "kalshi"
    PING_S: ClassVar[float] = 10.0
    PING: ClassVar[bytes] = b"heartbeat"
    BEAT_NS: ClassVar[int] = NANO // 20

    def __init__(self, markets: list[SimulatedMarket], faults: Faults, clock: Clock, key: PublicKey) -> None:
        super().__init__(markets, faults, clock)
        self._key = key
        self._flows = {market.name: market.flow for market in markets if isinstance(market.flow, OrderFlow)}
        self.trading = KalshiTrading(self.markets, clock, self.publish)
        self.limited = 0
        """Calls that were refused because there were too many."""
        self._reads, self._writes = Bucket(*READ_TOKENS, self._now()), Bucket(*WRITE_TOKENS, self._now())

    @property
    def url(self) -> str:
        """The WebSocket's address."""
        return f"ws://127.0.0.1:{self.port}{WEBSOCKET_PATH}"

    @property
    def rest_url(self) -> str:
        """What the paths of REST calls are put behind: at Kalshi, all begin alike."""
        return super().rest_url + kalshi_rest.PREFIX

    def admits(self, request: Request) -> Answer | None:
        """Only the demo key's signature, not far from the venue's time, on the one path there is."""
        if request.path == WEBSOCKET_PATH and self._signed(request):
            return None
        return self._unauthorized()

    def greet(self, link: Link, request: Request) -> Client:
        """A client with a desk; one that reads too slowly loses its subscriptions and keeps its connection."""
        desk = Desk(self._flows, lambda market: self.markets[market].ledger.version)
        client = Client(link, desk, desk.told)
        link.too_slow = lambda: self._overflow(link, desk)
        return client

    def _overflow(self, link: Link, desk: Desk) -> None:
        link.discard()
        link.offer(desk.fail(ErrorCode.BUFFER_OVERFLOW), answer=True)

    def rest(self, request: Request) -> Answer:
        """Public calls need no signature; one that is there has to be right, and is counted."""
        signed = KEY_HEADER.lower() in request.headers
        if (signed or kalshi_rest.needs_key(request)) and not self._signed(request):
            return self._unauthorized()
        if signed and not self._within_limits(request):
            self.limited += 1
            return json_answer({"error": "too many requests"}, 429)
        self.trading.expire()
        path = request.path.removeprefix(kalshi_rest.PREFIX)
        answer = self.trading.answer(request, path) if signed else None
        return kalshi_rest.answer(request, self.markets, self.clock.now()) if answer is None else answer

    def _within_limits(self, request: Request) -> bool:
        bucket = self._reads if request.method == "GET" else self._writes
        tokens = float(kalshi_rest.cost(request))
        if bucket.wait(tokens, CANCEL, self._now()) > 0:
            return False
        bucket.take(tokens, self._now())
        return True

    def _now(self) -> float:
        return (self.clock.now() - self.clock.wrong_ns) / NANO

    def lag(self, nanos: int) -> None:
        """The portfolio is behind."""
        self.trading.lag_ns = nanos

    def pulse(self, now: int) -> None:
        """Orders end by time."""
        self.trading.expire()

    def _signed(self, request: Request) -> bool:
        headers = request.headers
        stamp = headers.get(TIMESTAMP_HEADER.lower(), "")
        if headers.get(KEY_HEADER.lower()) != KEY_ID:
            return False
        if not (stamp.isascii() and stamp.isdigit() and len(stamp) < 16):
            return False
        if abs(int(stamp) - self.clock.now() // _MILLISECOND) > MOST_SKEW_MS:
            return False
        signature = headers.get(SIGNATURE_HEADER.lower(), "")
        return kalshi_signing.verify(self._key, signature, int(stamp), request.method, request.path)

    def _unauthorized(self) -> Answer:
        self.refused += 1
        return json_answer({"error": {"code": "authentication_error", "message": "authentication_error"}}, 401)

    def refusal(self, order: FaultOrder) -> Answer:
        """429 has a text of its own here, and no Retry-After by itself."""
        if order.status == 429:
            return json_answer({"error": "too many requests"}, 429, retry_header(order))
        code = "authentication_error" if order.status in (401, 403) else "service_unavailable"
        return json_answer({"error": {"code": code, "message": code}}, order.status, retry_header(order))

    def publish(self, market: SimulatedMarket, events: list[Happened]) -> None:
        """Each event to those who subscribed; then the display prices; the account's own first."""
        for told in self.trading.happened(market, events):
            for client in self.clients.values():
                if isinstance(client.desk, Desk):
                    client.link.offer(client.desk.private(told.channel, told.type, told.market, told.body))
        if not self.clients or not events:
            return
        ts = self.clock.now()
        publics = [public_event(market.name, event, ts, version) for event, version in events]
        if any(kalshi.TICKER in client.desk.channels for client in self.clients.values() if type(client.desk) is Desk):
            last = market.trades[-1].price if market.trades else 0
            publics.append(ticker_event(market.name, market.ledger.best, last, market.volume, ts))
        for client in self.clients.values():
            desk = client.desk
            assert isinstance(desk, Desk)
            if desk.wants(market.name):
                client.link.offer([frame for public in publics for frame in desk.publish(public)])

    def fail(self, client: Client, order: FaultOrder) -> bool:
        """The two errors that end a subscription."""
        desk = client.desk
        assert isinstance(desk, Desk)
        if order.kind == "overflow":
            self._overflow(client.link, desk)
        elif order.kind == "channel_error":
            client.link.offer(desk.fail(ErrorCode.CHANNEL_ERROR), answer=True)
        else:
            return False
        return True

    def numbers(self) -> list[int]:
        """The last number of every client's book subscription."""
        return [
            seq
            for client in self.clients.values()
            if isinstance(client.desk, Desk)
            for _, channel, seq in client.desk.positions
            if channel == kalshi.ORDERBOOK
        ]
