"""The keeper on a real tree, with the node's log and no database: what it counts, and that a crash loses nothing."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from actors.decisions.experiments.facts import Facts
from actors.decisions.experiments.history import Logged, Trade
from actors.decisions.experiments.messages import HistoryFound
from actors.decisions.experiments.phase import Seen
from protocols.control import Probe, Refused
from protocols.decisions import Decision, OutcomeSeen
from protocols.experiment_reports import AbTestReport
from protocols.experiments import (
    AbTestRow,
    AnalysisPlan,
    AssignmentRow,
    DecisionOutcomeRow,
    ExposureRow,
    Feedback,
    ShadowPairRow,
)
from protocols.paths import DECISIONS
from protocols.rollouts import StageTest
from tests.actors.decisions.experiments.stage import BEGIN, DAY, LIMIT_S, Stage, experiment, rows, stage, until
from tests.actors.decisions.serving.policies import Failing, Sure
from tests.actors.decisions.serving.stage import following

USERS = 60


def arms(decisions: dict[str, Decision]) -> dict[str, str]:
    return {user: decision.arm for user, decision in decisions.items()}


def figures(report: AbTestReport) -> AbTestReport:
    """What does not depend on when it was asked for."""
    return replace(report, ts=0)


async def test_each_user_is_exposed_once_however_often_and_by_whomever_they_are_served(tmp_path: Path) -> None:
    async with stage(tmp_path) as at:
        at.serve(Failing("000000000002"))
        first = await at.predictions(USERS)
        again = await at.predictions(USERS)
        assert arms(first) == arms(again)
        failed = [each for each in first.values() if each.served_by == "fallback"]
        # From the twentieth failure on the model's breaker is open; all of it counts for the arm.
        assert {(each.reason, each.arm) for each in failed} == {
            ("MODEL_ERROR", "treatment"),
            ("CIRCUIT_OPEN", "treatment"),
        }
        assert len(failed) == Counter(arms(first).values())["treatment"] > 10
        status, report = await at.status(), await at.report()
        assert dict(status.users) == Counter(arms(first).values())
        assert (status.total_requests, status.rl_requests) == (2 * USERS, 0)
        control, treatment = report.arms
        assert (control.served_by, control.reasons) == ((("rule", 2 * control.units),), ())
        assert [by for by, _ in treatment.served_by] == ["fallback"]
        assert sum(times for _, times in treatment.reasons) == treatment.requests == 2 * treatment.units
        logged = await at.logged()
        assert {row.unit: row.arm for row in rows(logged, ExposureRow)} == arms(first)
        assert {row.user_id: row.assignment for row in rows(logged, AssignmentRow)} == arms(first)
        assert len(rows(logged, ExposureRow)) == len(rows(logged, AssignmentRow)) == USERS


async def test_feedback_comes_later_twice_out_of_order_and_for_what_nobody_decided(tmp_path: Path) -> None:
    async with stage(tmp_path) as at:
        one, two, three = [await at.predict("ann") for _ in range(3)]
        at.clock.advance(3 * DAY)
        late = await at.predict("ann")
        assert not (await at.feedback(late, 0.04)).repeated
        assert not (await at.feedback(two, -0.02)).repeated
        assert not (await at.feedback(one, 0.01, success=True, note="closed by hand")).repeated
        assert (await at.feedback(two, -0.02)).repeated
        with pytest.raises(Refused, match=r"known from feedback: -0.02, not 0.5") as conflict:
            await at.feedback(two, 0.5)
        assert (conflict.value.code, conflict.value.field) == ("conflict", "outcome")
        for user, decision_id in (("ann", "nobody's"), ("bob", three.decision_id)):
            with pytest.raises(Refused) as unknown:
                await at.keeper.ask(Feedback(user_id=user, decision_id=decision_id, outcome=1.0), LIMIT_S)
            assert (unknown.value.code, unknown.value.field) == ("not_found", "predictionId")
        [arm] = [arm for arm in (await at.report()).arms if arm.units]
        # Two user-days, each of the day of its decisions: 0.01 - 0.02, and 0.04.
        assert (arm.user_days, arm.pending) == (2, 1)
        assert arm.mean == pytest.approx(0.015)


async def test_what_came_of_a_decision_is_told_once(tmp_path: Path) -> None:
    async with stage(tmp_path) as at, following(at.node, OutcomeSeen) as seen:
        decision = await at.predict("ann")
        for _ in range(2):
            await at.feedback(decision, -0.02)
        other = await at.predict("bob")
        await at.feedback(other, 0.0, success=True)
        [one, two] = await seen.count(2)
        assert (one.decision_id, one.success, one.outcome) == (decision.decision_id, False, -0.02)
        assert (one.model, one.ts_decision) == (decision.served_by, decision.ts)
        assert (two.decision_id, two.success) == (other.decision_id, True)


async def _requests(at: Stage, wanted: int) -> bool:
    return (await at.status()).total_requests == wanted


async def test_a_crash_of_the_keeper_loses_nothing_and_counts_nothing_twice(tmp_path: Path) -> None:
    async with stage(tmp_path, experiment(shadows=("other",))) as at:
        at.serve(Sure("00000000000a"), "other")
        first = await at.predictions(USERS)
        for number, decision in enumerate(first.values()):
            await at.feedback(decision, 0.001 * (number % 7))
        before, standing = figures(await at.report()), await at.status()
        await at.kill()
        assert figures(await at.report()) == before
        assert await at.status() == standing
        # While it is away, too: its next life finds these in the log.
        await at.kill(back=False)
        more = await at.predictions(20, "away")
        await until(lambda: _requests(at, USERS + 20))
        status = await at.status()
        assert status.total_requests == USERS + 20
        assert dict(status.users) == Counter(arms(first | more).values())
        assert (await at.feedback(first["u1"], 0.001)).repeated
        await at.feedback(more["away3"], 0.5)
        assert len(rows(await at.logged(), ExposureRow)) == USERS + 20


async def test_a_search_that_has_to_begin_anew_counts_nothing_twice(tmp_path: Path) -> None:
    async with stage(tmp_path) as at:
        await at.predictions(3)
        await at.logged()
        facts = Facts(at.log, at.clock, lambda test, arm: None, lambda row: None)
        await facts.begin((experiment(),), Logged([], {}), ())
        assert facts.incomplete  # as if the database had all of it
        ts = at.clock.now()
        past = HistoryFound(
            name="t",
            version=1,
            exposures=(("ann", "control", ts),),
            assignments=(("ann", "control"),),
            requests=(("ann", "", "control", "rule", "", True, 120, False, ts, 7),),
            before=(("ann", ts // DAY - 1, 0.5),),
            outcomes=(),
            pairs=(),
        )
        for _ in range(2):
            await facts.take_in(past)
        status = facts.ledger.status("t", "")
        assert (status.total_requests, dict(status.users)) == (7, {"control": 1, "treatment": 0})
        assert facts.ledger.tests["t"].before == {"ann": {ts // DAY - 1: 0.5}}


async def test_a_trade_that_is_found_twice_is_taken_once(tmp_path: Path) -> None:
    async with stage(tmp_path) as at:
        seen = Seen.of(await at.predict("ann"))
        ended: list[DecisionOutcomeRow] = []
        facts = Facts(at.log, at.clock, lambda test, arm: None, ended.append)
        await facts.begin((experiment(),), Logged([], {}), ())
        facts.decided(seen)
        first = Trade(seq=1, outcome_id="o1", ts=seen.ts + 1, value=0.25, marks="", seen=seen)
        # The second part of the same position is closed later: that adds up.
        for trade in (first, first, replace(first, seq=2, outcome_id="o2", value=0.5)):
            facts.traded(trade)
        assert facts.ledger.told[seen.decision_id].outcome == 0.75
        assert [row.outcome for row in ended] == [0.25]


async def test_a_restart_of_the_node_and_of_the_server_leave_everybody_where_they_are(tmp_path: Path) -> None:
    async with stage(tmp_path, experiment(0.3)) as at:
        await at.configure(rl_traffic_percentage=0.4)
        first = await at.predictions(USERS)
        await at.feedback(first["u3"], 0.03)
        before = figures(await at.report())
        await at.kill(DECISIONS)
        at.serve()
        assert arms(await at.predictions(USERS)) == arms(first)
    async with stage(tmp_path, experiment(0.3)) as at:
        assert (await at.status()).rl_traffic_percentage == 0.4
        assert arms(await at.predictions(USERS)) == arms(first)
        after = figures(await at.report())
        assert [replace(arm, requests=0, pending=0, served_by=(), p99_ms=None) for arm in after.arms] == [
            replace(arm, requests=0, pending=0, served_by=(), p99_ms=None) for arm in before.arms
        ]
        assert (await at.status()).total_requests == 3 * USERS


async def test_an_assignment_that_is_stored_wins_over_the_draw_until_the_next_phase(tmp_path: Path) -> None:
    async with stage(tmp_path) as at:
        drawn = (await at.predict("moved")).arm
        wanted = {"control": "treatment", "treatment": "control"}[drawn]
        place = {"stream": AssignmentRow.table, "ts": at.clock.now(), "test_name": "t", "version": 1}
        # As an importer writes it, of users who were in these arms elsewhere.
        for number in range(10):
            seq = at.log.last_seq(AssignmentRow.table) + 1
            row = AssignmentRow(**place, seq=seq, user_id=f"imported-{number}", assignment=wanted)  # type: ignore[arg-type]
            at.log.append(row)
        await at.kill()
        await at.status()
        found = {(await at.predict(f"imported-{number}")).arm for number in range(10)}
        assert found == {wanted}
        await at.configure(enabled=False)
        await at.configure(enabled=True)
        assert {(await at.predict(f"imported-{number}")).arm for number in range(10)} == {wanted}
        assert (await at.predict("moved")).arm == drawn
        await at.configure(rl_traffic_percentage=0.4)
        assert len({(await at.predict(f"imported-{number}")).arm for number in range(10)}) == 2


async def test_another_share_is_another_split_with_another_salt_and_another_phase(tmp_path: Path) -> None:
    async with stage(tmp_path) as at:
        first = await at.predictions(400)
        before = await at.status()
        after = await at.configure(rl_traffic_percentage=0.4)
        assert after.plan.version == before.plan.version + 1
        assert after.plan.salt != before.plan.salt
        assert [arm.weight for arm in after.plan.arms] == [0.6, 0.4]
        assert (after.total_requests, dict(after.users)) == (0, {"control": 0, "treatment": 0})
        second = await at.predictions(400)
        # A draw of its own: whoever was in the treatment is as likely to be in it again as everybody else.
        again = [second[user].arm for user, decision in first.items() if decision.arm == "treatment"]
        assert 0.3 < again.count("treatment") / len(again) < 0.5
        assert (await at.report(version=before.plan.version)).arms[0].units == Counter(arms(first).values())["control"]
        assert {row.version for row in rows(await at.logged(), AbTestRow)} == {1, 2}
        # What is already so is no change; less coverage would send users back.
        assert await at.configure(rl_traffic_percentage=0.4) == await at.status()
        with pytest.raises(Refused, match=r"coverage: expected 1 or more, got 0\.5"):
            await at.configure(coverage=0.5)
        with pytest.raises(Refused, match=r"expected a number from 0 to 1, got 1\.5"):
            await at.configure(rl_traffic_percentage=1.5)


async def test_while_a_test_is_off_nobody_is_assigned_and_later_everybody_is_where_they_were(tmp_path: Path) -> None:
    async with stage(tmp_path) as at:
        first = await at.predictions(USERS)
        assert not (await at.configure(enabled=False)).plan.enabled
        off = await at.predictions(USERS)
        assert {(each.experiment, each.arm, each.served_by) for each in off.values()} == {("", "", "rule")}
        assert (await at.status()).total_requests == USERS
        await at.configure(enabled=True)
        assert arms(await at.predictions(USERS)) == arms(first)
        assert (await at.status()).plan.version == 1


async def test_a_change_of_the_configuration_counts_from_the_next_start_and_the_same_one_changes_nothing(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path, experiment(0.1)) as at:
        await at.configure(rl_traffic_percentage=0.2)
    async with stage(tmp_path, experiment(0.1)) as at:
        assert (await at.status()).rl_traffic_percentage == 0.2
    async with stage(tmp_path, experiment(0.1, enabled=False)) as at:
        status = await at.status()
        assert (status.plan.enabled, status.rl_traffic_percentage, status.plan.version) == (False, 0.2, 2)
    async with stage(tmp_path, experiment(0.5, enabled=False)) as at:
        status = await at.status()
        assert (status.plan.enabled, status.rl_traffic_percentage, status.plan.version) == (False, 0.5, 3)
        assert status.plan.salt == "t:3"
    async with stage(tmp_path, experiment(0.5, treatment="other")) as at:
        plan = (await at.status()).plan
        assert (plan.enabled, plan.version, plan.arms[1].serves) == (True, 4, "other")


async def test_tests_of_one_namespace_share_no_user_and_all_users(tmp_path: Path) -> None:
    one = experiment(name="one", namespace="traders", to_point=0.4)
    two = experiment(name="two", namespace="traders", from_point=0.4, treatment="other")
    async with stage(tmp_path, one, two) as at:
        at.serve(Sure("00000000000b"), "other")
        decisions = await at.predictions(300)
        sizes = Counter(decision.experiment for decision in decisions.values())
        assert sizes.keys() == {"one", "two"}
        assert 0.3 < sizes["one"] / 300 < 0.5
        await at.configure(name="one", rl_traffic_percentage=0.9)
        again = await at.predictions(300)
        assert all(again[user].experiment == decision.experiment for user, decision in decisions.items())
        assert arms({u: d for u, d in again.items() if d.experiment == "two"}) == arms(
            {u: d for u, d in decisions.items() if d.experiment == "two"}
        )
        for name in ("one", "two"):
            assert sum(dict((await at.status(name)).users).values()) == sizes[name]


async def test_users_that_went_missing_from_an_arm_block_every_claim(tmp_path: Path) -> None:
    async with stage(tmp_path) as at:
        seen = await at.predictions(120)
        for number, decision in enumerate(seen.values()):
            await at.feedback(decision, 0.05 + 0.001 * (number % 5) if decision.arm == "treatment" else 0.0)
        claimed = await at.report()
        assert (claimed.blocked, claimed.state) == (False, "treatment is better")
        # A hundred more of the treatment; their like of the control never come through.
        for number in range(100):
            at.publish(replace(seen["u0"], decision_id=f"x{number}", user_id=f"x{number}", arm="treatment"))
        report = await at.report()
        assert report.blocked
        assert report.reasons[0].startswith("sample ratio mismatch (p ")
        assert [effect.state for effect in report.effects] == ["blocked: nothing can be claimed"]
        assert report.effects[0].any_time.difference is not None  # it is shown all the same


async def test_who_is_seen_in_two_arms_counts_in_none(tmp_path: Path) -> None:
    async with stage(tmp_path) as at:
        seen = await at.predictions(20)
        other = {"control": "treatment", "treatment": "control"}[seen["u0"].arm]
        at.publish(replace(seen["u0"], decision_id="again", arm=other))
        report = await at.report()
        assert sum(arm.units for arm in report.arms) == 19
        assert sum(arm.exposures for arm in report.arms) == 21
        assert (report.flagged, report.reasons) == (1, ("1 units were seen in several arms",))


async def test_what_came_of_decisions_before_the_exposure_or_after_the_rollback_counts_for_no_arm(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path, experiment(coverage=0.0)) as at:
        before = await at.predict("ann")
        await at.configure(coverage=1.0)
        at.clock.advance(DAY)
        during = await at.predict("ann")
        at.clock.advance(DAY)
        await at.keeper.ask(StageTest(name="t", version=1, reverted="rule", over=True, why="smoke"), LIMIT_S)
        after = await at.predict("ann")
        assert [each.version for each in (before, during, after)] == [1, 1, 1]
        for decision, outcome in ((before, 0.5), (during, 0.01), (after, -0.5)):
            await at.feedback(decision, outcome)
        [arm] = [arm for arm in (await at.report()).arms if arm.units]
        assert (arm.name, arm.user_days, arm.mean, arm.pending) == (during.arm, 1, 0.01, 0)


async def test_what_a_shadow_says_is_no_exposure_and_is_compared_with_what_was_served(tmp_path: Path) -> None:
    only_rule = experiment(0.0, shadows=("rl",), treatment="other")
    async with stage(tmp_path, only_rule) as at:
        # The rule trades, and loses; the shadow would not have traded.
        at.serve(Sure("00000000000c", confidence=0.4))
        live = await at.predictions(30)
        await until(lambda: _pairs(at, 30))
        for number, decision in enumerate(live.values()):
            await at.feedback(decision, -0.02 - 0.0001 * (number % 3))
        report = await at.report()
        assert sum(arm.units for arm in report.arms) == 30
        assert {row.arm for row in rows(await at.logged(), ExposureRow)} == {"control"}
        [shadow] = report.shadows
        assert (shadow.arm, shadow.pairs, shadow.agreement, shadow.known, shadow.unknown) == ("rl", 30, 0.0, 30, 0)
        assert shadow.difference is not None
        assert shadow.difference.estimate == pytest.approx(0.0201)
        assert shadow.state == "rl would be better"


async def _pairs(at: Stage, wanted: int) -> bool:
    return len(rows(await at.logged(), ShadowPairRow)) == wanted


async def test_a_switchback_assigns_markets_for_an_hour_and_leaves_the_beginning_out(tmp_path: Path) -> None:
    hourly = experiment(block_s=3600.0, burn_in_s=600.0)
    async with stage(tmp_path, hourly) as at:
        at.clock.set(BEGIN + DAY // 2)
        served = set()
        for hour in range(24):
            early = [await at.predict(user, symbol="BTC") for user in ("ann", "bob")]
            at.clock.advance(600 * 10**9)
            late = [await at.predict(user, symbol="BTC") for user in ("ann", "bob")]
            assert len({each.arm for each in early + late}) == 1
            served.add(late[0].arm)
            at.clock.advance(3000 * 10**9)
            assert (await at.status()).total_requests == 4 * (hour + 1)
        assert served == {"control", "treatment"}
        report = await at.report()
        assert sum(arm.units for arm in report.arms) == 24
        exposures = rows(await at.logged(), ExposureRow)
        assert {row.unit.partition("@")[0] for row in exposures} == {"BTC"}
        assert {row.ts % (3600 * 10**9) for row in exposures} == {600 * 10**9}


async def test_a_planted_effect_is_found_per_user_day_and_winsorised_as_registered(tmp_path: Path) -> None:
    registered = AnalysisPlan(min_units=20, tuned_for=200.0, winsor_high=0.1)
    async with stage(tmp_path, experiment(analysis=registered)) as at:
        for day in range(3):
            for number, decision in enumerate((await at.predictions(80)).values()):
                better = 0.02 if decision.arm == "treatment" else 0.0
                await at.feedback(decision, better + 0.002 * ((number + day) % 9 - 4))
            at.clock.advance(DAY)
        lucky = await at.predict("u0")
        await at.feedback(lucky, 50.0)  # beyond the bound: it counts as 10 %
        report = await at.report()
        [effect] = report.effects
        assert effect.state == "treatment is better"
        difference = effect.any_time.difference
        assert difference is not None
        assert difference.low < 0.02 < difference.high
        assert difference.p is not None
        assert difference.p < 0.05
        fixed = effect.fixed_horizon
        assert fixed.welch is not None
        assert fixed.welch.high - fixed.welch.low < difference.high - difference.low
        assert fixed.winning_units is not None
        assert [arm.user_days for arm in report.arms] == [
            3 * arm.units + (arm.name == lucky.arm) for arm in report.arms
        ]
        assert max(arm.mean or 0.0 for arm in report.arms) < 0.03


async def test_what_users_did_in_the_phase_before_makes_the_interval_of_the_next_one_shorter(tmp_path: Path) -> None:
    async with stage(tmp_path) as at:
        levels = {f"u{number}": 0.01 * (number % 11 - 5) for number in range(80)}
        for user, decision in (await at.predictions(80)).items():
            await at.feedback(decision, levels[user])
        await at.configure(rl_traffic_percentage=0.45)
        at.clock.advance(DAY)
        for number, (user, decision) in enumerate((await at.predictions(80)).items()):
            better = 0.01 if decision.arm == "treatment" else 0.0
            await at.feedback(decision, levels[user] + better + 0.001 * (number % 3))
        effect = (await at.report()).effects[0]
        cuped, plain = effect.cuped, effect.any_time.difference
        assert cuped is not None
        assert cuped.any_time is not None
        assert plain is not None
        assert cuped.units == 80
        assert cuped.theta == pytest.approx(1.0, abs=0.05)
        assert cuped.any_time.high - cuped.any_time.low < 0.3 * (plain.high - plain.low)
        assert cuped.any_time.low < 0.01 < cuped.any_time.high
        await at.kill()
        assert (await at.report()).effects[0] == effect


async def test_what_nobody_knows_is_refused_and_the_probe_says_how_it_is(tmp_path: Path) -> None:
    async with stage(tmp_path) as at:
        with pytest.raises(Refused, match=r"there is no test 'no such'; there are: t$"):
            await at.status("no such")
        with pytest.raises(Refused, match="t has no phase 9 in memory"):
            await at.report(version=9)
        await at.predictions(5)
        report = await at.keeper.ask(Probe(), LIMIT_S)
        assert (report.status, dict(report.figures)["units"]) == ("ok", 5)
        assert msgspec.json.decode(msgspec.json.encode(await at.report()))["version"] == 1
