"""A user's own training over a file: the last part is never trained on, and is what the figures are of."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from actors.agents.environment.bar_files import BarFileError
from actors.agents.environment.observation import Prepared, prepared
from actors.agents.training import own_run
from actors.agents.training.commands import parser, train
from actors.agents.training.evaluation import Played
from actors.agents.training.job import Made
from actors.agents.training.own_run import OwnRun, run, told, until, windows
from actors.decisions.bundles.loading import load_policy
from protocols.control import Refused
from tests.actors.agents.environment.kit import barred
from tests.actors.agents.training.kit import bars_csv, silent

CLOSES = [100 + 10 * math.sin(place / 9) + place % 4 for place in range(400)]


def test_the_held_out_part_is_cut_in_windows_that_share_their_edges_and_cover_it() -> None:
    track = prepared(barred([10.0] * 400))
    found = list(windows([(track, 80)]))
    assert len(found) == own_run.WINDOWS
    assert (found[0].start, found[-1].stop) == (80, 400)
    # The last bar of a window is the first of the next: nothing between them is lost, nothing counts twice.
    assert [each.stop for each in found[:-1]] == [each.start + 1 for each in found[1:]]
    assert len(list(windows([(track, 360)]))) == 1


def test_what_is_trained_on_knows_nothing_of_what_is_held_out() -> None:
    whole = prepared(barred(CLOSES))
    part = until(whole, 100)
    again = prepared(whole.track.until(100))
    assert len(part.track) == len(part.features) == len(part.raw) == 100
    assert np.array_equal(part.features, again.features, equal_nan=True)


def test_a_run_over_a_file_writes_a_bundle_and_figures_of_the_held_out_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Prepared] = []
    learn = own_run.train

    def watched(name: str, plan: Any, tracks: list[Prepared], *rest: Any) -> Any:
        seen.extend(tracks)
        small = msgspec.structs.replace(plan, net=(8,), hyperparameters={"n_steps": 64, "n_epochs": 1})
        return learn(name, small, tracks, *rest)

    monkeypatch.setattr(own_run, "train", watched)
    data = bars_csv(tmp_path / "mine.csv", CLOSES)
    found = run(OwnRun(out=str(tmp_path / "mine.bundle"), data=str(data), steps=256, interval="1h"), silent)
    assert [len(each.track) for each in seen] == [280]
    assert found.marks == ()
    assert load_policy(tmp_path / "mine.bundle").info.marks == ()
    assert found.held_out.startswith("4 windows, 2023-11-26T")
    assert set(found.figures) == {"mine", "hold", "rule"}
    assert all(len(each.returns) == 4 for each in found.figures.values())
    trades = found.figures["mine"].orders > 0
    text = "\n".join(told(found))
    assert "against hold: deploy gate" in text
    assert "synthetic" not in text
    assert ("it never trades there" in text) is not trades


def played(*returns: float, orders: int = 1) -> list[Played]:
    return [Played(f"t{place}", each, orders=orders) for place, each in enumerate(returns)]


@pytest.mark.parametrize(("mine", "fit"), [
    (played(0.05, 0.06, 0.07), True),
    (played(0.00, 0.00, 0.00, orders=0), False),  # an improvement of 100 %, by doing nothing
    (played(0.90, -0.05, -0.06), False),  # the better mean, by luck
    (played(-0.05, -0.06, -0.07), False),
])  # fmt: skip
def test_fit_for_deployment_is_who_trades_and_beats_both_baselines_by_more_than_the_noise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mine: list[Played], fit: bool
) -> None:
    bundle = Made("mine", "0" * 64, 1, 1, "")
    monkeypatch.setattr(own_run, "train", lambda *_: bundle)
    monkeypatch.setattr(own_run, "load_policy", lambda _: None)
    lost = played(-0.01, -0.02, -0.03)
    monkeypatch.setattr(own_run, "compare", lambda *_: {"mine": mine, "hold": lost, "rule": lost})
    data = bars_csv(tmp_path / "mine.csv", CLOSES)
    found = run(OwnRun(out=str(tmp_path / "mine.bundle"), data=str(data), interval="1h"), silent)
    assert found.deployable is fit
    assert f"fit for deployment by these figures: {'yes' if fit else 'no'}" in told(found)


@pytest.mark.parametrize(("bars", "held_out", "words"), [
    (90, 0.3, r"expected an unbroken piece of 81 bars or more to train on, got 90 of which 30% are held out$"),
    (120, 0.2, r"expected more than 32 bars in what is held out$"),
])  # fmt: skip
def test_too_few_bars_are_refused_before_anything_is_learned(
    tmp_path: Path, bars: int, held_out: float, words: str
) -> None:
    data = bars_csv(tmp_path / "mine.csv", CLOSES[:bars])
    out = tmp_path / "x.bundle"
    with pytest.raises(BarFileError, match=r"^mine\.csv: " + words):
        run(OwnRun(out=str(out), data=str(data), interval="1h", held_out=held_out), silent)
    assert not out.exists()


@pytest.mark.parametrize(("arguments", "words"), [
    (["--steps", "0"], "argument --steps: expected a whole number from 1 to 100000000, got '0'"),
    (["--held-out", "1"], "argument --held-out: expected a share between 0 and 1, got '1'"),
    (["--fee", "2"], "argument --fee: expected a share as a decimal number, 0.001 is 0.1 %, got '2'"),
    (["--seed", "-1"], "argument --seed: expected a whole number from 0 to 1000000, got '-1'"),
    (["--algorithm", "sac"], "argument --algorithm: invalid choice: 'sac'"),
])  # fmt: skip
def test_an_option_that_cannot_be_is_refused_by_name(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        parser().parse_args(arguments)
    assert stopped.value.code == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(("arguments", "field"), [
    (["--demo", "--data", "mine.csv"], "data"),
    (["--demo", "--algorithm", "dqn"], "algorithm"),
    (["--data", "mine.csv", "--scenario", "bull"], "scenario"),
    (["--fee", "0.002"], "fee"),
    (["--held-out", "0.5"], "held-out"),
    (["--processes", "2"], "processes"),
])  # fmt: skip
def test_an_option_that_would_have_no_effect_is_refused(arguments: list[str], field: str) -> None:
    with pytest.raises(Refused, match=r"no effect|it takes") as refused:
        train(arguments, None)
    assert refused.value.field == field


def test_a_file_that_is_not_there_is_refused_with_its_field(tmp_path: Path) -> None:
    with pytest.raises(Refused) as refused:
        train(["--data", str(tmp_path / "none.csv"), "--out", str(tmp_path / "x.bundle")], None)
    assert (refused.value.code, refused.value.field) == ("invalid", "data")
    assert "none.csv" in refused.value.message
