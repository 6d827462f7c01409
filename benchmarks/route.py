"""A typed JSON route: a POST whose body is validated, and an answer of a declared type.

The peer is FastAPI with pydantic models on uvicorn with uvloop and httptools, one process, access log off. Both servers
check the same fields and rules and answer the same fields; both get the same requests from the same client, over 16
keep-alive connections.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Literal

import msgspec
import trio

from actors.edge.call import Call
from actors.edge.capability import Settings
from actors.edge.edge import Edge, GetEdgeAddress
from actors.edge.routing import post
from benchmarks.harness import (
    TROUPE,
    Child,
    Findings,
    Row,
    Sample,
    Scale,
    cores,
    in_turns,
    times_at_least,
    times_at_most,
    under_load,
)
from runtime import ChildSpec, NodeSettings, open_node
from runtime.collector import GarbageCollector

TITLE = "A typed JSON route"
PATH = "/orders"
CONNECTIONS = 16
RATE = 1_000.0
"""Requests a second in the run for latency: what either server can do with ease."""

BODY = (
    '{"market": "KXBTC-25DEC31-T100000", "side": "yes", "action": "buy", "count": 25, "price": 0.4575, '
    '"client_id": "f3b2c1d0-7a4e-4a53-9c7e-0d6d8e1b2a3c", "tags": ["a", "bench"]}'
)

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class PlaceOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body."""

    market: Text
    side: Literal["yes", "no"]
    action: Literal["buy", "sell"]
    count: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
    price: Annotated[float, msgspec.Meta(gt=0, lt=1)]
    client_id: Text
    tags: tuple[Text, ...] = ()


class Placed(msgspec.Struct, frozen=True):
    """The answer."""

    order_id: int
    market: str
    client_id: str
    cost: float
    status: str


_placed = 0


async def place(request: PlaceOrder, call: Call) -> Placed:
    """Answer an order."""
    global _placed
    _placed += 1
    return Placed(_placed, request.market, request.client_id, request.count * request.price, "accepted")


routes = [post(PATH, place, token=False)]


def serve_troupe(announce: Callable[[dict[str, Any]], None]) -> None:
    """The edge on a node of its own, until the process is ended."""

    async def main(folder: str) -> None:
        arguments = {"settings": Settings(port=0), "routes": ("benchmarks.route:routes",)}
        children = (ChildSpec(name="edge", actor=Edge, arguments=arguments),)
        with GarbageCollector() as collector:
            async with open_node(NodeSettings(data_dir=folder), children) as node:
                collector.freeze()
                address = await node.ref("/edge").ask(GetEdgeAddress())
                announce({"port": address.port})
                await trio.sleep_forever()

    with tempfile.TemporaryDirectory() as folder:
        trio.run(main, folder)


def serve_fastapi(announce: Callable[[dict[str, Any]], None]) -> None:
    """FastAPI on uvicorn, until the process is ended."""
    import socket

    import uvicorn
    from fastapi import FastAPI
    from pydantic import BaseModel, ConfigDict, Field

    class Order(BaseModel):
        model_config = ConfigDict(extra="forbid", frozen=True)
        market: str = Field(min_length=1, max_length=64)
        side: Literal["yes", "no"]
        action: Literal["buy", "sell"]
        count: int = Field(ge=1, le=1_000_000)
        price: float = Field(gt=0, lt=1)
        client_id: str = Field(min_length=1, max_length=64)
        tags: tuple[Annotated[str, Field(min_length=1, max_length=64)], ...] = ()

    class Answer(BaseModel):
        order_id: int
        market: str
        client_id: str
        cost: float
        status: str

    app = FastAPI()
    placed = 0

    async def place_order(order: Order) -> Answer:
        nonlocal placed
        placed += 1
        return Answer(
            order_id=placed,
            market=order.market,
            client_id=order.client_id,
            cost=order.count * order.price,
            status="accepted",
        )

    # The annotations are local classes: FastAPI is given the types themselves.
    place_order.__annotations__ = {"order": Order, "return": Answer}
    app.post(PATH)(place_order)
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, loop="uvloop", http="httptools", access_log=False, log_level="warning")
    announce({"port": listener.getsockname()[1]})
    uvicorn.Server(config).run(sockets=[listener])


SERVERS = {TROUPE: "benchmarks.route:serve_troupe", "uvicorn + FastAPI": "benchmarks.route:serve_fastapi"}


def loaded(server: str, load: str, **parameters: Any) -> Sample:
    """One run of the load generator against one server, each on a core of its own."""
    with Child(server, cores()[0]) as serving:
        return under_load(serving, load, path=PATH, body=BODY, connections=CONNECTIONS, **parameters)


def run(scale: Scale) -> Findings:
    """Throughput first, then, in runs of their own, latency."""
    full = in_turns(
        {side: partial(loaded, server, "closed_loop", seconds=scale.seconds) for side, server in SERVERS.items()},
        scale,
    )
    paced = in_turns(
        {
            side: partial(loaded, server, "open_loop", seconds=scale.seconds, rate=RATE)
            for side, server in SERVERS.items()
        },
        scale,
    )
    peer = next(side for side in SERVERS if side != TROUPE)

    def against(figure: str, unit: str, found: Any, name: str, target: Any = None) -> Row:
        return Row(figure, unit, found[TROUPE][name], peer, found[peer][name], target)

    busy = max(full[TROUPE]["client busy"])
    at_rate = f"{RATE:,.0f} requests/s"
    return Findings(
        (
            against("16 connections, each waits for its answer", "requests/s", full, "requests/s", times_at_least(4)),
            against("the server's time on its core", "µs/request", full, "server µs"),
            against("answer time in that run, p50", "ms", full, "p50"),
            against("answer time in that run, p99", "ms", full, "p99", times_at_most(1)),
            against(f"answer time at {at_rate}, p50", "ms", paced, "p50"),
            against(f"answer time at {at_rate}, p99", "ms", paced, "p99", times_at_most(1)),
            against(f"answer time at {at_rate}, p99.9", "ms", paced, "p99.9"),
        ),
        (
            f"{len(BODY)} bytes of body, seven fields, all with rules. Server and client on a core each; "
            f"the client was busy {busy:.0%} of its core at most.",
            f"At {at_rate} a request's time runs from when it was due, whether or not it could be sent then.",
        ),
    )
