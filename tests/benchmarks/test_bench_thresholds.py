"""The study of thresholds that learn: its arithmetic is the learner's, its table the published one, its bars unseen."""

from __future__ import annotations

import json
import math
from pathlib import Path

import msgspec
import numpy as np
import pytest

from actors.thresholds.meta_gate import MetaGateSettings
from actors.thresholds.settings import LearningSettings
from benchmarks import thresholds, thresholds_bars
from benchmarks.thresholds_bars import SCORE, Signals, best_fixed, difference, learned, read, signals, study, trained
from benchmarks.thresholds_table import (
    FREE,
    GATED,
    NOISES,
    OPEN,
    PLAIN,
    REFERENCE,
    REFERENCE_WINS,
    TRUTHS,
    Truth,
    by_learner,
    decisions,
    table,
    vectorised,
)

HOUR_NS = 3_600_000_000_000


@pytest.mark.parametrize("truth", TRUTHS)
@pytest.mark.parametrize("meta", [GATED, PLAIN, OPEN], ids=["served", "plain", "open"])
def test_the_arithmetic_over_all_series_is_that_of_the_learner(truth: Truth, meta: MetaGateSettings) -> None:
    made = decisions(truth, 2.0, 2, 3_000, np.random.default_rng(3))
    expected = vectorised(made, meta)
    assert truth == "placebo" or np.unique(expected).size > 3
    for scores, outcomes, served in zip(made.scores, made.outcomes, expected, strict=True):
        found = by_learner(scores.tolist(), outcomes.tolist(), made.default, meta)
        assert found == pytest.approx(served.tolist(), abs=1e-12)


def compare(seed: int, series: int, errors: float, noises: tuple[float, ...] = NOISES) -> None:
    """The published table is one sample of 48 series too, told to three digits."""
    for cell in table(seed, series, noises=noises):
        fixed, without, gated, oracle = REFERENCE[cell.truth, cell.noise]
        both = math.sqrt(1 + series / 48)
        about = f"{cell.truth}, noise {cell.noise:g}"
        assert cell.fixed == pytest.approx(fixed, abs=0.003), about
        assert cell.oracle == pytest.approx(oracle, abs=0.003), about
        assert cell.without == pytest.approx(without, abs=errors * both * cell.se_without + 0.0006), about
        assert cell.plain == pytest.approx(gated, abs=errors * both * cell.se_plain + 0.0006), about
        # What is served may only be better than the published one by more than chance.
        assert cell.learned > gated - errors * both * cell.se_learned - 0.0006, about
        if cell.truth == "placebo":
            assert cell.loss < 0.01 + errors * cell.se_loss * (series < 48), about
        else:
            wins = REFERENCE_WINS[cell.truth, cell.noise]
            spread = math.sqrt(max(wins * (1 - wins), 0.02) / series)
            assert cell.wins > wins - errors * both * spread, about


def test_a_small_part_of_the_table_is_within_sampling_error() -> None:
    compare(seed=11, series=8, errors=4.0, noises=(5.0,))


@pytest.mark.long
def test_the_whole_table_is_within_sampling_error_and_a_placebo_loses_less_than_one_per_cent() -> None:
    compare(seed=11, series=48, errors=3.0)


@pytest.mark.long
def test_over_many_series_a_placebo_loses_about_a_third_of_a_per_cent() -> None:
    for cell in table(12, 240):
        if cell.truth == "placebo":
            assert cell.loss + 2 * cell.se_loss < 0.006


def made_signals(count: int = 4_000, best: float = 1.8) -> Signals:
    rng = np.random.default_rng(6)
    scores = np.abs(rng.standard_normal(count)) * 1.5
    outcomes = 0.01 * (scores - best) + 0.01 * rng.standard_t(4, count)
    starts = (np.arange(count) * HOUR_NS + 1_700_000_000 * 10**9).astype(np.int64)
    return Signals(starts, starts + HOUR_NS, scores, outcomes)


def test_no_threshold_of_a_test_knows_an_outcome_that_was_not_there_yet() -> None:
    found = made_signals()
    at = 3_000
    future = found.outcomes.copy()
    future[at:] = -5 * future[at:] + 0.3
    other = found._replace(outcomes=future)
    folds = np.array_split(np.arange(1_600, 4_000), 6)
    for how in (LearningSettings(), LearningSettings(safeguards=FREE)):
        one, two = learned(found, how, "x")[0], learned(other, how, "x")[0]
        assert one[: at + 1].tolist() == two[: at + 1].tolist()
        assert one[at:].tolist() != two[at:].tolist()
    one, two = trained(found, folds), trained(other, folds)
    begins = next(fold[0] for fold in folds if fold[0] > at)
    assert one[1_600:begins].tolist() == two[1_600:begins].tolist()
    assert one[begins:].tolist() != two[begins:].tolist()


def test_training_ends_one_horizon_before_its_test() -> None:
    found = made_signals(400)
    last_known = found.outcomes.copy()
    last_known[199] = 1e3  # known exactly when the test begins
    last_known[198] = 1e3  # known one horizon before: purged as well
    folds = [np.arange(200, 400)]
    assert trained(found, folds)[200] == trained(found._replace(outcomes=last_known), folds)[200]


def test_the_best_fixed_value_is_the_best_of_the_grid_and_the_default_where_nothing_is_better() -> None:
    found = made_signals()
    value = best_fixed(found.scores, found.outcomes)
    assert value == pytest.approx(1.8, abs=0.5)
    assert best_fixed(found.scores, np.zeros(found.scores.size)) == SCORE.default


def test_with_an_edge_in_the_score_the_learned_threshold_beats_the_default() -> None:
    found = made_signals(8_000)
    served, records = learned(found, LearningSettings(), "x")
    test = slice(3_200, None)
    gained = found.outcomes[test] * ((found.scores >= served)[test] * 1.0 - (found.scores >= SCORE.default)[test])
    told = difference(found.ts[test] // (24 * HOUR_NS), gained, 1, "x")
    assert told.low is not None
    assert told.low > 0
    assert records


def test_too_few_days_tell_nothing_and_no_difference_is_none() -> None:
    days = np.arange(9)
    assert difference(days, np.ones(9), 1, "x").p is None
    assert difference(np.arange(50), np.zeros(50), 1, "x").p is None
    told = difference(np.arange(200), np.random.default_rng(1).normal(0, 1, 200), 1, "x")
    assert told.p is not None
    assert told.low is not None
    assert told.sequence_low is not None
    assert told.sequence_low < told.low < told.mean


def write_bars(path: Path, count: int = 900, shift: float = 0.0) -> Path:
    rng = np.random.default_rng(2)
    prices = 100 * np.exp(np.cumsum(rng.normal(0, 1e-3, count))) + shift
    lines = ["timestamp,open,high,low,close"]
    for n, price in enumerate(prices.tolist()):
        lines.append(f"2024-01-{1 + n // 288:02} {n // 12 % 24:02}:{n % 12 * 5:02}:00,{price},{price},{price},{price}")
    path.write_text("\n".join(lines) + "\n")
    return path


def test_bid_and_ask_of_one_symbol_go_together_and_the_exit_is_on_the_side_that_takes(tmp_path: Path) -> None:
    bid = write_bars(tmp_path / "bars-x-bid-1.csv")
    ask = write_bars(tmp_path / "bars-x-ask-1.csv", shift=0.1)
    (both,) = read([bid, ask], 0.0)
    (alone,) = read([bid], 0.0)
    assert both.symbol == "x-1"
    assert signals(both).outcomes.mean() == pytest.approx(signals(alone).outcomes.mean() - 0.001, abs=2e-4)


def test_the_command_studies_the_bars_that_it_is_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_bars(tmp_path / "bars-mine.csv")
    about = ["--series", "2", "--decisions", "400", "--bars", str(path)]
    assert thresholds.main([*about, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [each["symbol"] for each in found["bars"]] == ["mine"]
    assert len(found["synthetic"]) == 12
    assert thresholds.main(about) == 0
    assert "mine" in capsys.readouterr().out


def test_a_file_that_is_no_bars_is_one_clear_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "wrong.csv"
    path.write_text("a,b\n1,2\n")
    assert thresholds.main(["--bars", str(path)]) == 2
    assert "expected columns time, open and close, got a, b" in capsys.readouterr().err
    assert thresholds.main(["--bars", str(tmp_path / "absent.csv")]) == 2
    assert "absent.csv" in capsys.readouterr().err


def test_recorded_bars_are_walked_forward_with_losers_shown_too(recordings: Path) -> None:
    found = study(read([recordings / "bars-btcusd-coinbase-1m.csv.gz"], 0.5)[0])
    assert found.signals > 2_000
    assert found.tested == found.signals - int(0.4 * found.signals)
    assert all(math.isfinite(each) for each in (found.total_default, found.total_learned, found.total_trained))
    assert found.total_hindsight >= found.total_default
    assert "btcusd-coinbase-1m" in thresholds.text_of_bars([found], 0.5)


@pytest.mark.long
def test_every_recorded_symbol_is_reported_the_same_again(recordings: Path) -> None:
    paths = sorted(recordings.glob("bars-*.csv.gz"))
    found = thresholds_bars.studies(paths)
    assert len(found) == len(paths) - 1  # bid and ask are one
    assert found == thresholds_bars.studies(paths)
    assert msgspec.json.encode([each._asdict() for each in found])


def test_the_core_is_timed() -> None:
    found = thresholds.speed(0.03)
    assert all(value > 0 for value in found.values())
