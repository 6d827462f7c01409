"""What the simulated venue's faces say to clients of their own: HTTP, raw WebSockets, the control port."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
from trio_websocket import ConnectionClosed, ConnectionRejected, WebSocketConnection, open_websocket_url

from actors.market.simulated.commands import venue
from actors.market.simulated.kalshi_face import KEY_ID
from actors.market.simulated.ledger import Forgotten, Ledger
from actors.market.simulated.market import SimulatedMarket
from actors.market.simulated.standin import StandIn, StandInSettings
from actors.market.simulated.wide_flow import WideFlow
from protocols.control import Refused
from protocols.market import LevelChange
from protocols.nanos import NANO
from protocols.venues import (
    binance,
    binance_commands,
    coinbase,
    kalshi,
    kalshi_commands,
    kalshi_messages,
    kalshi_signing,
)
from protocols.venues.simulated import FaultOrder
from tests.http_client import http_client

PEM = kalshi_signing.generate_ed25519_pem()
SIGNER = kalshi_signing.Signer(KEY_ID, PEM)


@asynccontextmanager
async def standing(**settings: Any) -> AsyncIterator[StandIn]:
    """A venue whose traders stand still."""
    asked: dict[str, Any] = {"coins": ("BTC",), "levels": 100, "hurry": 10.0, "control": True} | settings
    key = kalshi_signing.public_key_of(PEM)
    standin = StandIn(StandInSettings(**asked), key, time.time_ns, time.monotonic_ns)
    await standin.open()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(standin.run)
        with trio.fail_after(20):
            yield standin
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def client(standin: StandIn, word: str, path: str = "", skew_ms: int = 0) -> AsyncIterator[WebSocketConnection]:
    headers = SIGNER.headers(time.time_ns() // 1_000_000 + skew_ms) if word == "kalshi" else []
    raw = [(name.encode(), value.encode()) for name, value in headers]
    async with open_websocket_url(standin.faces[word].url + path, extra_headers=raw) as socket:
        yield socket


async def get(standin: StandIn, word: str, target: str, **headers: str) -> httpx.Response:
    base = standin.control_url if word == "control" else f"http://127.0.0.1:{standin.faces[word].port}"
    async with http_client() as http:
        return await http.get(base + target, headers=headers)


async def post(standin: StandIn, target: str, body: Any) -> httpx.Response:
    async with http_client() as http:
        return await http.post(standin.control_url + target, json=body)


async def hear(socket: WebSocketConnection) -> dict[str, Any]:
    return dict(json.loads(await socket.get_message()))


# -- the truth -------------------------------------------------------------------------------------------------


def test_the_ledger_knows_the_book_of_every_version_that_it_has_not_forgotten() -> None:
    ledger = Ledger("M", memory=4)
    sizes = {3: 5, 4: 2}
    past = []
    for price, change in ((3, 5), (4, 2), (4, -1), (5, 7), (5, -7), (4, 3), (3, -5)):
        ledger.apply(LevelChange("bid", price, change))
        sizes[price] = ledger.size("bid", price)
        past.append((ledger.version, ledger.levels("bid"), ledger.best))
    for version, levels, best in past:
        assert ledger.levels_at(version) == (levels, ())
        assert ledger.best_at(version) == best
    for _ in range(3):
        ledger.apply(LevelChange("ask", 9, 1))
    for version in (0, 1, 2, 99):
        with pytest.raises(Forgotten):
            ledger.best_at(version)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_wide_book_is_made_by_its_seed_alone_and_its_ledger_is_the_engines_book(seed: int) -> None:
    def market() -> SimulatedMarket:
        flow = WideFlow("BTCUSDT", seed, value=60_000 * NANO, tick=NANO // 100, lot=10_000, levels=400)
        return SimulatedMarket(flow, seed)

    one, other = market(), market()
    for _ in range(3_000):
        events = one.step(1)
        assert events == other.step(1)
    view = one.flow.engine.view()
    assert (one.ledger.levels("bid"), one.ledger.levels("ask")) == (view.bids, view.asks)
    assert one.trades
    assert view.bids[0].price < view.asks[0].price
    assert len(view.bids) > 100


# -- Kalshi ----------------------------------------------------------------------------------------------------


async def test_kalshi_over_rest_has_markets_books_trades_and_candles() -> None:
    async with standing(faces=("kalshi",), markets=("SIM-A", "SIM-B", "SIM-C")) as standin:
        prefix = "/trade-api/v2"
        first = (await get(standin, "kalshi", f"{prefix}/markets?limit=2&status=open")).json()
        rest = (await get(standin, "kalshi", f"{prefix}/markets?limit=2&cursor={first['cursor']}")).json()
        assert [each["ticker"] for each in first["markets"] + rest["markets"]] == ["SIM-A", "SIM-B", "SIM-C"]
        assert rest["cursor"] == ""
        book = await get(standin, "kalshi", f"{prefix}/markets/SIM-A/orderbook")
        levels = kalshi_messages.decode_orderbook(book.content, kalshi_messages.Codec())
        ledger = standin.faces["kalshi"].markets["SIM-A"].ledger
        assert {(each.side, each.price, each.size) for each in levels} == {
            *(("bid", each.price, each.size) for each in ledger.levels("bid")),
            *(("ask", each.price, each.size) for each in ledger.levels("ask")),
        }
        assert book.headers["troupe-marks"] == "synthetic"
        trades = (await get(standin, "kalshi", f"{prefix}/markets/trades?ticker=SIM-A&limit=5")).json()
        again = (await get(standin, "kalshi", f"{prefix}/markets/trades?ticker=SIM-A&limit=5")).json()
        assert trades == again
        assert len(trades["trades"]) == 5
        now = time.time_ns() // NANO
        span = f"start_ts={now - 600}&end_ts={now - 300}&period_interval=1"
        candles = (await get(standin, "kalshi", f"{prefix}/series/SIM/markets/SIM-A/candlesticks?{span}")).json()
        assert len(candles["candlesticks"]) == 5
        status = [
            (await get(standin, "kalshi", f"{prefix}{target}")).status_code
            for target in (
                "/account/limits",
                "/markets/NO",
                "/markets?limit=0",
                "/markets?status=nice",
                "/exchange/status",
            )
        ]
        assert status == [401, 404, 400, 400, 200]
        headers = dict(SIGNER.headers(time.time_ns() // 1_000_000, "GET", f"{prefix}/account/limits"))
        assert (await get(standin, "kalshi", f"{prefix}/account/limits", **headers)).json()["read_limit"] == 200


async def test_kalshi_lets_nobody_in_whose_clock_is_five_seconds_off() -> None:
    async with standing(faces=("kalshi",)) as standin:
        for skew_ms in (-6_000, 6_000):
            with pytest.raises(ConnectionRejected) as rejected:
                async with client(standin, "kalshi", skew_ms=skew_ms):
                    pass
            assert rejected.value.status_code == 401
        async with client(standin, "kalshi", skew_ms=3_000):
            pass
        standin.inject(FaultOrder(kind="clock", seconds=-6))
        async with client(standin, "kalshi", skew_ms=-6_000):
            pass


async def test_kalshis_tickers_have_no_sequence_number() -> None:
    async with standing(faces=("kalshi",)) as standin, client(standin, "kalshi") as socket:
        await socket.send_message(kalshi_commands.subscribe(1, kalshi.TICKER, ["SIM-ALPHA"]).decode())
        await hear(socket)
        standin.run_steps(50)
        ticker = await hear(socket)
        assert (ticker["type"], ticker["msg"]["market_ticker"], "seq" in ticker) == ("ticker", "SIM-ALPHA", False)


# -- Binance ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["binance", "binance-usdm"])
async def test_binances_depth_is_a_chain_that_joins_the_snapshot(word: str) -> None:
    async with standing(faces=(word,)) as standin, client(standin, word) as socket:
        await socket.send_message(binance_commands.subscribe(7, ["btcusdt@depth@100ms"]).decode())
        assert await hear(socket) == {"result": None, "id": 7}
        last = 0
        for _ in range(5):
            standin.run_steps(20)
            frame = await hear(socket)
            assert frame["stream"] == "btcusdt@depth@100ms"
            event = frame["data"]
            assert event["U"] <= event["u"]
            if last:
                assert event["U"] == last + 1
                assert event.get("pu", last) == last
            last = event["u"]
        assert ("pu" in event) == (word == "binance-usdm")
        prefix = "/fapi/v1" if word == "binance-usdm" else "/api/v3"
        answer = await get(standin, word, f"{prefix}/depth?symbol=BTCUSDT&limit=1000")
        assert answer.json()["lastUpdateId"] == last
        assert int(answer.headers["x-mbx-used-weight-1m"]) > 0
        ledger = standin.faces[word].markets["BTCUSDT"].ledger
        assert len(answer.json()["bids"]) == len(ledger.levels("bid"))


async def test_binance_answers_commands_on_the_raw_endpoint_among_the_events() -> None:
    async with standing(faces=("binance",)) as standin:
        url = standin.faces["binance"].url.replace("/stream", "/ws/btcusdt@trade")
        async with open_websocket_url(url) as socket:
            await socket.send_message(binance_commands.list_subscriptions(1).decode())
            assert await hear(socket) == {"result": ["btcusdt@trade"], "id": 1}
            for bad, code in (("{", 3), ('{"method":"DANCE"}', 2), ('{"method":"SUBSCRIBE","params":[]}', 2)):
                await socket.send_message(bad)
                assert (await hear(socket))["code"] == code
            standin.run_steps(60)
            assert isinstance(binance.decode(await socket.get_message()).data, binance.TradeEvent)


async def hear_all(socket: WebSocketConnection) -> None:
    while True:
        await socket.get_message()


async def test_binance_closes_on_who_says_too_much() -> None:
    async with standing(faces=("binance",)) as standin, client(standin, "binance") as socket:
        for number in range(6):
            await socket.send_message(binance_commands.list_subscriptions(number).decode())
        for number in range(5):
            assert (await hear(socket))["id"] == number
        with pytest.raises(ConnectionClosed):
            await hear(socket)


async def test_binance_bans_who_goes_on_beyond_the_limit() -> None:
    async with standing(faces=("binance-usdm",)) as standin:
        seen = []
        async with http_client() as http:
            for _ in range(245):
                url = f"http://127.0.0.1:{standin.faces['binance-usdm'].port}/fapi/v1/aggTrades?symbol=BTCUSDT&limit=1"
                answer = await http.get(url)
                if answer.status_code not in seen:
                    seen.append(answer.status_code)
        assert seen == [200, 429, 418]
        assert int(answer.headers["retry-after"]) > 0


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("depth?symbol=X", -1121),
        ("depth", -1102),
        ("klines?symbol=BTCUSDT&interval=7m", -1120),
        ("depth?symbol=BTCUSDT&limit=x", -1100),
    ],
)
async def test_binance_says_what_is_wrong_with_a_call(target: str, code: int) -> None:
    async with standing(faces=("binance",)) as standin:
        answer = await get(standin, "binance", f"/api/v3/{target}")
        assert (answer.status_code, answer.json()["code"]) == (400, code)


# -- Coinbase --------------------------------------------------------------------------------------------------


async def test_coinbase_counts_every_frame_of_a_connection() -> None:
    async with standing(faces=("coinbase",)) as standin, client(standin, "coinbase") as socket:
        for channel in ("heartbeats", "level2", "market_trades", "ticker", "candles"):
            products = [] if channel == "heartbeats" else ["BTC-USD"]
            await socket.send_message(coinbase.subscribe(channel, products).decode())
        kinds: set[str] = set()
        number = 0
        while kinds < {"heartbeats", "l2_data", "market_trades", "ticker", "candles", "subscriptions"}:
            standin.run_steps(5)
            raw = await socket.get_message()
            frame = coinbase.decode(raw)
            assert not isinstance(frame, coinbase.OtherFrame | coinbase.ErrorFrame)
            assert (frame.sequence_num, frame.client_id) == (number, "synthetic")
            number += 1
            kinds.add(json.loads(raw)["channel"])


async def test_a_coinbase_snapshot_is_the_whole_book_and_updates_are_absolute() -> None:
    async with standing(faces=("coinbase",)) as standin, client(standin, "coinbase") as socket:
        await socket.send_message(coinbase.subscribe("level2", ["BTC-USD"]).decode())
        book: dict[tuple[str, str], str] = {}
        ledger = standin.faces["coinbase"].markets["BTC-USD"].ledger
        told = standin.faces["coinbase"].clients[1].told
        standin.run_steps(300)
        seen = None
        while seen != ("BTC-USD", ledger.version):
            frame = await hear(socket)
            seen = told.get("", frame["sequence_num"])
            for event in frame["events"] if frame["channel"] == "l2_data" else ():
                for each in event["updates"]:
                    book[(each["side"], each["price_level"])] = each["new_quantity"]
        bids = {price for (side, price), size in book.items() if side == "bid" and size != "0"}
        assert len(bids) == len(ledger.levels("bid"))


async def test_coinbase_refuses_what_it_does_not_have() -> None:
    async with standing(faces=("coinbase",)) as standin, client(standin, "coinbase") as socket:
        for raw in (coinbase.subscribe("level2", ["NO-USD"]), coinbase.subscribe("gossip", ["BTC-USD"]), b"hello"):
            await socket.send_message(raw.decode())
            assert isinstance(coinbase.decode(await socket.get_message()), coinbase.ErrorFrame)


# -- faults and the control port ---------------------------------------------------------------------------------


async def test_the_control_port_takes_orders_shows_them_and_takes_them_back() -> None:
    async with standing(faces=("binance",)) as standin:
        ordered = await post(standin, "/sim/faults", {"kind": "http", "status": 503, "count": 0, "on": "requests"})
        assert ordered.json() == {"kind": "http", "connections": 0}
        assert (await get(standin, "binance", "/api/v3/time")).status_code == 503
        shown = (await get(standin, "control", "/sim/faults")).json()["faults"]
        assert [(each["kind"], each["hits"]) for each in shown] == [("http", 1)]
        async with http_client() as http:
            assert (await http.delete(f"{standin.control_url}/sim/faults")).json() == {"cleared": 1}
        assert (await get(standin, "binance", "/api/v3/time")).status_code == 200


@pytest.mark.parametrize(
    ("order", "field"),
    [
        ({"kind": "nonsense"}, "kind"),
        ({"kind": "drop", "status": 500}, "status"),
        ({"kind": "drop", "probability": 2}, "probability"),
        ({"kind": "drop", "count": -1}, "count"),
        ({"kind": "drop", "venue": "nasdaq"}, "venue"),
        ({"kind": "close", "code": 7}, "code"),
        ({"kind": "http", "status": 200}, "status"),
        ({"kind": "slow"}, "rate"),
        ({"kind": "clock", "seconds": 1e9}, "seconds"),
    ],
)
async def test_an_order_that_makes_no_sense_is_refused_with_its_field(order: dict[str, Any], field: str) -> None:
    async with standing(faces=("kalshi",)) as standin:
        answer = await post(standin, "/sim/faults", order)
        assert (answer.status_code, answer.json()["error"]["field"]) == (400, field)


async def test_the_control_port_tells_the_book_of_any_frame_and_what_became_of_each() -> None:
    async with standing(faces=("kalshi",)) as standin, client(standin, "kalshi") as socket:
        await socket.send_message(kalshi_commands.subscribe(1, kalshi.ORDERBOOK, ["SIM-ALPHA"]).decode())
        assert (await hear(socket))["type"] == "subscribed"
        snapshot = await hear(socket)
        standin.inject(FaultOrder(kind="drop", count=2))
        standin.run_steps(40)
        assert (await hear(socket))["seq"] == 4
        place = f"venue=kalshi&connection=1&scope=1&seq={snapshot['seq']}"
        book = (await get(standin, "control", f"/sim/book?{place}")).json()
        assert len(book["bids"]) == len(snapshot["msg"]["yes_dollars_fp"])
        log = (await get(standin, "control", "/sim/log?venue=kalshi&limit=1000")).json()["connections"][0]["frames"]
        assert [each["fate"] for each in log[2:5]] == ["drop", "drop", ""]
        assert json.loads(log[2]["frame"])["seq"] == 2
        for bad in ("venue=x", "venue=kalshi&market=NO", "venue=kalshi&connection=9&seq=1", f"{place}99"):
            assert (await get(standin, "control", f"/sim/book?{bad}")).status_code == 404


async def test_a_port_that_is_taken_is_an_error_and_leaves_none_bound() -> None:
    async with standing(faces=("kalshi",)) as standin:
        port = standin.faces["kalshi"].port
        other = StandIn(
            StandInSettings(faces=("coinbase", "kalshi"), ports={"kalshi": port}, warm_up=0),
            kalshi_signing.public_key_of(PEM),
            time.time_ns,
            time.monotonic_ns,
        )
        with pytest.raises(OSError, match="in use"):
            await other.open()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--rate", "-1"], "a rate lies between 0 and 100000"),
        (["--levels", "1"], "levels lie between"),
        (["--venues", "nyse"], "expected faces out of"),
        (["--markets", "sim,SIM"], "no market's name"),
        (["--play", "/nowhere"], "/nowhere cannot be played"),
        (["--key-file", "/dev/null"], "holds no key"),
        (["inject", "dorp"], "expected a kind of fault"),
        (["inject", "drop", "--status", "500"], "takes the options"),
        (["clear", "--addresses", __file__], "no file that a simulated venue has written"),
        (["faults", "--control", "ftp://x"], "expected --control as http://HOST:PORT"),
    ],
)
def test_a_command_that_makes_no_sense_is_refused_in_one_line(arguments: list[str], words: str) -> None:
    with pytest.raises(Refused, match=words) as refused:
        venue(arguments)
    assert "\n" not in str(refused.value)


async def test_a_recording_is_played_as_it_was(tmp_path: Path) -> None:
    from actors.market.simulated.sample import make_sample

    file = tmp_path / "sample.trec"
    make_sample(file, steps=50)
    settings = StandInSettings(faces=())
    standin = StandIn(settings, kalshi_signing.public_key_of(PEM), time.time_ns, time.monotonic_ns, (file, 0.0))
    await standin.open()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(standin.run)
        async with open_websocket_url(standin.faces["kalshi"].url) as socket:
            assert (b"troupe-marks", b"delayed,synthetic") in socket.handshake_headers
            await socket.send_message("begin")
            with trio.fail_after(20):
                assert (await hear(socket))["type"] == "subscribed"
        nursery.cancel_scope.cancel()
