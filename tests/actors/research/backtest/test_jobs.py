from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.research.backtest.family_ledger import Trial
from actors.research.backtest.job_lines import ORDERS, REPORT, Line, Order
from actors.research.backtest.job_main import serve
from actors.research.backtest.job_queue import MOST_ATTEMPTS, JobQueue
from actors.research.backtest.report import decode
from actors.research.backtest.settings import BacktestSettings
from protocols.backtests import BACKTESTS, BacktestJob, BacktestJobRow, SubmitBacktest
from protocols.control import Refused
from tests.actors.research.backtest.desk import desk
from tests.actors.research.backtest.kit import bars


def job(name: str, priority: int = 0, state: str = "queued") -> BacktestJob:
    return BacktestJob(
        job_id=name,
        name=name,
        strategy="s",
        family="s",
        methodology="standard",
        state=state,  # type: ignore[arg-type]
        priority=priority,
    )


def csv_of_bars(count: int, seed: int = 3) -> bytes:
    table = bars(count, seed=seed, interval="1d", length=86_400 * 10**9, begin=19_000 * 86_400 * 10**9)
    columns = table.columns
    lines = ["time,open,high,low,close,volume"]
    for row in range(count):
        start = np.datetime64(int(columns["start"][row]), "ns").astype("datetime64[D]")
        prices = ",".join(f"{columns[name][row] / 1e9:.2f}" for name in ("open", "high", "low", "close"))
        lines.append(f"{start},{prices},{int(columns['volume'][row])}")
    return "\n".join(lines).encode()


# -- the queue ---------------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(st.lists(st.integers(-2, 2), max_size=8), st.integers(1, 3))
def test_the_higher_priority_goes_first_and_of_equal_ones_who_waits_longer(priorities: list[int], most: int) -> None:
    queue = JobQueue(most)
    for place, priority in enumerate(priorities):
        queue.add(job(f"j{place}", priority))
    order = []
    while (found := queue.next(1)) is not None:
        order.append(found.job_id)
        assert queue.running <= most
        if queue.running == most:
            queue.change(found.job_id, "completed")
    wanted = sorted(range(len(priorities)), key=lambda place: (-priorities[place], place))
    assert order == [f"j{place}" for place in wanted]


def test_states_follow_one_another_and_what_cannot_be_is_refused() -> None:
    queue = JobQueue(1)
    queue.add(job("a", state="pending"))
    queue.add(job("b"))
    queue.add(job("c"))
    assert queue.next(5).job_id == "b"  # type: ignore[union-attr]
    assert queue.next(5) is None
    assert queue.start("a").place == 2
    assert [queue.get(name).place for name in "ca"] == [1, 2]
    assert queue.cancel("c", 6).state == "cancelled"
    for wrong in (lambda: queue.cancel("c", 7), lambda: queue.start("b"), lambda: queue.get("z")):
        with pytest.raises(Refused):
            wrong()
    assert queue.start("c").state == "queued"
    found, total = queue.page("queued", "", 1, 1)
    assert ([each.job_id for each in found], total) == (["a"], 2)


def test_what_ran_when_the_node_ended_waits_again_until_it_was_begun_too_often() -> None:
    first = JobQueue(2)
    first.add(job("a"))
    first.add(job("b", state="pending"))
    running = first.next(3)
    assert running is not None
    rows: list[BacktestJobRow] = [first.row(each, place, 4) for place, each in enumerate((running, first.get("b")), 1)]
    again = JobQueue(2)
    [changed] = again.remember(rows)
    assert (changed.job_id, changed.state, changed.attempts) == ("a", "queued", 1)
    assert again.get("b").state == "pending"
    tired = msgspec.structs.replace(rows[0], attempts=MOST_ATTEMPTS)
    [ended] = JobQueue(2).remember([tired])
    assert (ended.state, ended.reason) == ("failed", f"the node ended {MOST_ATTEMPTS} times while it ran")


# -- the process -------------------------------------------------------------------------------------------------


def said(spec: dict[str, Any], folder: Path, known: tuple[Trial, ...] = ()) -> list[Line]:
    """What a job says to whom it is told `known` when it asks."""
    out = io.BytesIO()
    order = Order(spec=msgspec.Raw(msgspec.json.encode(spec)), folder=str(folder / "job"))
    serve(io.BytesIO(msgspec.json.encode(order) + b"\n" + msgspec.json.encode(known) + b"\n"), out)
    return [msgspec.json.decode(line, type=Line) for line in out.getvalue().splitlines()]


def test_a_job_says_its_progress_its_trials_and_its_outcome_and_leaves_its_report(tmp_path: Path) -> None:
    path = tmp_path / "bars.csv"
    path.write_bytes(csv_of_bars(200))
    spec = {
        "strategy": {"name": "moving_average_cross", "parameters": {"interval": "1d", "fast": 3, "slow": 9}},
        "data": [{"path": str(path), "market": "A"}],
        "method": {"grid": {"fast": [2, 3]}},
    }
    lines = said(spec, tmp_path)
    assert lines[0].progress == 0.0
    assert len({trial.trial_id for line in lines for trial in line.trials}) == 2
    last = lines[-1]
    assert (last.outcome, last.progress, last.family_trials) == ("completed", 1.0, 2)
    packed = (tmp_path / "job" / REPORT).read_bytes()
    assert last.result_hash == hashlib.sha256(packed).hexdigest()
    run = decode(packed).run
    log = (tmp_path / "job" / ORDERS).read_bytes()
    assert run.order_hash == last.order_hash == hashlib.sha256(log).hexdigest()
    assert last.summary["round_trips"] == len(run.round_trips) > 0


def test_a_job_counts_what_was_tried_beside_it_while_it_ran(tmp_path: Path) -> None:
    path = tmp_path / "bars.csv"
    path.write_bytes(csv_of_bars(200))
    spec = {
        "strategy": {"name": "moving_average_cross", "family": "f", "parameters": {"interval": "1d", "slow": 9}},
        "data": [{"path": str(path), "market": "A"}],
        "method": {"grid": {"fast": [2, 3]}},
    }
    beside = [Trial(family="f", trial_id=f"t{number}", ts=1, strategy="s", sharpe=0.1) for number in range(3)]
    lines = said(spec, tmp_path, tuple(beside))
    kinds = ["asks" if line.asks_trials else "trials" for line in lines if line.asks_trials or line.trials]
    assert kinds[-1] == "asks", "it asks once all of its own are told"
    assert lines[-1].family_trials == 5
    assert decode((tmp_path / "job" / REPORT).read_bytes()).run.trials == 5


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        ({"strategy": {"name": "nothing"}}, "invalid", "strategy.strategy"),
        ({"strategy": {"name": "moving_average_cross", "parameters": {"fats": 1}}}, "invalid", None),
        ({"data": [{"path": "/nowhere"}]}, "invalid", "data[0].path"),
        ({"since": 1, "until": 2}, "invalid", "data"),
        ({"nonsense": 1}, "invalid", "backtest"),
    ],
)
def test_a_job_that_cannot_run_says_why(change: dict[str, Any], code: str, field: str | None, tmp_path: Path) -> None:
    path = tmp_path / "bars.csv"
    path.write_bytes(csv_of_bars(20))
    spec = {
        "strategy": {"name": "moving_average_cross", "parameters": {"interval": "1d"}},
        "data": [{"path": str(path), "market": "A"}],
    }
    last = said({**spec, **change}, tmp_path)[-1]
    assert (last.outcome, last.code) == ("failed", code)
    assert field is None or last.field == field


# -- on a node, over HTTP ----------------------------------------------------------------------------------------


async def test_a_backtest_over_http_from_its_data_to_its_comparison_and_behind_a_restart(
    tmp_path: Path, database: str
) -> None:
    async with desk(tmp_path, database) as at:
        data = await at.dataset(csv_of_bars(300))
        asked = {
            "strategy_id": "moving_average_cross",
            "dataset_id": data,
            "name": "cross",
            "parameters": {"interval": "1d", "fast": 3, "slow": 9},
            "start_date": "2022-02-01",
            "end_date": "2022-10-01",
        }
        made = await at.answered("POST", "/backtests", 201, json=asked)
        assert (made["status"], made["strategy_id"], made["dataset_id"]) == ("pending", "moving_average_cross", data)
        job_id = made["id"]
        error = await at.answered("GET", f"/backtests/{job_id}/results", 409)
        assert error["error"]["code"] == "conflict"
        assert (await at.answered("POST", f"/backtests/{job_id}/run", 202))["status"] in ("queued", "running")
        done = await at.ended(job_id)
        assert (done["status"], done["error_message"]) == ("completed", None)
        assert done["progress_percentage"] == 100.0
        assert done["metrics"]["trades"] == done["metrics"]["round_trips"] > 0

        found = await at.answered("GET", f"/backtests/{job_id}/results")
        assert found["order_hash"] == done["order_hash"]
        assert found["run_id"] == job_id
        assert found["start"].startswith("2022-02-0")
        assert found["equity_curve"][0][1] == 100_000.0
        trades = await at.answered("GET", f"/backtesting/jobs/{job_id}/trades?outcome=win&limit=2")
        assert all(each["pnl"] > 0 for each in trades["trades"])
        assert len(trades["trades"]) <= 2 <= trades["total"] + 2
        await at.answered("GET", f"/backtesting/jobs/{job_id}/trades?side=up", 400)
        performance = await at.answered("GET", f"/backtesting/jobs/{job_id}/performance?rolling_window_days=20")
        assert performance["metrics"]["total_return"] == done["metrics"]["total_return"]
        days = (await at.answered("GET", f"/backtesting/jobs/{job_id}/daily-returns"))["daily_returns"]
        assert len(performance["rolling"]) == len(days) - 19

        other = {**asked, "parameters": {"interval": "1d", "fast": 2, "slow": 7}, "priority": 5}
        second = (await at.answered("POST", "/backtesting/jobs", 201, json=other))["job_id"]
        await at.answered("POST", f"/backtesting/jobs/{second}/start")
        done = await at.ended(second)
        assert done["trials"] == 2, "the family has two trials by now"
        ids = {"job_ids": [job_id, second], "simulations": 200}
        compared = await at.answered("POST", "/backtesting/comparisons", json=ids)
        assert len(compared["pairs"]) == 1
        await at.answered("POST", "/backtesting/comparisons", 400, json={"job_ids": [job_id, job_id]})
        listed = await at.answered("GET", "/backtesting/jobs?status=completed&limit=1")
        assert (listed["total"], listed["jobs"][0]["id"]) == (2, second)

        templates = (await at.answered("GET", "/backtesting/templates"))["templates"]
        assert len({each["id"] for each in templates}) == len(templates) > 3
        for template in templates:
            body = {**asked, **template["config"], "name": template["id"]}
            assert (await at.answered("POST", "/backtesting/jobs", 201, json=body))["name"] == template["id"]

        for wrong, field in (
            ({"start_date": "2022-13-01"}, "start_date"),
            ({"end_date": "2022-01-01"}, "end_date"),
            ({"initial_capital": 10}, "initial_capital"),
            ({"methodology": "paper_trading"}, "methodology"),
            ({"price_improvement_pct": 0.1}, "price_improvement_pct"),
            ({"stop_loss_pct": 0.1}, "stop_loss_pct"),
            ({"spec": {"opposite": "x"}}, "opposite"),
            ({"spec": {"data": [{"path": "/etc/hostname"}]}}, "spec.data[0].path"),
        ):
            error = await at.answered("POST", "/backtests", 400, json={**asked, **wrong})
            assert error["error"]["field"].endswith(field), error
        await at.answered("POST", "/backtests", 404, json={**asked, "strategy_id": "nothing"})
        for wrong in ({"dataset_id": "0123456789abcdef"}, {"dataset_ids": ["nothing"]}):
            error = await at.answered("POST", "/backtests", 404, json={**asked, **wrong})
            assert error["error"]["field"] == "dataset_id"
        error = await at.answered("GET", "/backtests?status=done", 400)
        assert (error["error"]["field"], "completed" in error["error"]["message"]) == ("status", True)

    async with desk(tmp_path, database) as at:
        found = await at.answered("GET", f"/backtests/{job_id}/results")
        assert found["run_id"] == job_id
        assert (await at.answered("GET", "/backtests"))["total"] == 2 + len(templates)


async def test_a_job_is_cancelled_and_one_that_takes_too_long_is_ended(tmp_path: Path, database: str) -> None:
    path = tmp_path / "bars.csv"
    path.write_bytes(csv_of_bars(3000))
    spec = {
        "strategy": {"name": "moving_average_cross", "family": "slow", "parameters": {"interval": "1d"}},
        "data": [{"path": str(path), "market": "A"}],
        "method": {"grid": {"fast": list(range(2, 60)), "slow": list(range(60, 200))}},
    }
    async with desk(tmp_path / "node", database, BacktestSettings(processes=1, timeout_s=0.8)) as at:
        await at.answered("GET", "/backtests")
        raw = msgspec.Raw(msgspec.json.encode(spec))
        jobs = [await at.node.ref(BACKTESTS).ask(SubmitBacktest(spec=raw, name=name), 5.0) for name in ("a", "b")]
        first, second = (each.job.job_id for each in jobs)
        assert [(await at.answered("GET", f"/backtests/{each}"))["status"] for each in (first, second)] == [
            "running",
            "queued",
        ]
        assert (await at.answered("POST", f"/backtests/{first}/cancel"))["status"] == "cancelled"
        await at.answered("POST", f"/backtests/{first}/cancel", 409)
        done = await at.ended(second)
        assert (done["status"], done["error_message"]) == ("timeout", "it took more than 0.8 s")


@pytest.mark.long
async def test_a_drawn_strategy_is_run_over_a_data_set_in_a_locked_worker(tmp_path: Path, database: str) -> None:
    async with desk(tmp_path, database, sandbox=True) as at:
        data = await at.dataset(csv_of_bars(250))
        [first, *_] = await at.answered("GET", "/templates")
        drawn = await at.answered(
            "POST", f"/templates/{first['id']}/use", 201, json={"name": "drawn", "symbol": "BARS"}
        )
        asked = {"dataset_id": data, "symbols": ["BARS"], "configuration": {"max_risk_threshold": 1.0}}
        started = await at.answered("POST", f"/workflows/{drawn['id']}/backtest", json={**asked, "timeframe": "1d"})
        assert started["execution_type"] == "backtest"
        done = await at.ended(started["execution_id"])
        assert (done["status"], done["error_message"]) == ("completed", None)
        assert done["family"] == drawn["id"]
        await at.answered("POST", f"/workflows/{drawn['id']}/backtest", 400, json={})
