"""The keeper of outcomes: nothing is lost, nothing counts twice, and what nobody knows is not zero."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from actors.thresholds.performance import DAY_NS
from protocols.control import Refused
from protocols.threshold_outcomes import FollowSignal
from protocols.thresholds import OutcomeResolved, PoorPerformance
from runtime.clock import SECOND, VirtualClock
from tests.actors.storage.kit import afetch
from tests.actors.thresholds.intake.stage import BEGIN, BUY, HOUR, LIMIT_S, SETTINGS, Pupil, Stage, stage, until


@pytest.fixture(autouse=True)
def _new_pupil() -> None:
    Pupil.notes, Pupil.refusing = [], set()


async def test_a_declined_signal_comes_to_what_the_exit_side_gives_and_a_traded_one_to_its_trade(
    tmp_path: Path, database: str
) -> None:
    async with stage(tmp_path, database) as at:
        at.quote(99.0, 100.0)
        await at.submit(1)
        await at.submit(2, action="SELL")
        await at.submit(3)
        await until_open(at, 3)
        at.executed(3, 0.07)
        await until(lambda: ("sig_3", 0.07, True) in at.told())
        at.clock.advance(HOUR)
        at.quote(110.0, 111.0)
        await at.pass_time(SECOND)
        await until(lambda: len(at.told()) == 3)
        # Bought at the ask of 100, sold at the bid of 110; sold at the bid of 99, bought back at the ask of 111.
        assert {name: outcome for name, outcome, _ in at.told()} == {
            "sig_1": pytest.approx(0.1),
            "sig_2": pytest.approx(-12 / 99),
            "sig_3": 0.07,
        }
        assert [each.signal.rsi for each in Pupil.notes if isinstance(each, OutcomeResolved)] == [40.0] * 3
        views = await afetch(database, "SELECT id, user_id, round(pnl_percent::numeric, 6), source FROM trades")
        assert [(name, user, float(percent), source) for name, user, percent, source in views] == [
            ("paper-3", "ada", 7.0, "execution")
        ]


async def until_open(at: Stage, count: int) -> None:
    figures = await at.figures()
    while figures.open + figures.resolved < count:
        figures = await at.figures()


async def test_without_a_price_the_outcome_is_unknown_and_never_zero(tmp_path: Path, database: str) -> None:
    async with stage(tmp_path, database) as at:
        at.quote(99.0, 100.0)
        await at.submit(1)
        await until_open(at, 1)
        await at.pass_time(2 * HOUR)  # the quote is long stale
        await until(lambda: len(at.told()) == 1)
        assert at.told() == [("sig_1", None, False)]
        assert (await at.figures()).unknown == 1
        assert await afetch(database, "SELECT count(*) FROM trades") == [(0,)]


async def test_a_trade_that_is_told_twice_counts_once_whatever_is_killed_between(tmp_path: Path, database: str) -> None:
    clock = VirtualClock(BEGIN)
    async with stage(tmp_path, database, clock) as at:
        first = await at.trade(0.02, trade_id="t1")
        assert (first.repeated, first.teaches) == (False, True)
        await until(lambda: len(at.told()) == 1)
        assert (await at.trade(0.02, trade_id="t1")).repeated
        await at.kill()
        # It does not remember yet; what it takes meanwhile is judged when it does.
        await at.trade(0.02, trade_id="t1")
        await at.trade(-0.01, trade_id="t2")
        await until(lambda: len(at.told()) == 2)
    async with stage(tmp_path, database, clock) as at:
        await until_recovered(at)
        assert (await at.trade(0.02, trade_id="t1")).repeated
        await at.trade(0.03, trade_id="t3")
        await until(lambda: len(at.told()) == 3)
        assert [outcome for _, outcome, _ in at.told()] == [0.02, -0.01, 0.03]
        await until_rows(database, 3)


async def test_a_signal_teaches_once_though_another_trade_of_it_is_told_before_it_is_remembered(
    tmp_path: Path, database: str
) -> None:
    async with stage(tmp_path, database) as at:
        await at.trade(0.02, trade_id="t1", signal_id="s1")
        await until(lambda: len(at.told()) == 1)
        await at.kill()
        again = await at.trade(-0.5, trade_id="t2", signal_id="s1")
        assert not again.repeated
        await at.trade(0.03, trade_id="t3")
        await until(lambda: len(at.told()) == 2)
        assert at.told() == [("s1", 0.02, True), ("", 0.03, True)]


async def until_recovered(at: Stage) -> None:
    while (await at.figures()).recovering:
        pass


async def until_rows(database: str, count: int) -> None:
    while (await afetch(database, "SELECT count(*) FROM trades"))[0][0] < count:
        pass
    assert await afetch(database, "SELECT count(*) FROM trades") == [(count,)]


async def test_what_was_followed_before_a_crash_is_resolved_after_it_once(tmp_path: Path, database: str) -> None:
    clock = VirtualClock(BEGIN)
    async with stage(tmp_path, database, clock) as at:
        at.quote(99.0, 100.0)
        await at.submit(1)
        await until_open(at, 1)
        await at.kill()
        await until_recovered(at)
        assert (await at.figures()).open == 1
        await at.submit(2)  # while nobody looked
        await until_open(at, 2)
    async with stage(tmp_path, database, clock) as at:
        await until_recovered(at)
        clock.advance(HOUR)
        at.quote(120.0, 121.0)
        await at.pass_time(SECOND)
        await until(lambda: len(at.told()) == 2)
        await at.kill()
        await until_recovered(at)
        assert [(name, round(share or 0.0, 9), acted) for name, share, acted in sorted(at.told())] == [
            ("sig_1", 0.2, False),
            ("sig_2", 0.2, False),
        ]
        assert (await at.figures()).open == 0
        while (await at.figures()).untold:
            pass
        assert len(at.told()) == 2


async def test_while_the_database_is_away_trades_are_taken_and_a_learner_that_cannot_is_told_again(
    tmp_path: Path, database: str
) -> None:
    clock = VirtualClock(BEGIN)
    Pupil.refusing = {"bob"}
    async with stage(tmp_path, database, clock) as at:
        await at.trade(0.01, trade_id="b1", user_id="bob")
        await at.trade(0.02, trade_id="a1")
        await until(lambda: at.told() == [("", 0.02, True)])
        assert at.told("bob") == []
        await until_rows(database, 2)
    async with stage(tmp_path, "", clock) as at:
        await at.trade(0.03, trade_id="a2")
        assert (await at.figures()).recovering
        assert len(at.told()) == 1
    Pupil.refusing = set()
    async with stage(tmp_path, database, clock) as at:
        await until(lambda: len(at.told()) == 2 and len(at.told("bob")) == 1)
        assert [outcome for _, outcome, _ in at.told()] == [0.02, 0.03]


async def test_an_evaluated_signal_is_followed_and_its_trade_comes_instead_if_it_is_told(
    tmp_path: Path, database: str
) -> None:
    async with stage(tmp_path, database) as at:
        at.quote(99.0, 100.0)

        def follow(name: str, symbol: str = "BTC") -> FollowSignal:
            now = at.clock.now()
            return FollowSignal(user_id="ada", symbol=symbol, signal_id=name, signal=BUY, verdict=None, ts=now)

        followed = await at.keeper.ask(follow("s1"), LIMIT_S)
        assert (followed.due, followed.repeated) == (at.clock.now() + HOUR, False)
        assert (await at.keeper.ask(follow("s1"), LIMIT_S)).repeated
        assert "no feed has a market" in (await at.keeper.ask(follow("s3", "NOWHERE"), LIMIT_S)).why
        await at.keeper.ask(follow("s2"), LIMIT_S)
        taken = await at.trade(0.05, trade_id="t", signal_id="s2", signal=None)
        assert taken.teaches
        unknown = await at.trade(0.05, trade_id="u", signal_id="s9", signal=None)
        assert (unknown.teaches, unknown.why) == (
            False,
            "the signal 's9' is not followed, and the trade does not say what it was",
        )
        at.clock.advance(HOUR)
        at.quote(101.0, 102.0)
        await at.pass_time(SECOND)
        await until(lambda: len(at.told()) == 2)
        assert at.told() == [("s2", 0.05, True), ("s1", pytest.approx(0.01), False)]
        late = await at.trade(0.5, trade_id="late", signal_id="s1", signal=BUY)
        assert late.why.startswith("the outcome of this signal is known already")
        with pytest.raises(Refused, match="outcome: expected a return as a share, got nan"):
            await at.trade(float("nan"))


async def test_a_performance_that_becomes_poor_is_told_once_and_too_few_trades_are_not_poor(
    tmp_path: Path, database: str
) -> None:
    clock = VirtualClock(BEGIN)

    def poor() -> list[PoorPerformance]:
        return [each for each in Pupil.notes if isinstance(each, PoorPerformance)]

    async with stage(tmp_path, database, clock) as at:
        for number in range(9):
            await at.trade(-0.02 - 0.001 * number, trade_id=f"t{number}", closed_at=BEGIN - DAY_NS + number)
        await until(lambda: len(at.told()) == 9)
        await until_rows(database, 9)
        assert poor() == []
        await at.trade(-0.03, trade_id="t9", closed_at=BEGIN)
        await at.pass_time(1)
        await until(lambda: len(poor()) == 1)
        await at.kill()
        await until_recovered(at)
        await at.trade(-0.03, trade_id="t10", closed_at=BEGIN)
        await until(lambda: len(at.told()) == 11)
        assert [(each.user_id, each.symbol) for each in poor()] == [("ada", "BTC")]


async def test_a_performance_that_recovers_is_poor_no_more_and_may_become_so_again(
    tmp_path: Path, database: str
) -> None:
    def poor() -> list[PoorPerformance]:
        return [each for each in Pupil.notes if isinstance(each, PoorPerformance)]

    async with stage(tmp_path, database) as at:

        async def trades(outcome: float, count: int, name: str) -> None:
            for number in range(count):
                share = outcome + 0.001 * (number % 5)
                await at.trade(share, trade_id=f"{name}{number}", closed_at=at.clock.now() - DAY_NS + number)
            await at.pass_time(SECOND)

        async def until_poor(count: int) -> None:
            while (await at.figures()).poor != count:
                await at.pass_time(SECOND)

        await trades(-0.03, 10, "a")
        await until_poor(1)
        await trades(0.05, 60, "b")
        await until_poor(0)
        at.clock.advance(DAY_NS)
        await trades(-0.05, 200, "c")
        await until_poor(1)
        await until(lambda: len(poor()) == 2)


async def test_no_more_signals_are_followed_than_the_settings_allow(tmp_path: Path, database: str) -> None:
    settings = replace(SETTINGS, most_open=1)
    async with stage(tmp_path, database, settings=settings) as at:
        at.quote(99.0, 100.0)

        def follow(name: str) -> FollowSignal:
            now = at.clock.now()
            return FollowSignal(user_id="ada", symbol="BTC", signal_id=name, signal=BUY, verdict=None, ts=now)

        assert (await at.keeper.ask(follow("s1"), LIMIT_S)).due
        with pytest.raises(Refused) as refused:
            await at.keeper.ask(follow("s2"), LIMIT_S)
        assert (refused.value.code, refused.value.message) == ("overloaded", "1 signals are followed already")
        assert (await at.keeper.ask(follow("s1"), LIMIT_S)).repeated
        assert (await at.figures()).open == 1


async def test_a_trade_that_is_told_within_the_grace_is_the_outcome_of_its_signal(
    tmp_path: Path, database: str
) -> None:
    async with stage(tmp_path, database, settings=replace(SETTINGS, grace_s=60.0)) as at:
        at.quote(99.0, 100.0)
        await at.submit(1)
        await until_open(at, 1)
        at.clock.advance(HOUR)
        at.quote(110.0, 111.0)
        await at.pass_time(30 * SECOND)
        for _ in range(200):
            assert (await at.figures()).resolved == 0
        at.executed(1, 0.07)
        await until(lambda: len(at.told()) == 1)
        assert at.told() == [("sig_1", 0.07, True)]
