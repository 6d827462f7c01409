"""The simulated venue takes orders as the venues do: signatures, limits, money, what it kills and whom it tells."""

from __future__ import annotations

import json
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import trio

from actors.market.simulated.binance_account import SpotAccount, SpotOrder
from actors.market.simulated.binance_face import BinanceSpotFace
from actors.market.simulated.face import KEY_ID
from actors.market.simulated.kalshi_account import KalshiAccount, PrivateOrder, fee_of
from actors.market.simulated.kalshi_face import KalshiFace
from actors.market.simulated.standin import StandIn, StandInSettings
from protocols.nanos import NANO
from protocols.venues import binance_signing, kalshi_signing
from protocols.venues import kalshi_orders as wire
from protocols.venues.rest import RestCall
from tests.http_client import http_client

PEM = kalshi_signing.generate_ed25519_pem()
CENT = NANO // 100
ORDERS = wire.ORDERS_PATH


@asynccontextmanager
async def standing(word: str) -> AsyncIterator[StandIn]:
    settings = StandInSettings(faces=(word,), coins=("BTC",), levels=0, warm_up=0, rate=0.0)  # type: ignore[arg-type]
    standin = StandIn(settings, kalshi_signing.public_key_of(PEM), time.time_ns, time.monotonic_ns)
    await standin.open()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(standin.run)
        with trio.fail_after(20):
            yield standin
        nursery.cancel_scope.cancel()


class Member:
    """Somebody with the demo key, at Kalshi."""

    def __init__(self, standin: StandIn) -> None:
        face = standin.faces["kalshi"]
        assert isinstance(face, KalshiFace)
        self.face = face
        self.skew_ms = 0
        self.signer = kalshi_signing.Signer(KEY_ID, PEM)
        self.http = http_client()

    async def call(self, method: str, path: str, body: Any = None) -> httpx.Response:
        headers = dict(self.signer.headers(time.time_ns() // 1_000_000 + self.skew_ms, method, f"/trade-api/v2{path}"))
        content = None if body is None else json.dumps(body).encode()
        return await self.http.request(method, self.face.rest_url + path, content=content, headers=headers)

    async def order(self, id: str, side: str = "bid", price: str = "0.4000", count: str = "10.00", **more: Any) -> Any:
        body = {"ticker": "SIM-ALPHA", "side": side, "price": price, "count": count, "client_order_id": id}
        rules = {"time_in_force": "good_till_canceled", "self_trade_prevention_type": "taker_at_cross"}
        return await self.call("POST", ORDERS, body | rules | more)


async def test_kalshi_takes_an_order_once_and_only_with_a_signature_of_now() -> None:
    async with standing("kalshi") as standin:
        member = Member(standin)
        member.skew_ms = -6_000
        assert (await member.call("GET", "/portfolio/balance")).status_code == 401
        member.skew_ms = 0
        unsigned = await member.http.get(member.face.rest_url + "/portfolio/orders")
        assert unsigned.status_code == 401
        created = await member.order("a")
        assert (created.status_code, created.json()["remaining_count"]) == (200, "10.00")
        again = await member.order("a")
        assert (again.status_code, again.json()["error"]["code"]) == (409, wire.DUPLICATE)
        assert len(member.face.trading.account.orders) == 1


async def test_kalshi_refuses_what_cannot_be_paid_amended_or_found() -> None:
    async with standing("kalshi") as standin:
        member = Member(standin)
        order_id = (await member.order("a")).json()["order_id"]
        one = f"{ORDERS}/{order_id}"
        amend = {"ticker": "SIM-ALPHA", "side": "bid", "price": "0.4500", "count": "10.00"}
        refusals = [
            (await member.order("dear", count="100000.00"), 400, "available_balance_too_low"),
            (await member.order("odd", price="0.4050"), 400, "invalid_price"),
            (await member.order("nowhere", ticker="NOWHERE"), 404, "market_not_found"),
            (
                await member.order("short", reduce_only=True, time_in_force="immediate_or_cancel"),
                400,
                "reduce_only_exceeds_position",
            ),
            (await member.call("POST", f"{one}/amend", amend | {"side": "ask"}), 400, "order_side_mismatch"),
            (await member.call("POST", f"{one}/amend", amend | {"ticker": "SIM-BETA"}), 400, "order_ticker_mismatch"),
            (await member.call("POST", f"{one}/decrease", {"reduce_by": "1.00", "reduce_to": "1.00"}), 400, None),
            (await member.call("DELETE", f"{ORDERS}/{'0' * 8}-0000-0000-0000-{'0' * 12}"), 404, "not_found"),
        ]
        for answer, status, code in refusals:
            assert answer.status_code == status, answer.text
            assert code in (None, answer.json()["error"]["code"])
        shrunk = await member.call("POST", f"{one}/decrease", {"reduce_to": "4.00"})
        assert shrunk.json()["remaining_count"] == "4.00"
        gone = await member.call("DELETE", one)
        assert gone.json()["reduced_by"] == "4.00"


async def test_kalshi_kills_orders_for_a_minute_after_a_cancel_all() -> None:
    async with standing("kalshi") as standin:
        member = Member(standin)
        await member.order("a")
        assert (await member.call("DELETE", ORDERS)).status_code == 200
        killed = await member.order("b")
        assert (killed.status_code, killed.json()["remaining_count"]) == (200, "0.00")
        member.face.clock.wrong_ns = 61 * NANO
        member.skew_ms = 61_000
        assert (await member.order("c")).json()["remaining_count"] == "10.00"
        statuses = {each.client_order_id: each.status for each in member.face.trading.account.orders.values()}
        assert statuses == {"a": "canceled", "b": "canceled", "c": "resting"}


async def test_kalshi_counts_tokens_and_a_batch_has_to_fit_whole() -> None:
    async with standing("kalshi") as standin:
        member = Member(standin)
        rules = {"time_in_force": "good_till_canceled", "self_trade_prevention_type": "taker_at_cross"}
        item = {"ticker": "SIM-ALPHA", "side": "bid", "price": "0.4000", "count": "1.00"} | rules
        orders = [item | {"client_order_id": f"o{number}"} for number in range(11)]
        over = await member.call("POST", wire.BATCH_PATH, {"orders": orders})
        assert (over.status_code, over.json()) == (429, {"error": "too many requests"})
        fits = await member.call("POST", wire.BATCH_PATH, {"orders": [*orders[:8], item | {"price": "7.0000"}]})
        answers = fits.json()["orders"]
        assert [bool(each.get("error")) for each in answers] == [False] * 8 + [True]
        assert member.face.limited == 1
        assert len(member.face.trading.account.orders) == 8


def test_kalshis_cash_is_the_sum_of_its_moves_and_a_round_trip_ends_flat() -> None:
    chance = random.Random(5)
    account = KalshiAccount(1_000 * NANO)
    held = paid = 0
    for number in range(300):
        side = chance.choice(["bid", "ask"])
        price, size = chance.randrange(1, 100) * CENT, chance.randrange(1, 500) * CENT
        order = PrivateOrder(
            order_id=str(number), client_order_id="", ticker="M", engine_id=number, side=side,  # type: ignore[arg-type]
            price=price, initial=size, remaining=size, created=0, updated=0,
        )  # fmt: skip
        account.add(order)
        fill = account.fill(order, str(number), price, size, chance.random() < 0.5, number)
        held += size if side == "bid" else -size
        paid += fill.fee
        assert (account.holding("M").quantity, account.holding("M").fees) == (held, paid)
        assert account.cash == sum(move.amount for move in account.moves)
    account.settle("M", 40 * CENT, 1_000)
    holding = account.holding("M")
    assert (holding.quantity, holding.cost) == (0, 0)
    # What came of it is what was realised, to the nano that each of the fills may be rounded by.
    assert abs(account.cash - 1_000 * NANO - (holding.realized - paid)) <= 301 * 2
    assert account.cash == sum(move.amount for move in account.moves)


def test_kalshis_fee_is_rounded_up_to_a_hundredth_of_a_cent() -> None:
    assert fee_of(50 * CENT, 100 * NANO, True) == 1_750_000_000
    assert fee_of(CENT, NANO, True) == 700_000
    assert fee_of(CENT, CENT, True) == 100_000
    assert fee_of(50 * CENT, 100 * NANO, False) == 0


class Trader:
    """Somebody with the demo key, at Binance."""

    def __init__(self, standin: StandIn) -> None:
        face = standin.faces["binance"]
        assert isinstance(face, BinanceSpotFace)
        self.face = face
        self.signer = binance_signing.Signer(KEY_ID, PEM)
        self.http = http_client()

    async def call(self, method: str, path: str, skew_ms: int = 0, spoil: bool = False, **query: Any) -> httpx.Response:
        pairs = tuple((name, str(value)) for name, value in query.items())
        call = RestCall(purpose="", method=method, path=f"/api/v3{path}", query=pairs)
        signed = self.signer.signed(call, time.time_ns() // 1_000_000 + skew_ms)
        target = signed.target.replace("recvWindow=5000", "recvWindow=4999") if spoil else signed.target
        return await self.http.request(method, self.face.rest_url + target, headers=dict(self.signer.headers()))

    async def order(self, **more: Any) -> httpx.Response:
        asked = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC"}
        return await self.call("POST", "/order", **(asked | {"quantity": "0.1", "price": "50000"} | more))


async def test_binance_checks_signature_time_filters_and_money() -> None:
    async with standing("binance") as standin:
        trader = Trader(standin)
        refusals = [
            (await trader.call("GET", "/account", spoil=True), -1022),
            (await trader.call("GET", "/account", skew_ms=-6_000), -1021),
            (await trader.call("GET", "/account", skew_ms=2_000), -1021),
            (await trader.order(symbol="NOWHERE"), -1121),
            (await trader.order(price="50000.001"), -1013),
            (await trader.order(quantity="1000"), -2010),
            (await trader.order(type="STOP_LOSS"), -1116),
            (await trader.call("GET", "/order", symbol="BTCUSDT", origClientOrderId="x"), -2013),
            (await trader.call("DELETE", "/order", symbol="BTCUSDT", orderId=9), -2011),
        ]
        assert [answer.json()["code"] for answer, _ in refusals] == [code for _, code in refusals]
        await trader.order(newClientOrderId="same")
        repeated = await trader.order(newClientOrderId="same")
        assert (repeated.json()["code"], repeated.json()["msg"]) == (-2010, "Duplicate order sent.")
        await trader.call("DELETE", "/order", symbol="BTCUSDT", origClientOrderId="same")
        assert (await trader.order(newClientOrderId="same")).status_code == 200
        account = (await trader.call("GET", "/account")).json()
        usdt = next(each for each in account["balances"] if each["asset"] == "USDT")
        assert (usdt["free"], usdt["locked"]) == ("995000.00000000", "5000.00000000")


async def test_binance_counts_orders_in_ten_seconds() -> None:
    async with standing("binance") as standin:
        trader = Trader(standin)
        answers = [(await trader.order(quantity="0.001")).status_code for _ in range(51)]
        assert answers == [200] * 50 + [429]
        assert trader.face.trading is not None
        assert trader.face.trading.limited == 1


def test_binances_assets_change_by_trades_alone_and_fees_are_of_what_is_received() -> None:
    account = SpotAccount({"USDT": 1_000 * NANO, "BTC": NANO})
    for number, side in enumerate(("bid", "ask")):
        order = SpotOrder(
            order_id=number, engine_id=number, client_order_id="", symbol="BTCUSDT", base="BTC", quote_asset="USDT",
            side=side, type="LIMIT", time_in_force="GTC", price=100 * NANO, quantity=NANO, created=0, updated=0,  # type: ignore[arg-type]
        )  # fmt: skip
        account.add(order)
        assert account.locked("USDT" if side == "bid" else "BTC") == (100 * NANO if side == "bid" else NANO)
        account.fill(order, number, 100 * NANO, NANO, False, 0)
        assert order.status == "FILLED"
    assert account.totals == {"USDT": 1_000 * NANO - NANO // 10, "BTC": NANO - NANO // 1_000}
    assert account.locked("USDT") == account.locked("BTC") == 0
    for asset, total in account.totals.items():
        assert total == sum(amount for name, amount in account.moves if name == asset)
