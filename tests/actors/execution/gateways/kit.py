"""What the tests of gateways share: a venue with empty books, a node with a gateway, what its account hears."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar, get_args

import trio

from actors.execution.matching.exchange import Execution
from actors.market.simulated.flow import Traded
from actors.market.simulated.kalshi_face import KEY_ID, KalshiFace
from actors.market.simulated.standin import StandIn, StandInSettings
from protocols.control import Lagged, Message
from protocols.execution import gateway_actor
from protocols.gateways import AdoptOrders, GatewayState, UseInstruments
from protocols.instruments import Instrument, PriceRange
from protocols.market import Side
from protocols.nanos import NANO
from protocols.orders import NewOrder, VenueFilled, VenueReport
from protocols.venues import kalshi_signing
from protocols.venues.simulated import FaultOrder
from runtime import Actor, ChildSpec, Node, NodeSettings, StartChild, Tap, open_node, receive, supervisor

M = TypeVar("M", bound=Message)
PEM = kalshi_signing.generate_ed25519_pem()
CENT = NANO // 100
MARKET = "SIM-ALPHA"
COIN = "BTCUSDT.BINANCE"
ACCOUNT = "live-1"
# Nothing waits for it in a good run; it ends a run that hangs.
PATIENCE_S = 15.0
ALPHA = Instrument(
    market=MARKET,
    symbol=MARKET,
    venue="kalshi",
    kind="prediction",
    currency="USD",
    price_ranges=(PriceRange(CENT, NANO - CENT, CENT),),
    lot=CENT,
)
QUICK: dict[str, Any] = {"timeout_s": 8.0, "ask_s": 0.05, "arrival_s": 0.3, "backoff_s": 0.02, "reconcile_s": 60.0}
LIMITS = [["rest", 180.0, 190.0], ["write", 90.0, 95.0]]


class Noted(Message, frozen=True, gc=False, tag="noted"):
    """The account has heard how its gateway is, behind all reports that came before."""

    state: GatewayState


class Account(Actor):
    """Publishes what it is told, so that a test can hear it."""

    def on_start(self) -> None:
        self.subscribe(GatewayState)

    @receive
    def noted(self, message: GatewayState) -> None:
        self.publish(Noted(message))

    @receive
    def report(self, message: VenueReport) -> None:
        self.publish(message)


class Trading:
    """A gateway, its account and its venue."""

    def __init__(self, node: Node, tap: Tap, standin: StandIn) -> None:
        self.node = node
        self.standin = standin
        self.heard: list[Message] = []
        """What has come and has not been asked for."""
        self.past: list[Message] = []
        self._tap = tap

    @property
    def gateway(self) -> Any:
        return self.node.ref(gateway_actor(ACCOUNT))

    @property
    def kalshi(self) -> KalshiFace:
        face = self.standin.faces["kalshi"]
        assert isinstance(face, KalshiFace)
        return face

    def tell(self, *commands: Message) -> None:
        for command in commands:
            assert self.gateway.tell(command)

    def fault(self, kind: str, **options: Any) -> None:
        self.standin.inject(FaultOrder(kind=kind, **options))  # type: ignore[arg-type]

    async def next(self, kind: type[M], fits: Callable[[M], bool] = lambda _: True) -> M:
        """The next report or state of this kind that fits; what came before it is in `past`."""
        with trio.fail_after(PATIENCE_S):
            while True:
                while self.heard:
                    message = self.heard.pop(0)
                    assert not isinstance(message, Lagged)
                    self.past.append(message)
                    if isinstance(message, kind) and fits(message):
                        return message
                self.heard += await self._tap.receive()

    async def state(self, *words: str) -> GatewayState:
        return (await self.next(Noted, lambda each: each.state.state in words)).state

    async def all(self, kind: type[M], count: int) -> list[M]:
        """So many of this kind, in order."""
        return [await self.next(kind) for _ in range(count)]

    def told(self, kind: type[M]) -> list[M]:
        """Everything of this kind that was heard so far."""
        return [each for each in (*self.past, *self.heard) if isinstance(each, kind)]

    def other(self, side: Side, cents: int, contracts: int, market: str = MARKET) -> Execution:
        """Somebody else's order at the venue."""
        face = next(face for face in self.standin.faces.values() if market in face.markets)
        simulated = face.markets[market]
        execution = simulated.flow.engine.submit("other", side, cents * CENT, contracts * NANO)
        events = [Traded(fill.trade_id, fill.price, fill.size, fill.taker_side) for fill in execution.fills]
        face.publish(simulated, simulated.keep([*events, *execution.changes], face.clock.now()))
        return execution


def order(id: str, side: str = "buy", cents: int = 40, contracts: int = 10, **more: Any) -> NewOrder:
    fields: dict[str, Any] = {
        "client_order_id": id,
        "market": MARKET,
        "side": side,
        "kind": "limit",
        "price": cents * CENT,
        "size": contracts * NANO,
    }
    return NewOrder(**(fields | more))


def fills_of(trading: Trading, id: str) -> int:
    """What the account was told of an order's fills, nanos."""
    return sum(each.size for each in trading.told(VenueFilled) if each.client_order_id == id)


@asynccontextmanager
async def standing(**settings: Any) -> AsyncIterator[StandIn]:
    """A venue whose books are empty and whose traders stand still."""
    asked: dict[str, Any] = {"coins": ("BTC",), "levels": 0, "warm_up": 0, "rate": 0.0, "hurry": 2.0} | settings
    key = kalshi_signing.public_key_of(PEM)
    standin = StandIn(StandInSettings(**asked), key, time.time_ns, time.monotonic_ns)
    await standin.open()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(standin.run)
        yield standin
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def trading(
    tmp_path: Path,
    venue: str = "kalshi",
    *,
    enabled: bool = True,
    instruments: tuple[Instrument, ...] = (ALPHA,),
    limits: list[list[Any]] = LIMITS,
    wait: bool = True,
    beside: tuple[ChildSpec, ...] = (),
    **settings: Any,
) -> AsyncIterator[Trading]:
    """A gateway that is live."""
    key_file = tmp_path / "key.pem"
    key_file.write_bytes(PEM)
    async with standing(faces=(venue,)) as standin:
        face = standin.faces[venue]
        fields: dict[str, Any] = {
            "account": ACCOUNT,
            "venue": venue,
            "live": True,
            "environment": "simulated",
            "rest_url": face.rest_url,
            "url": private_url(face),
            "key_id": KEY_ID,
            "key_file": str(key_file),
        }
        keeper = ChildSpec(
            name=venue,
            actor="actors.market.budget_keeper:BudgetKeeper",
            arguments={"venue": venue, "limits": limits},
        )
        gateway = ChildSpec(
            name="gateway",
            actor="actors.execution.gateways.gateway:Gateway",
            arguments={
                "settings": fields | QUICK | settings,
                "enabled": enabled,
                "report_to": "/account",
            },
        )
        branch = supervisor("execution", supervisor("accounts", supervisor(ACCOUNT, gateway)))
        budgets = (supervisor("market", supervisor("budgets", keeper)),) if limits else ()
        children = (*budgets, *beside, ChildSpec(name="account", actor=Account))
        kinds = [*get_args(VenueReport), Noted]
        async with open_node(NodeSettings(data_dir=str(tmp_path)), children) as node:
            with node.open_tap(*((kind, None) for kind in kinds), path="test", capacity=100_000) as tap:
                await node.ref("/").ask(StartChild(branch))
                run = Trading(node, tap, standin)
                run.tell(UseInstruments(instruments), AdoptOrders(()))
                if wait:
                    await run.state("live")
                with trio.fail_after(4 * PATIENCE_S):
                    yield run


def private_url(face: Any) -> str:
    return str(getattr(face, "private_url", face.url))
