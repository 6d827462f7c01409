"""Agents on a real node: what they decide, what becomes of them when they crash, pause, give up, and are restarted."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec
import pytest
import trio

from actors.agents.lives import PauseAgent
from actors.agents.roster import NOT_YET
from actors.agents.settings import AgentConfig, AgentsSettings
from protocols.agents import AgentView, FeatureKnown
from protocols.control import Lagged, Probe
from protocols.decisions import Decide, Observation
from protocols.market import Bar, Funding
from protocols.nanos import NANO
from protocols.paths import AGENT_ROSTER, AGENTS, DECISIONS
from runtime import RestartChild, TerminateChild, WhichChildren
from tests.actors.agents.stage import LIMIT_S, NOWHERE, Desk, Oracle, desk, now_bar


async def ready(at: Desk, user: str = "ada", **config: object) -> None:
    await at.start(user, **{"symbols": ["A"], "validity_s": 600, **config})
    await at.running(user)


async def test_an_agent_decides_at_each_bar_once_and_gives_the_hub_what_it_decided(tmp_path: Path) -> None:
    async with desk(tmp_path, NOWHERE) as at:
        await ready(at, exchange="test")
        bars = [now_bar(at.node, 1, marks=("synthetic",)), now_bar(at.node)]
        for each in (bars[0], bars[0], bars[1], bars[0], now_bar(at.node, market="B")):
            at.node.publish(each)
        first, second = (each.signal for each in await at.signals(2))
        view = await at.decided(2)
        assert (view.prediction_count, view.signals, view.error_count) == (2, 2, 0)
        assert [each.decision_id for each in Oracle.asked] == [first.decision_id, second.decision_id]
        assert first.decision_id != second.decision_id
        assert (first.strategy_id, first.strategy_source, first.symbol, first.action) == (
            "agent:ada",
            "agent",
            "A",
            "BUY",
        )
        assert (first.exchange, first.confidence, first.current_price) == ("test", 0.9, bars[0].close)
        # What was synthetic once stays so; the decision's own mark is there, too.
        assert first.marks == second.marks == ("demo", "synthetic")
        assert first.ts_expires == bars[0].ts_recv + 600 * NANO
        assert (view.last_activity > 0, view.state) == (True, "running")


async def test_what_is_below_the_threshold_or_not_to_be_submitted_is_decided_and_kept_to_itself(tmp_path: Path) -> None:
    async with desk(tmp_path, NOWHERE) as at:
        Oracle.confidence = 0.5
        await ready(at)
        await ready(at, "quiet", submit_signals=False, confidence_threshold=0.1)
        at.node.publish(now_bar(at.node))
        assert (await at.decided(1)).signals == 0
        assert (await at.decided(1, "quiet")).signals == 0


async def test_features_are_warm_from_the_bars_of_before_and_take_what_comes_from_outside(tmp_path: Path) -> None:
    async with desk(tmp_path, NOWHERE) as at:
        for ago in range(60, 0, -1):
            at.node.publish(now_bar(at.node, ago))
        await at.kept(60)
        await ready(at)
        now = at.node.clock.now()
        at.node.publish(Funding("A", "0.0005", now, None, None, now, now - 120 * NANO, ()))
        known = FeatureKnown(symbol="A", name="exchange_netflow", value=0.25, ts=now - 120 * NANO, marks=("delayed",))
        at.node.publish(known)
        at.node.publish(FeatureKnown(symbol="A", name="mood", value=1.0, ts=now))
        at.node.publish(now_bar(at.node))
        view = await at.decided(1)
        observation = Oracle.asked[0].observation
        values = dict(zip(_names(), observation.values, strict=True))
        for name in ("rsi", "macd", "adx", "momentum_20", "volume_ratio", "funding_rate", "exchange_netflow"):
            assert math.isfinite(values[name]), name
        assert math.isnan(values["open_interest_change"])
        assert values["exchange_netflow"] == 0.25
        assert observation.ts_event == now_bar(at.node).end
        assert "delayed" in observation.marks
        assert (view.error_count, "mood" in view.last_error) == (1, True)


def _names() -> tuple[str, ...]:
    from actors.decisions.features.names import FEATURE_SETS, MARKET_29

    return FEATURE_SETS[MARKET_29]


async def test_a_crash_is_shown_and_the_next_life_goes_on_without_deciding_a_bar_again(tmp_path: Path) -> None:
    async with desk(tmp_path, NOWHERE) as at:
        await ready(at)
        decided = now_bar(at.node, 1)
        at.node.publish(decided)
        await at.decided(1)
        at.node.publish(now_bar(at.node, high=1))  # a high below the low: no bar
        view = await at.until(lambda view: view.restarts == 1 and view.state == "running")
        assert view.last_error.startswith("FeatureError: bar: expected low <= open, close <= high")
        assert (view.error_count, view.prediction_count) == (1, 1)
        at.node.publish(decided)
        at.node.publish(now_bar(at.node))
        view = await at.decided(2)
        assert [each.decision_id for each in Oracle.asked] == [
            f"ada/A@1m@{each.start}" for each in (decided, now_bar(at.node))
        ]
        assert len(await at.signals(2)) == 2


async def crashed(at: Desk, count: int) -> AgentView:
    """The agent, once it has crashed so often and is up again, or is not any more."""
    return await at.until(lambda view: view.error_count >= count and view.state in ("running", "error"))


async def test_one_that_crashes_again_and_again_ends_alone_in_error_and_can_be_started_again(tmp_path: Path) -> None:
    async with desk(tmp_path, NOWHERE) as at:
        await ready(at)
        await ready(at, "bob", symbols=["B"])
        for crash in range(6):
            at.node.publish(now_bar(at.node, high=1 + crash))  # the same message twice would be quarantined
            view = await crashed(at, crash + 1)
        assert view.state == "error"
        assert view.last_error.startswith("FeatureError")
        assert (await at.until(lambda view: True, "bob")).state == "running"
        report = await at.node.ref(AGENT_ROSTER).ask(Probe())
        assert (report.status, report.ready, report.detail.startswith("ada: FeatureError")) == ("degraded", True, True)
        assert (await at.start())["status"] == "started"
        view = await at.running()
        assert view.symbols == ("A",)  # as it was last started


async def test_a_paused_agent_is_fed_and_decides_nothing_until_it_is_resumed(tmp_path: Path) -> None:
    async with desk(tmp_path, NOWHERE) as at:
        await ready(at)
        await at.control("pause")
        await at.kill(f"{AGENTS}/ada/A")  # its next life is paused, too
        # Before it is ready it would take a bar for one of before, whether it is paused or not.
        view = await at.until(lambda view: view.restarts == 1 and view.markets[0].ready)
        assert (view.state, view.error_count) == ("paused", 1)
        # The bar is fed all the same: one that is older is not taken afterwards.
        at.node.publish(now_bar(at.node, 1))
        assert (await at.control("resume"))["status"] == "resumed"
        await at.running()
        at.node.publish(now_bar(at.node, 2))
        at.node.publish(now_bar(at.node))
        await at.decided(1)
        assert [each.decision_id for each in Oracle.asked] == [f"ada/A@1m@{now_bar(at.node).start}"]


async def test_one_that_lost_bars_decides_by_all_of_them(tmp_path: Path) -> None:
    async with desk(tmp_path, NOWHERE) as at:
        for user in ("ada", "bob"):
            await ready(at, user, submit_signals=False)
        for ago in range(60, 10, -1):
            at.node.publish(now_bar(at.node, ago))
        agent = at.node.find(f"{AGENTS}/ada/A")
        assert agent is not None
        await at.until(lambda view: view.prediction_count == 50)
        at.node.topics.unsubscribe(agent, Bar, "A")
        for ago in range(10, 0, -1):
            at.node.publish(now_bar(at.node, ago, close=90.0))
        await at.kept(60)
        at.node.topics.subscribe(agent, Bar, "A", lossless=True)
        agent.post_control(Lagged("Bar", "A", 10))
        await at.node.ref(f"{AGENTS}/ada/A").ask(PauseAgent(False))  # it is done with that when it answers this
        at.node.publish(now_bar(at.node))
        view = await at.decided(51)
        await at.decided(61, "bob")
        assert (view.error_count, view.last_error) == (1, "10 bars of A were lost")
        asked = {each.user_id: each for each in Oracle.asked}
        assert asked["ada"].observation == asked["bob"].observation


async def test_without_a_server_the_fallback_decides_and_says_so(tmp_path: Path) -> None:
    async with desk(tmp_path, NOWHERE, server=False) as at:
        await ready(at)
        at.node.publish(now_bar(at.node))
        view = await at.decided(1)
        last = await at.call("GET", "/ada/decisions/last")
        assert (last["served_by"], last["reason"], last["action"]) == ("fallback", "REJECTED", "HOLD")
        assert view.signals == 0


async def test_a_decision_every_third_bar_is_at_multiples_of_three(tmp_path: Path) -> None:
    async with desk(tmp_path, NOWHERE) as at:
        await ready(at, decide_every=3)
        bars = [now_bar(at.node, ago) for ago in range(8, -1, -1)]
        for each in bars:
            at.node.publish(each)
        await at.decided(3)
        due = [each.start for each in bars if each.start // (60 * NANO) % 3 == 0]
        assert [int(each.decision_id.rpartition("@")[2]) for each in Oracle.asked] == due


async def test_decisions_over_http_are_counted_and_those_of_agents_and_deployments_are_not(tmp_path: Path) -> None:
    async with desk(tmp_path, NOWHERE) as at:
        await at.start("web")
        assert (await at.until(lambda view: True, "web")).state == "running"
        server = at.node.ref(DECISIONS)

        def asked(number: int, **fields: str) -> Decide:
            observation = Observation("market29", ())
            return Decide(
                decision_id=f"d{number}", user_id="web", symbol="A", observation=observation, deadline=0, **fields
            )

        for number in range(3):
            await server.ask(asked(number))
        await server.ask(asked(3, signal_id="s"))
        await server.ask(asked(4, agent_id="web/A"))
        await at.decided(3, "web")
        await server.ask(asked(5))
        view = await at.decided(4, "web")
        assert view.prediction_count == 4
        assert (await at.call("GET", "/web/decisions/last?symbol=A"))["decision_id"] == "d5"


async def test_after_a_restart_of_the_node_what_ran_runs_and_what_was_paused_is_paused(
    tmp_path: Path, database: str
) -> None:
    async with desk(tmp_path, database) as at:
        for user in ("ada", "bob", "cem"):
            await ready(at, user, model_type="individual", confidence_threshold=0.2)
        at.node.publish(now_bar(at.node))
        before = await at.decided(1)
        await at.decided(1, "bob")
        await at.decided(1, "cem")
        await at.control("pause", "bob")
        await at.control("stop", "cem")
    async with desk(tmp_path, database) as at:
        view = await at.running()
        assert (view.prediction_count, view.signals, view.created_at) == (1, 1, before.created_at)
        assert view.config == before.config
        bob = await at.until(lambda view: True, "bob")
        assert (bob.state, bob.prediction_count) == ("paused", 1)
        cem = await at.until(lambda view: True, "cem")
        assert (cem.state, cem.prediction_count) == ("stopped", 1)
        at.node.publish(now_bar(at.node, -1))
        assert (await at.decided(2)).prediction_count == 2
        assert (await at.control("resume", "bob"))["success"] is True


async def test_a_roster_that_crashes_finds_the_agents_that_go_on_without_it(tmp_path: Path, database: str) -> None:
    async with desk(tmp_path, database) as at:
        await ready(at)
        at.node.publish(now_bar(at.node, 1))
        await at.decided(1)
        await at.control("pause")
        await at.control("resume")  # its figures are written down
        await at.kill(AGENT_ROSTER)
        view = await at.until(lambda view: view.prediction_count == 1 and view.state == "running")
        assert (view.restarts, view.markets[0].ready) == (0, True)
        assert view.markets[0].last_bar == now_bar(at.node, 1).start
        at.node.publish(now_bar(at.node))
        await at.decided(2)


async def test_a_roster_that_crashes_has_agents_do_what_was_written_down_of_them(tmp_path: Path, database: str) -> None:
    async with desk(tmp_path, database) as at:
        await ready(at)
        # As if it had crashed between a resumption's row and its being told.
        await at.node.ref(f"{AGENTS}/ada/A").ask(PauseAgent(True))
        await at.kill(AGENT_ROSTER)
        view = await at.running()
        assert view.restarts == 0
        at.node.publish(now_bar(at.node))
        assert (await at.decided(1)).prediction_count == 1


async def test_there_are_no_more_agents_than_the_settings_allow(tmp_path: Path) -> None:
    settings = AgentsSettings(most=1, most_symbols=1, defaults=AgentConfig(confidence_threshold=0.75))
    async with desk(tmp_path, NOWHERE, settings, bars=False) as at:
        error = (await at.start("ada", 400, symbols=["A", "B"]))["error"]
        assert (error["field"], error["message"]) == ("config.symbols", "expected at most 1 symbols, got 2")
        assert (await at.start())["config"]["confidence_threshold"] == 0.75
        assert (await at.start("bob", 503))["error"]["code"] == "overloaded"
        await at.control("stop")
        assert (await at.start("bob"))["status"] == "started"


async def test_any_text_is_a_user_with_a_place_of_its_own(tmp_path: Path) -> None:
    users = ("a/b c", "stop", "..", "Ω", "_http", "50%")
    async with desk(tmp_path, NOWHERE, bars=False) as at:
        for user in users:
            await at.start(user, symbols=["BTC/USD", "_http"])
        views = [await at.running(user) for user in users]
        assert [view.user_id for view in views] == list(users)
        assert len({view.key for view in views}) == len(users)
        assert not any("/" in view.key for view in views)
        at.node.publish(now_bar(at.node, market="BTC/USD"))
        for user in users:
            await at.decided(1, user)
            assert (await at.control("stop", user))["user_id"] == user


async def test_a_policy_that_crashes_is_an_error_of_the_agent_which_goes_on(tmp_path: Path) -> None:
    async with desk(tmp_path, NOWHERE) as at:
        await ready(at)
        Oracle.error = "no such layer"
        at.node.publish(now_bar(at.node, 1))
        view = await at.decided(1)
        assert (view.state, view.error_count, view.restarts, view.signals) == ("running", 1, 0, 0)
        assert view.last_error.startswith("fallback (MODEL_ERROR:")
        Oracle.error = ""
        at.node.publish(now_bar(at.node))
        [stored] = await at.signals(1)
        assert stored.signal.decision_id == f"ada/A@1m@{now_bar(at.node).start}"


async def test_without_a_database_agents_work_and_what_they_are_is_there_when_it_comes(
    tmp_path: Path, database: str
) -> None:
    async with desk(tmp_path, NOWHERE) as at:
        await ready(at, confidence_threshold=0.3)
        at.node.publish(now_bar(at.node))
        assert len(await at.signals(1)) == 1
        await at.decided(1)
        await at.control("pause")
    async with desk(tmp_path, NOWHERE) as at:
        # What there was cannot be read, and nobody is started with defaults over it.
        report = await at.node.ref(AGENT_ROSTER).ask(Probe())
        assert (report.status, report.detail) == ("degraded", NOT_YET)
        error = (await at.start("ada", 503))["error"]
        assert (error["code"], error["message"]) == ("unavailable", NOT_YET)
        await ready(at, "bob")
    async with desk(tmp_path, database) as at:
        view = await at.until(lambda view: True)
        assert (view.state, view.prediction_count, view.signals) == ("paused", 1, 1)
        assert msgspec.json.decode(view.config)["confidence_threshold"] == 0.3
        await at.running("bob")


async def test_who_is_started_before_the_agents_of_before_are_read_keeps_the_figures_of_before(
    tmp_path: Path, database: str
) -> None:
    async with desk(tmp_path, database) as at:
        await ready(at)
        at.node.publish(now_bar(at.node))
        before = await at.decided(1)
    async with desk(tmp_path, database) as at:
        # It is a race who comes first, the start or what is read: both ways lead to the same figures.
        body = {"user_id": "ada", "config": {"symbols": ["A"], "confidence_threshold": 0.1}}
        assert (await at.http.post("/start", json=body)).status_code in (200, 409)
        view = await at.until(lambda view: view.prediction_count == 1)
        assert (view.created_at, view.signals) == (before.created_at, 1)


async def test_an_actor_that_somebody_stops_by_its_path_is_not_shown_as_running(tmp_path: Path) -> None:
    async with desk(tmp_path, NOWHERE) as at:
        await ready(at)
        branch = at.node.ref(f"{AGENTS}/ada")
        await branch.ask(TerminateChild("A"))
        view = await at.until(lambda view: view.state == "starting")
        assert (view.markets[0].ready, view.error_count) == (False, 0)
        await branch.ask(RestartChild("A"))
        await at.running()
        # The whole of it, too; started anew by its user it is there again.
        await at.node.ref(AGENTS).ask(TerminateChild("ada"))
        await at.until(lambda view: view.state == "starting")
        await at.control("stop")
        await at.start()
        await at.running()


@pytest.mark.long
async def test_one_that_gave_up_while_there_was_no_roster_is_started_by_the_next_roster(
    tmp_path: Path, database: str
) -> None:
    async with desk(tmp_path, database) as at:
        await ready(at)
        root, name = at.node.ref("/"), AGENT_ROSTER.strip("/")
        await root.ask(TerminateChild(name))
        at.node.publish(now_bar(at.node, high=1))  # its next lives find nobody to begin with
        with trio.fail_after(LIMIT_S):
            while any(each.state != "stopped" for each in await at.node.ref(AGENTS).ask(WhichChildren())):
                await trio.lowlevel.checkpoint()
        await root.ask(RestartChild(name))
        view = await at.running()
        assert view.symbols == ("A",)
