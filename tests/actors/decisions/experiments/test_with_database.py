"""The keeper and the database: what the log no longer has is found there, and it may be away at any time."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import asyncpg
import pytest
import trio
from msgspec.structs import replace

import actors.decisions.capability
import actors.execution.capability
import actors.storage.capability
from protocols.control import Refused
from protocols.decisions import Decision
from protocols.execution import OUTCOMES, AccountList, ListAccounts, OutcomeRow, OutcomeStored
from protocols.experiment_reports import AbTestReport
from protocols.experiments import AbTestRow, ExposureRow
from protocols.paths import ROLLOUTS
from protocols.rollouts import GuardPlan, ListRollouts, RolloutPlan, StartRollout
from runtime import Actor, ChildSpec, TerminateChild, receive, supervisor
from runtime.clock import VirtualClock
from runtime.segments import list_segments
from tests.actors.decisions.experiments.stage import BEGIN, DAY, LIMIT_S, QUICK, Stage, experiment, rows, stage, until
from tests.actors.storage.kit import afetch, call

USERS = 150
SMALL = 64 << 10
TWICE = "SELECT unit, arm, count(*) FROM ab_exposures WHERE version = 2 GROUP BY 1, 2 HAVING count(*) > 1"


def storage(url: str) -> ChildSpec:
    migrations = [
        actors.storage.capability.OWN_MIGRATIONS,
        actors.decisions.capability.migrations,
        actors.execution.capability.migrations,
    ]
    writer = {"url": url, "migrations": migrations, "migrate": False, "batch_rows": 200, "batch_bytes": 1 << 20}
    return supervisor(
        "storage",
        ChildSpec("writer", "actors.storage.writer:Writer", {**writer, "interval_s": 0.02}),
        ChildSpec("queries", "actors.storage.queries:Queries", {"url": url}),
    )


def known(report: AbTestReport) -> AbTestReport:
    """A report without what the database keeps only roughly (latencies), and when it was made."""
    return replace(report, ts=0, arms=tuple(replace(arm, p99_ms=None) for arm in report.arms))


async def complete(at: Stage) -> None:
    """Wait until nothing is lacking."""

    async def is_complete() -> bool:
        return not (await at.status()).incomplete

    await until(is_complete)


async def moved(at: Stage) -> None:
    """Wait until the database has all rows, and the log only the newest file."""

    async def is_moved() -> bool:
        return len(list_segments(at.log.directory)) == 1

    await until(is_moved)


def traded(at: Stage, decision: Decision, value: float, number: int) -> int:
    """What an account writes when a position that the decision has led to is closed."""
    seq = at.log.last_seq(OUTCOMES) + 1
    row = OutcomeRow(
        stream=OUTCOMES,
        seq=seq,
        outcome_id=f"paper-{number}",
        account="paper",
        deployment_id="d",
        strategy_id="s",
        signal_id="",
        decision_id=decision.decision_id,
        client_order_id=f"o{number}",
        market="BTC",
        side="buy",
        size=10**9,
        entry_ts=decision.ts,
        entry_price=10**9,
        exit_ts=decision.ts + 60,
        exit_price=10**9,
        pnl="1",
        fees="0",
        return_share=value,
        currency="USD",
        exit_reason="signal",
        marks=("synthetic",),
    )
    at.log.append(row)
    at.node.topics.publish(OutcomeStored(seq))
    return seq


async def test_what_the_log_has_lost_to_the_database_is_found_again_and_nothing_counts_twice(
    tmp_path: Path, database: str
) -> None:
    clock = VirtualClock(BEGIN)
    guards = GuardPlan(min_units=5)
    test = experiment(0.3, rollout=RolloutPlan(step_s=1e6, step_units=10_000, guards=guards))
    async with stage(tmp_path, test, clock=clock, others=(storage(database),), segment_bytes=SMALL) as at:
        await complete(at)
        begun = await at.node.ref(ROLLOUTS).ask(StartRollout(name="t", plan=RolloutPlan(steps=(1.0,))), LIMIT_S)
        first = await at.predictions(USERS)
        for number, decision in enumerate(first.values()):
            if number % 3:
                await at.feedback(decision, 0.001 * (number % 7))
        for _ in range(3):
            await at.predictions(USERS)
        before, status = known(await at.report()), await at.status()
        assert (before.version, sum(arm.units for arm in before.arms)) == (2, USERS)
        await moved(at)
        # A crash: now most of it is in the database alone.
        await at.kill()
        await complete(at)
        assert known(await at.report()) == before
        assert replace(await at.status(), incomplete="") == status
        with pytest.raises(Refused, match="there is no decision 'nobody'"):
            await at.feedback(replace(first["u0"], decision_id="nobody"), 0.1)
        assert (await at.feedback(first["u1"], 0.001)).repeated  # both are only in the database
        await at.feedback(first["u0"], 0.003)
        before = known(await at.report())
    # The database is away from the start, and with it the plan.
    async with stage(tmp_path, test, clock=clock, segment_bytes=SMALL) as at:
        status = await at.status()
        assert not rows(await at.logged(), AbTestRow)
        assert "the stored plan is in the database" in status.provisional
        assert status.incomplete != ""
        with pytest.raises(Refused, match="the stored plan is in the database") as refused:
            await at.configure(rl_traffic_percentage=0.9)
        assert refused.value.code == "unavailable"
        with pytest.raises(Refused) as unknown:
            await at.node.ref(ROLLOUTS).ask(StartRollout(name="t"), LIMIT_S)
        assert unknown.value.code == "unavailable"
        with pytest.raises(Refused, match="the database does not answer") as away:
            await at.feedback(first["u0"], 0.003)
        assert away.value.code == "unavailable"
        report = await at.report()
        assert report.blocked
        assert report.reasons[-1].startswith("incomplete: ")
        # Another plan would move them, so nobody is assigned; they are answered all the same.
        answers = (await at.predictions(USERS)).values()
        assert {(each.experiment, each.served_by) for each in answers} == {("", "rule")}
    # It is back: the stored plan, everybody in their arm, and everything counted.
    async with stage(tmp_path, test, clock=clock, others=(storage(database),), segment_bytes=SMALL) as at:
        await complete(at)
        assert known(await at.report()) == before
        assert {user: each.arm for user, each in (await at.predictions(USERS)).items()} == {
            user: each.arm for user, each in first.items()
        }
        assert (await at.status()).total_requests == 5 * USERS
        await until(lambda: _rollout_is_back(at, begun.ts_started))
        await _stored(database, "SELECT count(*) FROM prediction_history", 6 * USERS)
        assert await afetch(database, TWICE) == []
        arms = await afetch(database, "SELECT arm, count(*) FROM ab_exposures WHERE version = 2 GROUP BY 1")
        assert dict(arms) == Counter(each.arm for each in first.values())


async def test_a_keeper_that_cannot_read_its_plan_takes_the_servers_from_nobody(tmp_path: Path, database: str) -> None:
    async with stage(tmp_path, experiment(0.3), others=(storage(database),), segment_bytes=SMALL) as at:
        await complete(at)
        await at.configure(rl_traffic_percentage=0.4)
        first = await at.predictions(USERS)
        for _ in range(3):
            await at.predictions(USERS)
        await moved(at)
        await at.node.ref("/storage").ask(TerminateChild("queries"), LIMIT_S)
        await at.kill()
        assert "the stored plan is in the database" in (await at.status()).provisional
        again = await at.predictions(USERS)
        assert {user: (each.version, each.arm) for user, each in again.items()} == {
            user: (2, each.arm) for user, each in first.items()
        }


async def _rollout_is_back(at: Stage, started: int) -> bool:
    views = (await at.node.ref(ROLLOUTS).ask(ListRollouts(), LIMIT_S)).rollouts
    return [view.ts_started for view in views] == [started]


async def _stored(database: str, sql: str, wanted: int) -> None:
    async def is_stored() -> bool:
        return bool(await afetch(database, sql) == [(wanted,)])

    await until(is_stored)


async def test_what_executed_trades_came_to_counts_for_the_arm_of_their_decision_once(
    tmp_path: Path, database: str
) -> None:
    async with stage(tmp_path, others=(storage(database),)) as at:
        await complete(at)
        # As many as there are, so that the database may be behind when it is told of a trade.
        decisions = list((await at.predictions(40)).values())
        for number, decision in enumerate(decisions[:30]):
            traded(at, decision, 0.01, number)
        traded(at, decisions[0], 0.02, 30)  # its position was closed in two parts
        await until(lambda: _known(at, 30))
        report = await at.report()
        mine = next(arm for arm in report.arms if arm.name == decisions[0].arm)
        counted = sum(decision.arm == mine.name for decision in decisions[:30])
        assert mine.mean == pytest.approx((0.01 * counted + 0.02) / counted)
        with pytest.raises(Refused, match=r"known from executed trades: 0\.03, not 0\.5"):
            await at.feedback(decisions[0], 0.5)
        # Whoever was told by feedback first is not counted again when the trade ends.
        await at.feedback(decisions[35], 0.5)
        traded(at, decisions[35], 0.1, 31)
        traded(at, decisions[36], 0.1, 32)
        await until(lambda: _known(at, 32))
        await _stored(database, "SELECT count(*) FROM decision_outcomes", 34)
        [(count, total)] = await afetch(database, "SELECT count(*), sum(outcome) FROM decision_outcomes WHERE counted")
        assert (count, total) == (33, pytest.approx(30 * 0.01 + 0.02 + 0.5 + 0.1))
        # A crash does not take the trades again.
        before = known(await at.report())
        await at.kill()
        traded(at, decisions[37], 0.2, 33)
        await until(lambda: _known(at, 33))
        assert sum(arm.user_days for arm in known(await at.report()).arms) == 1 + sum(
            arm.user_days for arm in before.arms
        )


async def _known(at: Stage, units: int) -> bool:
    report = await at.report()
    return sum(arm.user_days for arm in report.arms) == units


class Accounts(Actor):
    """Stands where accounts are listed: one for each user, and a second one for the first."""

    @receive
    def listed(self, request: ListAccounts) -> AccountList:
        owners = [(f"a{number}", f"u{number}") for number in range(60)] + [("second", "u0")]
        return AccountList(tuple((account, user, "paper", "", account, True) for account, user in owners))


async def test_where_users_have_accounts_the_equity_of_whole_days_is_compared(tmp_path: Path, database: str) -> None:
    execution = supervisor("execution", ChildSpec("deployments", Accounts))
    by_equity = experiment(analysis=replace(QUICK, metric="equity"))
    async with stage(tmp_path, by_equity, others=(storage(database), execution)) as at:
        await complete(at)
        users = await at.predictions(60)
        rows = []
        for day in (-2, -1, 0, 1, 2, 3):
            for number in range(60):
                better = 0.02 if users[f"u{number}"].arm == "treatment" and day >= 0 else 0.0
                change = better + 0.001 * (number % 9 - 4) + (0.5 if day == 0 else 0.0)
                ts = (BEGIN // DAY + day) * DAY
                # Two rows a day: the later one counts.
                rows.append((f"a{number}", ts + 10, 999.0, 100.0))
                rows.append((f"a{number}", ts + 20, 100.0 * (1 + change), 100.0))
        rows.append(("second", (BEGIN // DAY + 1) * DAY + 20, 100.0, 100.0))
        await _insert(database, rows)
        early = await at.report()  # no whole day has passed
        assert (early.state, [arm.user_days for arm in early.arms]) == ("not enough data", [0, 0])
        at.clock.set((BEGIN // DAY + 3) * DAY + 1)
        report = await at.report()
        assert (report.metric, report.blocked) == ("equity change per user-day", False)
        # The days after that of the exposure which are over: two, and not the day of the exposure itself.
        assert [arm.user_days for arm in report.arms] == [2 * arm.units for arm in report.arms]
        [effect] = report.effects
        assert effect.state == "treatment is better"
        assert effect.absolute == pytest.approx(0.02, abs=0.001)
        # What they did before is known, too, and explains nearly all of what is not the effect.
        assert effect.cuped is not None
        assert effect.cuped.any_time is not None
        assert effect.cuped.any_time.estimate == pytest.approx(0.02, abs=0.0005)
        assert effect.cuped.correlation < 0.9
        first = next(arm for arm in report.arms if arm.name == users["u0"].arm)
        changes = [
            0.5 * (0.001 * (number % 9 - 4) + (0.02 if first.name == "treatment" else 0.0)) * (2 if number else 1.5)
            for number in range(60)
            if users[f"u{number}"].arm == first.name
        ]
        # On one of its two days the first user's change is shared with an account of the same size that stood still.
        assert first.mean == pytest.approx(sum(changes) / len(changes))


async def _insert(database: str, rows: list[tuple[str, int, float, float]]) -> None:
    async def insert(connection: asyncpg.Connection) -> None:
        sql = "INSERT INTO execution_equity VALUES ('test', $1, $2, $3, $4::float8, 0, 0, 0, $5::float8)"
        places = [(seq, ts, account, equity, start) for seq, (account, ts, equity, start) in enumerate(rows)]
        await connection.executemany(sql, places)

    await trio.to_thread.run_sync(lambda: call(database, insert))


async def test_a_gap_in_what_the_keeper_heard_is_filled_from_the_log(tmp_path: Path) -> None:
    from protocols.control import Lagged
    from protocols.decisions import DecisionMade

    async with stage(tmp_path) as at:
        await at.predictions(10)
        keeper = at.node.find("/decisions/experiments")
        assert keeper is not None
        at.node.topics.unsubscribe(keeper, DecisionMade, None)
        await at.predictions(10, "lost")
        assert (await at.status()).total_requests == 10
        keeper.post_control(Lagged("decision_made", "", 10))
        await until(lambda: _counted(at, 20))
        assert len(rows(await at.logged(), ExposureRow)) == 20


async def _counted(at: Stage, requests: int) -> bool:
    return (await at.status()).total_requests == requests
