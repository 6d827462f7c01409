"""Users' actors, the roster and the keeper, on a real node without a database."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from msgspec.structs import replace

from actors.thresholds.safeguards import HOUR_NS
from protocols.control import Refused
from protocols.paths import THRESHOLD_ROSTER, THRESHOLD_STATES
from protocols.thresholds import (
    AdaptAll,
    EvaluateBatch,
    EvaluateSignal,
    FreezeThresholds,
    PoorPerformance,
    ResetThresholds,
    ThresholdMoved,
)
from runtime import RestartChild, TerminateChild
from runtime.clock import VirtualClock
from tests.actors.thresholds.stage import BEGIN, LIMIT_S, QUIET, Stage, good, stage


async def move(at: Stage, user: str = "anna") -> float:
    """Teach until the confidence threshold moves; what it is then."""
    first = 1
    for _ in range(20):
        first = await at.teach(20, user=user, first=first)
        if any(record.reason_code == "APPLIED" for record in (await at.adapt(user, force=True)).records):
            break
    value = (await at.view(user)).values["confidence"]
    assert value > 0.65
    return value


async def test_a_new_user_is_judged_by_the_defaults_which_are_known_to_be_his(tmp_path: Path) -> None:
    async with stage(tmp_path) as at:
        verdict = await at.evaluate()
        assert verdict.should_trade
        assert not verdict.provisional
        assert dict(verdict.thresholds)["confidence"] == 0.65
        view = await at.view()
        assert not view.provisional
        assert view.values == dict(verdict.thresholds)


async def test_learned_thresholds_are_served_at_once(tmp_path: Path) -> None:
    async with stage(tmp_path) as at:
        await at.evaluate()
        value = await move(at)
        verdict = await at.evaluate(signal=good(0.66))
        assert dict(verdict.thresholds)["confidence"] == value
        assert not verdict.should_trade
        assert f"minimum {value:.6g}" in verdict.reasoning


async def test_thresholds_go_on_after_a_restart_of_the_node_without_a_database(tmp_path: Path) -> None:
    async with stage(tmp_path) as at:
        value = await move(at)
        last = (await at.records()).records[0]
        shown = await at.view()
    async with stage(tmp_path) as at:
        verdict = await at.evaluate()
        assert dict(verdict.thresholds)["confidence"] == value
        assert not verdict.provisional
        assert (await at.view()) == shown
        assert (await at.records()).records[0] == last


async def test_a_user_that_crashes_goes_on_with_his_state(tmp_path: Path) -> None:
    async with stage(tmp_path) as at:
        value = await move(at)
        shown = await at.view()
        await at.kill_user()
        assert (await at.view()) == shown
        assert dict((await at.evaluate()).thresholds)["confidence"] == value


async def test_a_keeper_and_a_roster_that_crash_lose_nothing(tmp_path: Path) -> None:
    async with stage(tmp_path) as at:
        value = await move(at)
        shown = await at.view()
        await at.kill_keeper()
        await at.kill_user()
        assert (await at.view()) == shown
        await at.kill(THRESHOLD_ROSTER)
        assert dict((await at.evaluate()).thresholds)["confidence"] == value
        assert (await at.view()) == shown


async def test_a_move_that_cannot_be_written_is_neither_served_nor_remembered(tmp_path: Path) -> None:
    parent, _, name = THRESHOLD_STATES.rpartition("/")
    async with stage(tmp_path) as at:
        await at.evaluate()
        await at.teach(200)
        await at.node.ref(parent).ask(TerminateChild(name), LIMIT_S)
        with pytest.raises(Refused):
            await at.adapt(force=True)
        assert dict((await at.evaluate()).thresholds)["confidence"] == 0.65
        await at.node.ref(parent).ask(RestartChild(name), LIMIT_S)
        assert (await at.view()).values["confidence"] == 0.65
        assert "APPLIED" in {record.reason_code for record in (await at.adapt(force=True)).records}
        value = (await at.view()).values["confidence"]
        assert value > 0.65
        assert dict((await at.evaluate()).thresholds)["confidence"] == value


async def test_an_outcome_is_learned_from_once_however_often_it_is_told(tmp_path: Path) -> None:
    async with stage(tmp_path) as at:
        assert (await at.learn(1, 0.1, 0.9)).new
        assert not (await at.learn(1, 0.1, 0.9)).new
        await at.kill_user()
        assert not (await at.learn(1, 0.1, 0.9)).new
        received = {each.name: each.received for each in (await at.view()).thresholds}
        assert received == {"rsi": 1, "confidence": 1, "macd": 1, "volume": 1, "momentum": 1}
    async with stage(tmp_path) as at:
        assert not (await at.learn(1, 0.1, 0.9)).new
        assert (await at.learn(2, 0.1, 0.9)).new


async def test_an_idle_user_ends_and_his_thresholds_are_served_without_him(tmp_path: Path) -> None:
    async with stage(tmp_path, replace(QUIET, idle_s=0.2)) as at:
        value = await move(at)
        await until_passive(at)
        verdict = await at.evaluate()
        assert dict(verdict.thresholds)["confidence"] == value
        assert (await at.stats()).users_active == 0
        assert (await at.stats()).users_passive == 1
        assert (await at.view()).values["confidence"] == value
        assert (await at.stats()).users_active == 1


async def until_passive(at: Stage) -> None:
    with trio.fail_after(LIMIT_S):
        while at.node.find("/thresholds/users/anna") is not None:
            assert isinstance(at.clock, VirtualClock)
            at.clock.advance(100_000_000)
            await trio.sleep(0.005)


async def test_poor_performance_holds_everything_for_two_days(tmp_path: Path) -> None:
    async with stage(tmp_path) as at:
        await at.teach(200)
        told = PoorPerformance(user_id="anna", symbol="BTC", ts=BEGIN)
        assert (await at.roster.ask(told)).new
        assert not (await at.roster.ask(told)).new
        await at.kill_user()
        done = await at.adapt(force=True)
        assert {record.reason_code for record in done.records} == {"COOLDOWN"}
        assert {each.until for each in (await at.view()).thresholds} == {at.node.clock.now() + 48 * HOUR_NS}


async def test_a_freeze_survives_and_a_reset_brings_the_defaults_back(tmp_path: Path) -> None:
    async with stage(tmp_path) as at:
        await move(at)
        await at.roster.ask(FreezeThresholds(user_id="anna", symbol="BTC", reason="kill switch"))
        await at.kill_user()
        done = await at.adapt(force=True)
        assert {record.reason_code for record in done.records} == {"FROZEN"}
        view = await at.roster.ask(ResetThresholds("anna", "BTC"))
        assert view.values["confidence"] == 0.65
        assert dict((await at.evaluate()).thresholds)["confidence"] == 0.65
        assert {each.frozen_by for each in view.thresholds} == {("kill switch",)}


async def test_a_freeze_of_a_user_who_has_learned_nothing_survives_too(tmp_path: Path) -> None:
    async with stage(tmp_path) as at:
        await at.roster.ask(FreezeThresholds(user_id="anna", symbol="BTC", reason="kill switch"))
        await at.kill_user()
        assert {each.frozen_by for each in (await at.view()).thresholds} == {("kill switch",)}
        await at.teach(200)
        done = await at.adapt(force=True)
        assert {record.reason_code for record in done.records} == {"FROZEN"}


async def test_what_moves_is_told_by_user(tmp_path: Path) -> None:
    async with stage(tmp_path) as at:
        with at.node.open_tap((ThresholdMoved, "anna"), capacity=100) as tap:
            value = await move(at)
            told = await tap.receive()
        assert told[-1].record.applied == value


async def test_everybody_is_adapted_and_the_answer_says_where_something_moved(tmp_path: Path) -> None:
    async with stage(tmp_path) as at:
        for user in ("anna", "ben"):
            await at.teach(200, user=user)
        await at.learn(1, 0.1, 0.9, user="carl")
        done = await at.roster.ask(AdaptAll(), LIMIT_S)
        assert done.total_users == 3
        assert dict(done.results).keys() == {"anna/BTC", "ben/BTC"}
        assert done.failures == 0
        again = await at.roster.ask(AdaptAll(), LIMIT_S)
        assert again.total_updates == 0


async def test_a_batch_is_judged_in_its_order(tmp_path: Path) -> None:
    async with stage(tmp_path) as at:
        signals = tuple(
            EvaluateSignal(user_id="anna", symbol=f"S{n % 3}", signal=good(0.4 + n / 100), signal_id=str(n))
            for n in range(60)
        )
        answer = await at.roster.ask(EvaluateBatch(user_id="anna", signals=signals))
        assert [verdict.signal_id for verdict in answer.verdicts] == [str(n) for n in range(60)]
        assert [verdict.should_trade for verdict in answer.verdicts] == [0.4 + n / 100 >= 0.65 for n in range(60)]


async def test_a_batch_of_one_user_has_no_signals_of_another(tmp_path: Path) -> None:
    async with stage(tmp_path) as at:
        signals = tuple(EvaluateSignal(user_id=user, symbol="BTC", signal=good()) for user in ("anna", "ben"))
        with pytest.raises(Refused) as refused:
            await at.roster.ask(EvaluateBatch(user_id="anna", signals=signals))
        assert (refused.value.code, refused.value.field) == ("invalid", "signals[1].user_id")
        assert (await at.stats()).evaluations == 0


@pytest.mark.parametrize(
    ("user", "symbol", "field"), [("", "A", "user_id"), ("a\0", "A", "user_id"), ("a", "\ud800", "symbol")]
)
async def test_what_cannot_be_stored_is_refused_with_its_field(
    tmp_path: Path, user: str, symbol: str, field: str
) -> None:
    async with stage(tmp_path) as at:
        with pytest.raises(Refused) as refused:
            await at.evaluate(user, symbol)
        assert (refused.value.code, refused.value.field) == ("invalid", field)
        with pytest.raises(Refused):
            await at.learn(1, 0.1, 0.9, user=user, symbol=symbol)


async def test_any_text_may_be_a_users_id(tmp_path: Path) -> None:
    async with stage(tmp_path) as at:
        for number, user in enumerate(("a/b", "stop", "../x", "Ж 5%", "_", ".", "..")):
            assert (await at.learn(1, 0.1, 0.9, user=user)).new, user
            assert (await at.view(user)).user_id == user
            assert (await at.stats()).users_active == number + 1
