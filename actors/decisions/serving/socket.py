"""`WS /ws/predictions/{user_id}`: a question per message, its answer, and results of submitted requests as they come.

    client  {"symbol": "BTC", "signal_data": {…}, "market_data": {…}}
    server  {"should_trade": …, "action": …, …}                    the answer, as of POST /api/v1/predict
            {"type": "prediction_result", "data": {…}}             of a request that was submitted
            {"type": "lagged", "lost": 3}   {"type": "error", "code": "invalid", "message": "…", "field": "symbol"}

A user may have several sockets; each gets every result. One that reads slowly loses the oldest, and is told.
"""

from __future__ import annotations

import uuid
from collections import Counter
from typing import Any, Final

import msgspec
import trio

from actors.decisions.bridges.consulting import consulted
from actors.decisions.serving.bodies import (
    Lost,
    Predict,
    PredictOverSocket,
    Problem,
    Pushed,
    decide_request,
    prediction,
)
from actors.decisions.serving.predicting import admit, decided
from actors.edge.call import Call
from actors.edge.errors import HttpError
from actors.edge.explaining import decoded as parsed
from actors.edge.explaining import explained
from actors.edge.websocket import SocketClosed, WebSocket
from protocols.control import Lagged, Refused
from protocols.decisions import DecisionReady
from runtime import Tap

RESULTS: Final = 256
"""Results that may wait for one socket."""
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(PredictOverSocket).decode


class OneUser(msgspec.Struct, frozen=True):
    """Whose socket it is."""

    user_id: str


def connections(call: Call) -> Counter[str]:
    """How many sockets each user has open."""
    found: Counter[str] = call.router.once("decisions.sockets", lambda _: Counter())
    return found


async def predictions(request: OneUser, socket: WebSocket, call: Call) -> None:
    """Serve one client."""
    counted = connections(call)
    counted[request.user_id] += 1
    try:
        with call.node.open_tap((DecisionReady, request.user_id), path="/ws/predictions", capacity=RESULTS) as tap:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_push, socket, tap)
                await _answer(request.user_id, socket, call)
                nursery.cancel_scope.cancel()
    finally:
        counted[request.user_id] -= 1
        if not counted[request.user_id]:
            del counted[request.user_id]


async def _answer(user_id: str, socket: WebSocket, call: Call) -> None:
    try:
        while True:
            await _say(socket, await _one(user_id, await socket.receive(), call))
    except SocketClosed:
        return


async def _one(user_id: str, said: str | bytes, call: Call) -> Any:
    """The answer to one message."""
    clock = call.node.clock
    try:
        timeout_s = await admit(call)
        asked = _decode(said)
        whole = Predict(
            user_id=user_id,
            symbol=asked.symbol,
            signal_data=asked.signal_data,
            market_data=asked.market_data,
            priority=asked.priority,
            timeout_seconds=asked.timeout_seconds,
            explain=asked.explain,
        )
        name = asked.request_id or str(uuid.uuid4())
        request, ignored = decide_request(whole, name, clock.now(), clock.monotonic(), timeout_s)
        request, upstreams = await consulted(request, asked.signal_data, asked.market_data, call)
        return prediction(await decided(request, call), ignored, upstreams)
    except msgspec.ValidationError as error:
        text, field = explained(error, PredictOverSocket, parsed(said))
        return Problem("invalid", text, field or None)
    except msgspec.DecodeError as error:
        return Problem("malformed_json", str(error))
    except (HttpError, Refused) as error:
        return Problem(error.code, error.message, error.field)


async def _push(socket: WebSocket, tap: Tap) -> None:
    try:
        while True:
            for message in await tap.receive():
                if isinstance(message, Lagged):
                    await _say(socket, Lost(message.count))
                elif isinstance(message, DecisionReady):
                    await _say(socket, Pushed(prediction(message.decision)))
    except SocketClosed:
        return


async def _say(socket: WebSocket, message: Any) -> None:
    await socket.send(_encode(message).decode())
