"""The control port of the simulated venue, on loopback: faults on command, the truth about books, what was sent.

GET    /sim                                        addresses, clients, rate
POST   /sim/faults   {"kind": "drop", "count": 3}  order a fault
GET    /sim/faults                                 what is in force
DELETE /sim/faults   [?id=]                        take it back
GET    /sim/book     ?venue=&market=               the book now; with `version`, or with `connection`, `scope` and
                                                   `seq` of a frame, as it was then
GET    /sim/log      ?venue=[&connection=]         the last frames of each connection, and what became of them
POST   /sim/rate     {"rate": 5000}                the pace
POST   /sim/steps    {"steps": 10}                 turns of all traders, at once
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from actors.market.simulated.face import Client, Face, json_answer, whole
from actors.market.simulated.faults import BadFault, fault_order
from actors.market.simulated.http import Answer, Request
from actors.market.simulated.ledger import Forgotten
from actors.market.simulated.market import SimulatedMarket
from protocols.market import SYNTHETIC, Level

if TYPE_CHECKING:
    from actors.market.simulated.standin import StandIn


class _Bad(Exception):
    def __init__(self, status: int, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.field = field


async def control(standin: StandIn, request: Request) -> Answer:
    """Answer a request of the control port."""
    try:
        return json_answer(_answer(standin, request))
    except BadFault as error:
        return _error(400, str(error), error.field)
    except Forgotten as error:
        return _error(404, str(error), "version")
    except _Bad as error:
        return _error(error.status, str(error), error.field)


def _error(status: int, message: str, field: str | None) -> Answer:
    code = "not_found" if status == 404 else "invalid"
    return json_answer({"error": {"code": code, "message": message, "field": field}}, status)


def _answer(standin: StandIn, request: Request) -> object:
    match request.method, request.path:
        case "GET", "/sim":
            return _overview(standin)
        case "GET", "/sim/faults":
            return _in_force(standin)
        case "POST", "/sim/faults":
            order = fault_order(_body(request))
            return {"kind": order.kind, "connections": standin.inject(order)}
        case "DELETE", "/sim/faults":
            id = whole(request.one("id"), 0, 0, 2**60)
            return {"cleared": standin.clear(id or None)}
        case "GET", "/sim/book":
            return _book(standin, request)
        case "GET", "/sim/log":
            return _log(standin, request)
        case "POST", "/sim/rate":
            rate = _number(request, "rate")
            try:
                standin.set_rate(rate)
            except ValueError as error:
                raise _Bad(400, str(error), "rate") from None
            return {"rate": standin.rate}
        case "POST", "/sim/steps":
            steps = int(_number(request, "steps"))
            if not 0 <= steps <= 100_000:
                raise _Bad(400, f"steps lie between 0 and 100000, got {steps}", "steps")
            return {"events": standin.run_steps(steps)}
    raise _Bad(404, f"nothing at {request.method} {request.path}; see GET /sim")


def _body(request: Request) -> dict[str, Any]:
    try:
        return msgspec.json.decode(request.body, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise _Bad(400, f"the body is no JSON object: {error}") from None


def _number(request: Request, name: str) -> float:
    value = _body(request).get(name)
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise _Bad(400, f"expected a number as {name}, got {value!r}", name)
    return value


def _overview(standin: StandIn) -> dict[str, Any]:
    return {
        "marks": [SYNTHETIC],
        "rate": standin.rate,
        "events": standin.events,
        "seed": standin.settings.seed,
        "faces": [
            {
                "venue": face.word,
                "url": face.url,
                "rest_url": face.rest_url,
                "markets": list(face.markets),
                "clients": list(face.clients),
                "refused": face.refused,
            }
            for face in standin.faces.values()
        ],
    }


def _in_force(standin: StandIn) -> dict[str, Any]:
    links = [(face.word, client.link) for face, client in standin.clients()]
    return {
        "faults": [
            {"id": each.id, "hits": each.hits, "left": sum(each.left.values()), **msgspec.structs.asdict(each.order)}
            for each in standin.faults
        ],
        "clocks": {face.word: face.clock.wrong_ns / 1e9 for face in standin.faces.values() if face.clock.wrong_ns},
        "silent": [link.number for _, link in links if link.silent],
        "slow": [link.number for _, link in links if link.rate or link.delay_s],
    }


def _face(standin: StandIn, request: Request) -> Face:
    venue = request.one("venue", "kalshi")
    for word, face in standin.faces.items():
        if word == venue:
            return face
    raise _Bad(404, f"this venue speaks {', '.join(standin.faces)}, not {venue!r}", "venue")


def _client(face: Face, request: Request) -> Client:
    number = whole(request.one("connection"), 0, 1, 2**60)
    client = None if number is None else face.find(number)
    if client is None:
        raise _Bad(404, f"{face.word} has no connection {request.one('connection')!r}", "connection")
    return client


def _book(standin: StandIn, request: Request) -> dict[str, Any]:
    face = _face(standin, request)
    name = request.one("market")
    version: int | None
    if request.one("connection"):
        seq = whole(request.one("seq"), 0, 0, 2**60)
        told = None if seq is None else _client(face, request).told.get(request.one("scope"), seq)
        if told is None:
            raise _Bad(404, f"no frame of a book, or one that is forgotten: {request.one('seq')!r}", "seq")
        name, version = told
    else:
        version = whole(request.one("version"), 0, 0, 2**60)
        if version is None:
            raise _Bad(400, f"no version: {request.one('version')!r}", "version")
    market = face.markets.get(name)
    if market is None:
        raise _Bad(404, f"{face.word} has no market {name!r}", "market")
    return book_of(market, version)


def book_of(market: SimulatedMarket, version: int = 0) -> dict[str, Any]:
    """The true book at a version (0: now): prices and sizes in nanos, best first. Raises Forgotten."""
    ledger = market.ledger
    if version in (0, ledger.version):
        bids, asks = ledger.levels("bid"), ledger.levels("ask")
    else:
        bids, asks = ledger.levels_at(version)

    def pairs(levels: tuple[Level, ...]) -> list[list[int]]:
        return [[level.price, level.size] for level in levels]

    return {
        "market": market.name,
        "version": version or ledger.version,
        "bids": pairs(bids),
        "asks": pairs(asks),
        "marks": [SYNTHETIC],
    }


def _log(standin: StandIn, request: Request) -> dict[str, Any]:
    face = _face(standin, request)
    limit = whole(request.one("limit"), 100, 1, 10_000)
    if limit is None:
        raise _Bad(400, "a limit lies between 1 and 10000", "limit")
    clients = [_client(face, request)] if request.one("connection") else [*face.gone.values(), *face.clients.values()]
    return {
        "connections": [
            {
                "connection": client.link.number,
                "open": not client.link.ended,
                "sent": client.link.sent,
                "waiting": client.link.waiting,
                "frames": [
                    {
                        "number": each.number,
                        "ts": each.ts,
                        "fate": each.fate,
                        "frame": each.payload.decode("utf-8", "replace"),
                    }
                    for each in list(client.link.log)[-limit:]
                ],
            }
            for client in clients
        ]
    }
