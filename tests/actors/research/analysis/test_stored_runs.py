"""Backtests as a node stores them, compared, analysed and reported by their id."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from actors.research.analysis.diff_command import diff
from actors.research.analysis.report_command import report
from actors.research.analysis.tca_command import tca
from actors.research.backtest.family_ledger import MemoryLedger
from actors.research.backtest.job_main import study, written
from actors.research.backtest.spec import spec_of
from actors.strategies import synthetic_bars
from tests.actors.research.analysis.kit import configuration


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with two backtests over made-up bars: `prompt`, and `late` whose orders take 90 seconds."""
    found = tmp_path_factory.mktemp("data")
    bars = found / "bars.csv"
    bars.write_text("".join(f"{each}\n" for each in synthetic_bars.lines(400, 1)))
    for name, delay in (("prompt", 0), ("late", 90_000_000_000)):
        fields: dict[str, Any] = {
            "strategy": {"name": "moving_average_cross", "parameters": {"fast": 3, "slow": 8, "interval": "1m"}},
            "data": [{"path": str(bars), "market": "A"}],
            "market": {"taker_fee": "0.001"},
            "fills": {"latency": {"entry": {"model": "constant", "ns": delay}}},
            "opposite": "flip",
        }
        written(study(spec_of(fields), MemoryLedger(), None, lambda *_: None), found / "backtests" / name)
    return found


def test_a_run_does_not_differ_from_itself(folder: Path) -> None:
    answer = diff(["prompt", "prompt"], configuration(folder))
    assert len(answer) == 2
    assert answer[1]["orders"]["same"] > 10


def test_what_latency_did_is_explained_order_by_order(folder: Path) -> None:
    _, data, *status = diff(["prompt", str(folder / "backtests" / "late")], configuration(folder))
    assert status == [1]
    causes = {total["cause"]: total for total in data["totals"]}
    assert "latency" in causes
    assert data["first"]["cause"] == "latency"
    assert data["first"]["explanation"] == "entry took 90 s instead of 0 ns"
    assert set(causes["latency"]["money"]) == {"USD"}
    assert data["matched_by"]["client_order_id"] > 10
    assert set(causes) <= {"latency", "unmatched", "other_order"}


def test_costs_of_a_run_are_measured_on_its_own_data(folder: Path) -> None:
    text, data = tca(["prompt", "--horizon", "60"], configuration(folder))
    everything = data["groups"][0]
    assert data["prices"] == "bars"
    assert everything["fill_ratio"] == 1.0
    assert everything["fees_bps"] == pytest.approx(10, rel=1e-3)
    assert everything["arrival_slippage"]["known"] == everything["fills"]
    assert everything["markouts"]["60s"]["bps"] is not None
    assert "all" in text
    late = tca(["late", "--horizon", "60"], configuration(folder))[1]["groups"][0]
    assert late["first_fill_ns"] > everything["first_fill_ns"]


def test_a_stored_run_is_reported_by_its_id(folder: Path) -> None:
    text, data = report(["prompt", "--parquet", str(folder / "out")], configuration(folder))
    assert data["run"]["strategy"] == "moving_average_cross"
    assert "order log" in text
    assert data["files"]
