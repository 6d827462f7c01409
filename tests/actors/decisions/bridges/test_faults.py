"""What a bridge does when its service is away, slow, broken or busy, and when it returns."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import msgspec
import pytest
import trio
from trio.testing import MockClock

from actors.decisions.bridges import upstream
from actors.decisions.bridges.retrying import Backoff
from actors.decisions.bridges.settings import Settings
from protocols.bridges import (
    AggregateSymbols,
    ChangeUpstreamSettings,
    GetMarketWindow,
    GetTradingState,
    SendFeedback,
    StartUpstreamTrading,
    StopUpstreamTrading,
)
from protocols.control import Probe, Refused, Request, Unknown
from protocols.paths import DATA_BRIDGE, TRADING_BRIDGE
from runtime import KillChild, Node, PauseChild
from tests.actors.authority import Authority
from tests.actors.decisions.bridges.kit.nodes import bridged, state_of
from tests.actors.decisions.bridges.kit.service import STATUS, Service, backend, plain, reply, service

Raw = msgspec.Raw
ASK_S = 60.0
SEED = 7
BROKEN = reply(500, {"error": "on fire"})


async def refused(node: Node, request: Request[object], path: str = TRADING_BRIDGE) -> Refused:
    with pytest.raises(Refused) as refusal:
        await node.ref(path).ask(request, ASK_S)
    return refusal.value


async def test_five_failures_in_a_row_open_the_breaker_and_one_success_after_a_minute_closes_it(
    leaping: MockClock,
) -> None:
    async with service(backend) as there, bridged(Settings(trading_url=there.url, retries=0)) as node:
        there.always.append(BROKEN)
        for _ in range(4):
            assert (await refused(node, GetTradingState("ann"))).code == "upstream_error"
        assert (await state_of(node, TRADING_BRIDGE)).breaker == "closed"
        await refused(node, GetTradingState("ann"))
        opened = trio.current_time()
        state = await state_of(node, TRADING_BRIDGE)
        assert (state.breaker, state.consecutive_failures, state.opened) == ("open", 5, 1)
        assert (await node.ref(TRADING_BRIDGE).ask(Probe())).status == "degraded"

        # Calls while it is open are not made, are no failures, and do not put off its end.
        for _ in range(10):
            await trio.sleep(5.0)
            assert (await refused(node, GetTradingState("ann"))).code == "circuit_open"
        state = await state_of(node, TRADING_BRIDGE)
        assert (state.refused, state.statistics.requests, state.statistics.failed) == (10, 5, 5)
        assert len(there.asked) == 5
        await trio.sleep_until(opened + 59.9)
        assert (await refused(node, GetTradingState("ann"))).code == "circuit_open"

        # Half-open: one request decides; it fails, and another minute begins.
        await trio.sleep_until(opened + 60.1)
        assert (await refused(node, GetTradingState("ann"))).code == "upstream_error"
        assert (await refused(node, GetTradingState("ann"))).code == "circuit_open"
        assert len(there.asked) == 6

        await trio.sleep(60.1)
        there.always.clear()
        assert (await node.ref(TRADING_BRIDGE).ask(GetTradingState("ann"))).is_active is True
        state = await state_of(node, TRADING_BRIDGE)
        assert (state.breaker, state.consecutive_failures, state.opened) == ("closed", 0, 2)
        assert (await node.ref(TRADING_BRIDGE).ask(Probe())).status == "ok"


async def test_while_one_request_tries_the_others_are_refused(leaping: MockClock) -> None:
    async with service(backend) as there, bridged(Settings(trading_url=there.url, retries=0)) as node:
        there.faults.extend([BROKEN] * 5)
        for _ in range(5):
            await refused(node, GetTradingState("ann"))
        await trio.sleep(60.1)
        there.hold = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(node.ref(TRADING_BRIDGE).ask, GetTradingState("ann"), ASK_S)
            await there.until(6)
            assert (await state_of(node, TRADING_BRIDGE)).breaker == "half_open"
            assert (await refused(node, GetTradingState("bob"))).code == "circuit_open"
            there.hold.set()
        assert (await state_of(node, TRADING_BRIDGE)).breaker == "closed"
        assert len(there.asked) == 6


async def test_four_failures_and_a_success_begin_the_count_again(leaping: MockClock) -> None:
    async with service(backend) as there, bridged(Settings(trading_url=there.url, retries=0)) as node:
        for _ in range(3):
            there.faults.extend([BROKEN] * 4)
            for _ in range(4):
                await refused(node, GetTradingState("ann"))
            await node.ref(TRADING_BRIDGE).ask(GetTradingState("ann"))
        assert (await state_of(node, TRADING_BRIDGE)).breaker == "closed"


async def test_retries_are_spaced_by_full_jitter(leaping: MockClock) -> None:
    # The node's own draws, in their order; nothing else in this node draws.
    async with service(backend) as there, bridged(Settings(trading_url=there.url), seed=SEED) as node:
        there.faults.extend([BROKEN] * 3)
        assert (await node.ref(TRADING_BRIDGE).ask(GetTradingState("ann"), ASK_S)).is_active is True
        draws = Random(SEED)
        waits = [draws.uniform(0.0, most) for most in (0.2, 0.4, 0.8)]
        spaces = [after.at - before.at for before, after in zip(there.asked, there.asked[1:], strict=False)]
        assert spaces == pytest.approx(waits, abs=1e-6)
        state = await state_of(node, TRADING_BRIDGE)
        assert (state.retries, state.statistics.requests, state.statistics.failed) == (3, 4, 3)


def test_the_longest_wait_doubles_up_to_its_limit_and_the_shortest_is_none() -> None:
    backoff = Backoff(retries=10, first_s=0.2, most_s=2.0)
    assert [backoff.wait(number, lambda low, high: high) for number in range(6)] == [0.2, 0.4, 0.8, 1.6, 2.0, 2.0]
    assert [backoff.wait(number, lambda low, high: low) for number in range(6)] == [0.0] * 6


async def test_after_the_last_retry_the_failure_is_told_as_it_was(leaping: MockClock) -> None:
    async with service(backend) as there, bridged(Settings(trading_url=there.url)) as node:
        there.always.append(reply(503, {"error": "moving house"}))
        refusal = await refused(node, GetTradingState("ann"))
        assert refusal.code == "upstream_unavailable"
        assert refusal.message == 'the trading service has answered 503: {"error": "moving house"}'
        assert len(there.asked) == 4


async def test_retries_end_where_the_breaker_opens_and_the_call_says_why_it_failed(leaping: MockClock) -> None:
    async with service(backend) as there, bridged(Settings(trading_url=there.url)) as node:
        there.always.append(BROKEN)
        await refused(node, GetTradingState("ann"))
        assert len(there.asked) == 4
        assert (await refused(node, GetTradingState("ann"))).code == "upstream_error"
        assert len(there.asked) == 5
        assert (await refused(node, GetTradingState("ann"))).code == "circuit_open"


async def test_a_hanging_service_costs_the_deadline_and_no_more(leaping: MockClock) -> None:
    async with service(backend) as there, bridged(Settings(trading_url=there.url)) as node:
        there.always.append(None)
        begun = trio.current_time()
        refusal = await refused(node, GetTradingState("ann"))
        assert refusal.code == "timed_out"
        assert "within 10 s" in refusal.message
        assert trio.current_time() - begun == pytest.approx(10.0, abs=0.01)
        assert len(there.asked) == 1


async def test_the_deadline_covers_retries(leaping: MockClock) -> None:
    async with service(backend) as there, bridged(Settings(trading_url=there.url, deadline_s=3.0)) as node:
        there.faults.extend([BROKEN, None])
        begun = trio.current_time()
        assert (await refused(node, GetTradingState("ann"))).code == "timed_out"
        assert trio.current_time() - begun == pytest.approx(3.0, abs=0.01)
        assert len(there.asked) == 2


async def test_a_hanging_service_opens_the_breaker_though_those_who_ask_have_less_patience(leaping: MockClock) -> None:
    async with service(backend) as there, bridged(Settings(trading_url=there.url)) as node:
        there.always.append(None)
        for _ in range(5):
            with pytest.raises(Unknown):
                await node.ref(TRADING_BRIDGE).ask(GetTradingState("ann"), 2.0)
        await trio.sleep(10.0)
        assert (await state_of(node, TRADING_BRIDGE)).breaker == "open"


async def test_a_service_that_is_away_is_unavailable_and_one_that_returns_is_asked_again(leaping: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        there = Service(backend)
        await nursery.start(there.run)
        async with bridged(Settings(trading_url=there.url)) as node:
            assert (await node.ref(TRADING_BRIDGE).ask(GetTradingState("ann"))).status == STATUS["status"]
            there.down()
            refusal = await refused(node, GetTradingState("ann"))
            assert (refusal.code, "ConnectError" in refusal.message) == ("upstream_unavailable", True)
            await nursery.start(there.run)
            assert (await node.ref(TRADING_BRIDGE).ask(GetTradingState("ann"), ASK_S)).status == STATUS["status"]
            assert (await state_of(node, TRADING_BRIDGE)).breaker == "closed"
        nursery.cancel_scope.cancel()


async def test_half_an_answer_is_no_answer_and_is_asked_for_again(leaping: MockClock) -> None:
    async with service(backend) as there, bridged(Settings(trading_url=there.url)) as node:
        there.faults.append(reply(200, STATUS, cut=20))
        assert (await node.ref(TRADING_BRIDGE).ask(GetTradingState("ann"), ASK_S)).is_active is True
        assert (await state_of(node, TRADING_BRIDGE)).statistics.by_outcome == (("ok", 1), ("unreachable", 1))


async def test_an_answer_that_is_too_long_is_not_taken(leaping: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream, "MOST_BYTES", 1000)
    async with service(backend) as there, bridged(Settings(trading_url=there.url, retries=0)) as node:
        there.faults.append(reply(200, {**STATUS, "padding": "x" * 1000}))
        refusal = await refused(node, GetTradingState("ann"))
        assert (refusal.code, "an answer of more than 1000 bytes" in refusal.message) == ("upstream_unavailable", True)
        assert (await node.ref(TRADING_BRIDGE).ask(GetTradingState("ann"))).status == STATUS["status"]


async def test_a_busy_service_is_left_alone_for_as_long_as_it_says(leaping: MockClock) -> None:
    async with service(backend) as there, bridged(Settings(trading_url=there.url)) as node:
        there.faults.append(reply(429, {}, headers={"retry-after": "4"}))
        await node.ref(TRADING_BRIDGE).ask(GetTradingState("ann"), ASK_S)
        assert there.asked[1].at - there.asked[0].at == pytest.approx(4.0, abs=0.01)
        there.faults.append(reply(429, {}, headers={"retry-after": "30"}))
        begun = trio.current_time()
        refusal = await refused(node, GetTradingState("ann"))
        assert (refusal.code, len(there.asked)) == ("upstream_unavailable", 3)
        assert trio.current_time() - begun < 1.0  # it would be past the deadline: nobody waits for that


@pytest.mark.parametrize(
    ("fault", "times"),
    [
        (BROKEN, 1),
        (reply(200, STATUS, cut=20), 1),
        (reply(200, b"{"), 1),
        (None, 1),
        (reply(429, {}), 4),
        (reply(503, {}), 4),
    ],
)
async def test_a_start_is_made_again_only_where_it_certainly_was_not_performed(
    leaping: MockClock, fault: bytes | None, times: int
) -> None:
    async with service(backend) as there, bridged(Settings(trading_url=there.url)) as node:
        there.always.append(fault)
        with pytest.raises(Unknown if times == 1 else Refused) as ended:
            await node.ref(TRADING_BRIDGE).ask(StartUpstreamTrading(user_id="ann"), ASK_S)
        assert len(there.asked) == times
        if times == 1:
            assert "it may have been performed" in str(ended.value)


async def test_a_start_with_its_own_key_is_made_again_under_the_same_key(leaping: MockClock) -> None:
    async with service(backend) as there, bridged(Settings(trading_url=there.url)) as node:
        there.faults.extend([BROKEN, reply(200, STATUS, cut=20)])
        started = await node.ref(TRADING_BRIDGE).ask(StartUpstreamTrading(user_id="ann", idempotency_key="k-1"), ASK_S)
        assert started.session_id == "x1"
        assert [each.headers["idempotency-key"] for each in there.asked] == ["k-1"] * 3


@pytest.mark.parametrize(
    "make",
    [
        lambda: StopUpstreamTrading("ann"),
        lambda: ChangeUpstreamSettings("ann", Raw(b"{}")),
        lambda: SendFeedback(user_id="ann", prediction_id="p1", outcome=Raw(b"0.5")),
    ],
)
async def test_a_change_that_may_be_made_twice_is_made_again_and_then_unknown(
    leaping: MockClock, make: Callable[[], Request[object]]
) -> None:
    async with service(backend) as there, bridged(Settings(trading_url=there.url)) as node:
        there.faults.append(BROKEN)
        await node.ref(TRADING_BRIDGE).ask(make(), ASK_S)
        assert len(there.asked) == 2
        there.always.append(BROKEN)
        with pytest.raises(Unknown, match="500"):
            await node.ref(TRADING_BRIDGE).ask(make(), ASK_S)
        if isinstance(make(), SendFeedback):
            assert len({each.headers["idempotency-key"] for each in there.asked}) == 1


async def test_a_change_that_may_have_been_made_by_one_of_its_attempts_is_unknown(leaping: MockClock) -> None:
    async with service(backend) as there, bridged(Settings(trading_url=there.url)) as node:
        there.faults.extend([BROKEN, *[reply(503, {})] * 3])
        with pytest.raises(Unknown, match=r"503.*; it may have been performed"):
            await node.ref(TRADING_BRIDGE).ask(StopUpstreamTrading("ann"), ASK_S)
        assert len(there.asked) == 4


async def test_a_kept_answer_asks_nobody_until_its_time_is_over(leaping: MockClock) -> None:
    async with service(backend) as there, bridged(Settings(data_url=there.url)) as node:
        data = node.ref(DATA_BRIDGE)
        first = await data.ask(GetMarketWindow(symbol="BTC"))
        gathered = await data.ask(AggregateSymbols(symbols=("BTC",)))
        await trio.sleep(299.0)
        assert await data.ask(GetMarketWindow(symbol="BTC")) == first
        assert len(there.asked) == 2
        await data.ask(GetMarketWindow(symbol="BTC", window_hours=48))
        await data.ask(GetMarketWindow(symbol="ETH"))
        assert len(there.asked) == 4
        await trio.sleep(1.1)
        again = await data.ask(GetMarketWindow(symbol="BTC"))
        assert (len(there.asked), again.bars, again.ts_recv > first.ts_recv) == (5, first.bars, True)
        assert await data.ask(AggregateSymbols(symbols=("BTC",))) == gathered
        await trio.sleep(300.0)
        await data.ask(AggregateSymbols(symbols=("BTC",)))
        assert len(there.asked) == 6
        state = await state_of(node, DATA_BRIDGE)
        assert state.cache_hits == 2


async def test_a_window_without_bars_is_not_kept(leaping: MockClock) -> None:
    async with service(backend) as there, bridged(Settings(data_url=there.url)) as node:
        there.faults.append(reply(200, {"data": []}))
        assert (await node.ref(DATA_BRIDGE).ask(GetMarketWindow(symbol="BTC"))).bars == ()
        assert (await node.ref(DATA_BRIDGE).ask(GetMarketWindow(symbol="BTC"))).bars
        assert len(there.asked) == 2


async def test_who_asks_for_the_same_at_once_waits_for_one_call(leaping: MockClock) -> None:
    async with service(backend) as there, bridged(Settings(data_url=there.url)) as node:
        there.hold = trio.Event()
        found: list[object] = []

        async def ask() -> None:
            found.append(await node.ref(DATA_BRIDGE).ask(GetMarketWindow(symbol="BTC"), ASK_S))

        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(ask)
            await there.until(1)
            there.hold.set()
        assert len(there.asked) == 1
        assert len(found) == 20
        assert len(set(map(id, found))) == 1


async def test_a_failure_is_told_to_all_who_waited_and_is_not_kept(leaping: MockClock) -> None:
    async with service(backend) as there, bridged(Settings(data_url=there.url, retries=0)) as node:
        there.faults.append(BROKEN)
        codes: list[str] = []

        async def ask() -> None:
            codes.append((await refused(node, GetMarketWindow(symbol="BTC"), DATA_BRIDGE)).code)

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(ask)
        assert codes == ["upstream_error"] * 3
        assert (await node.ref(DATA_BRIDGE).ask(GetMarketWindow(symbol="BTC"))).bars
        assert len(there.asked) == 2


async def test_only_a_few_requests_are_on_their_way_at_once_and_too_many_calls_are_refused(leaping: MockClock) -> None:
    settings = Settings(max_concurrent=3, max_waiting=10, retries=0)
    async with service(backend) as there, bridged(msgspec.structs.replace(settings, trading_url=there.url)) as node:
        there.hold = trio.Event()
        done: list[str] = []

        async def ask(user: str) -> None:
            await node.ref(TRADING_BRIDGE).ask(GetTradingState(user), ASK_S)
            done.append(user)

        async with trio.open_nursery() as nursery:
            for number in range(10):
                nursery.start_soon(ask, f"u{number}")
            await there.until(3)
            await trio.sleep(1.0)
            assert len(there.asked) == 3
            assert (await state_of(node, TRADING_BRIDGE)).in_flight == 3
            assert (await refused(node, GetTradingState("one more"))).code == "overloaded"
            there.hold.set()
        assert len(done) == 10


async def test_a_change_that_nobody_waits_for_any_more_is_not_made_late(leaping: MockClock) -> None:
    async with service(backend) as there, bridged(Settings(trading_url=there.url, max_concurrent=1)) as node:
        there.faults.append(None)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(refused, node, GetTradingState("ann"))
            await there.until(1)
            with pytest.raises(Unknown):
                await node.ref(TRADING_BRIDGE).ask(StartUpstreamTrading(user_id="ann"), 1.0)
        await trio.sleep(20.0)
        assert [each.path for each in there.asked] == ["/api/trading/status/ann"]


async def test_a_change_whose_asker_has_left_is_not_made_when_its_turn_comes(leaping: MockClock) -> None:
    async with service(backend) as there, bridged(Settings(trading_url=there.url, max_concurrent=1)) as node:
        there.hold = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(node.ref(TRADING_BRIDGE).ask, GetTradingState("ann"), ASK_S)
            await there.until(1)
            with pytest.raises(Unknown):
                await node.ref(TRADING_BRIDGE).ask(StartUpstreamTrading(user_id="ann"), 1.0)
            there.hold.set()
        await trio.sleep(20.0)
        assert [each.path for each in there.asked] == ["/api/trading/status/ann"]


async def test_feedback_that_is_told_and_not_asked_is_sent_all_the_same(leaping: MockClock) -> None:
    async with service(backend) as there, bridged(Settings(trading_url=there.url)) as node:
        there.faults.append(BROKEN)
        node.ref(TRADING_BRIDGE).tell(SendFeedback(user_id="ann", prediction_id="p1", outcome=Raw(b"0.5")))
        await there.until(2)
        assert [each.body["predictionId"] for each in there.asked] == ["p1", "p1"]


async def test_a_service_that_does_not_speak_tls_is_unavailable_and_harms_nobody() -> None:
    async with plain() as url, bridged(Settings(trading_url=url, retries=0)) as node:
        refusal = await refused(node, GetTradingState("ann"))
        assert (refusal.code, "SSL" in refusal.message) == ("upstream_unavailable", True)
        assert (await state_of(node, TRADING_BRIDGE)).statistics.by_outcome == (("unreachable", 1),)


async def test_a_service_whose_authority_nobody_knows_is_not_called(authority: Authority) -> None:
    async with (
        service(backend, authority.server()) as there,
        bridged(Settings(trading_url=there.url, retries=0)) as node,
    ):
        refusal = await refused(node, GetTradingState("ann"))
        assert (refusal.code, "CERTIFICATE_VERIFY_FAILED" in refusal.message) == ("upstream_unavailable", True)
        assert there.asked == []


async def test_a_service_whose_authority_the_user_trusts_is_called(trusted_authority: Authority) -> None:
    async with (
        service(backend, trusted_authority.server()) as there,
        bridged(Settings(trading_url=there.url, retries=0)) as node,
    ):
        assert (await node.ref(TRADING_BRIDGE).ask(GetTradingState("ann"))).is_active is True


async def test_a_bridge_that_is_killed_begins_anew_and_serves(leaping: MockClock) -> None:
    from tests.runtime.kit import kill

    async with service(backend) as there, bridged(Settings(trading_url=there.url)) as node:
        await node.ref(TRADING_BRIDGE).ask(GetTradingState("ann"))
        there.hold = trio.Event()
        async with trio.open_nursery() as nursery:

            async def lost() -> None:
                with pytest.raises(Unknown):
                    await node.ref(TRADING_BRIDGE).ask(GetTradingState("ann"), ASK_S)

            nursery.start_soon(lost)
            await there.until(2)
            await kill(node, TRADING_BRIDGE)
        there.hold = None
        while True:
            try:
                state = await state_of(node, TRADING_BRIDGE)
                break
            except Refused:
                await trio.sleep(0.1)
        assert state.statistics.requests == 0
        assert (await node.ref(TRADING_BRIDGE).ask(GetTradingState("ann"))).is_active is True


async def test_what_a_call_of_the_life_before_has_come_to_does_not_crash_the_next(leaping: MockClock) -> None:
    parent, _, name = TRADING_BRIDGE.rpartition("/")
    async with service(backend) as there, bridged(Settings(trading_url=there.url)) as node:
        there.hold = trio.Event()
        bridge = node.find(TRADING_BRIDGE)
        assert bridge is not None
        async with trio.open_nursery() as nursery:

            async def lost() -> None:
                with pytest.raises(Unknown):
                    await node.ref(TRADING_BRIDGE).ask(GetTradingState("ann"), ASK_S)

            nursery.start_soon(lost)
            await there.until(1)
            await node.ref(parent).ask(PauseChild(name))
            there.hold.set()
            while not bridge.queue:  # noqa: ASYNC110 - the answer waits behind the pause, and nothing tells it
                await trio.sleep(0.1)
            await node.ref(parent).ask(KillChild(name))
        assert (await node.ref(TRADING_BRIDGE).ask(GetTradingState("ann"), ASK_S)).status == STATUS["status"]
        assert bridge.mark.incarnation.count == 2
