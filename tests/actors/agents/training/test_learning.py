"""Learning, at a size that is over in a second: what is made is a bundle, and the same one again."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest

from actors.agents.environment.account import TradingSettings
from actors.agents.environment.market import SimulatedBars, simulated_track
from actors.agents.environment.observation import fitted, prepared
from actors.agents.training import demo
from actors.agents.training.callbacks import CHECKPOINT
from actors.agents.training.ensembles import write_ensemble
from actors.agents.training.job import Made, Word, make, seeds_of, tracks_of
from actors.agents.training.learning import Cancelled, learn, without_costs
from actors.agents.training.plan import ALGORITHMS, TrainingPlan
from actors.decisions.bundles.checking import BundleError
from actors.decisions.bundles.loading import load_policy
from actors.decisions.features.names import REGIMES
from protocols.market import SYNTHETIC
from tests.actors.agents.training.kit import TINY, never, silent, tiny

TRACKS = [prepared(simulated_track(SimulatedBars(bars=100), seed)) for seed in (1, 2)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("learned")


@pytest.fixture(scope="module")
def words() -> list[Word]:
    return []


@pytest.fixture(scope="module")
def first(folder: Path, words: list[Word]) -> Made:
    return make(tiny(folder, "first"), words.append, never)


@pytest.fixture(scope="module")
def other(folder: Path) -> Made:
    return make(tiny(folder, "other", msgspec.structs.replace(TINY, seed=1)), silent, never)


def test_what_is_made_is_a_bundle_that_says_what_it_is_and_the_same_one_again(
    folder: Path, first: Made, words: list[Word]
) -> None:
    again = make(tiny(folder, "again"), silent, never)
    assert again.sha256 == first.sha256
    assert words[-1].progress.steps == words[-1].progress.total == TINY.timesteps
    info = load_policy(folder / "first.bundle").info
    assert (info.algorithm, info.kind, info.marks) == ("ppo", "mlp", (SYNTHETIC,))
    assert first.trained == "simulated venue, tracks of 100 bars: 2 mixed, seeds from 10000"
    assert info.trained.startswith(first.trained)
    assert info.trained.endswith(f"{first.steps} steps")


def test_another_seed_makes_another_policy_on_other_tracks(first: Made, other: Made) -> None:
    assert other.sha256 != first.sha256
    assert not set(seeds_of(0, 1000)) & set(seeds_of(1, 1000))


@pytest.mark.usefixtures("first")
def test_inputs_that_no_training_step_knew_have_no_say(folder: Path) -> None:
    policy = load_policy(folder / "first.bundle")
    rows = np.full((2, 29), np.nan)
    rows[:, :12] = 0.1
    rows[1, 12:] = 0.9  # on-chain figures, whales, funding: bars do not say them
    plain, told = policy.act(rows)
    assert told.probabilities == plain.probabilities


@pytest.mark.parametrize("checkpoints", ["", "kept"])
def test_a_training_that_is_asked_to_stop_writes_no_bundle_and_keeps_its_checkpoint(
    tmp_path: Path, checkpoints: str
) -> None:
    calls = iter(range(1000))
    folder = str(tmp_path / checkpoints) if checkpoints else ""
    with pytest.raises(Cancelled):
        make(tiny(tmp_path, checkpoints=folder), silent, lambda: next(calls) > 20)
    assert not (tmp_path / "tiny.bundle").exists()
    if checkpoints:
        from stable_baselines3 import PPO

        assert PPO.load(tmp_path / "kept" / CHECKPOINT, device="cpu").num_timesteps > 0
        assert [file.name for file in (tmp_path / "kept").iterdir()] == [CHECKPOINT]


def test_hyperparameters_that_the_algorithm_does_not_know_are_refused() -> None:
    plan = msgspec.structs.replace(TINY, hyperparameters={"luck": 1})
    with pytest.raises(ValueError, match=r"^hyperparameters: .*luck"):
        learn(plan, TRACKS, fitted(TRACKS))


@pytest.mark.long
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm_learns_and_is_served(tmp_path: Path, algorithm: str) -> None:
    plan = TrainingPlan(algorithm=algorithm, timesteps=600, net=(8,), envs=2)  # type: ignore[arg-type]
    if algorithm == "dqn":
        plan = msgspec.structs.replace(plan, hyperparameters={"learning_starts": 100})
    make(tiny(tmp_path, algorithm, plan), silent, never)
    policy = load_policy(tmp_path / f"{algorithm}.bundle")
    assert policy.info.algorithm == algorithm
    assert len(policy.act(TRACKS[0].features[70:])) == 30


def test_without_costs_everybody_trades_half_way_between_the_best_prices_for_nothing() -> None:
    (track, _), trading = without_costs(TRACKS, TradingSettings())
    assert track.track.quotes == ()
    assert track.track.bars == TRACKS[0].track.bars
    assert trading.fills is not None
    assert trading.fills.fees.model == "none"


def test_more_tracks_than_a_seed_has_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^tracks: expected 1 to 1000 of a scenario, got 1001$"):
        seeds_of(0, 1001)
    with pytest.raises(Cancelled):
        tracks_of(tiny(Path()).parts, 0, lambda: True)


@pytest.mark.usefixtures("first", "other")
def test_an_ensemble_names_its_members_and_another_file_in_the_place_of_one_is_refused(
    folder: Path, tmp_path: Path
) -> None:
    for name in (*REGIMES, "generalist"):
        shutil.copy(folder / "first.bundle", tmp_path / f"{name}.bundle")
    sha256 = write_ensemble(
        tmp_path / "ensemble.bundle", [tmp_path / f"{name}.bundle" for name in (*REGIMES, "generalist")]
    )
    policy = load_policy(tmp_path / "ensemble.bundle")
    assert policy.info.version == sha256[:12]
    assert policy.info.members == (*REGIMES, "generalist")
    assert policy.info.marks == (SYNTHETIC,)
    shutil.copy(folder / "other.bundle", tmp_path / "bull.bundle")
    with pytest.raises(BundleError, match=r"members\.bull\.sha256"):
        load_policy(tmp_path / "ensemble.bundle")


def test_the_five_trainings_of_the_demonstration_the_longest_first(tmp_path: Path) -> None:
    found = demo.jobs(tmp_path, 7)
    assert [job.name for job in found] == ["generalist", *REGIMES]
    assert found[0].plan.timesteps == demo.GENERALIST_STEPS == max(job.plan.timesteps for job in found)
    for job in found[1:]:
        assert job.parts[0].scenario == job.name
    assert [job.plan.timesteps for job in demo.jobs(tmp_path, 7, 100)] == [100, 50, 50, 50, 50]
    assert set(demo.EVALUATED).isdisjoint(seeds_of(7, 1000))


@pytest.mark.long
def test_the_whole_demonstration_twice_gives_the_same_bundles_and_figures(tmp_path: Path) -> None:
    said: list[str] = []
    found = [
        demo.run(tmp_path / name, 3, 1024, silent, lambda made: None, said.append, processes=2)
        for name in ("one", "two")
    ]
    # Which training ended first is chance; what came of each is not.
    one, two = (
        msgspec.structs.replace(each, bundles=tuple(sorted(each.bundles, key=lambda made: made.name))) for each in found
    )
    assert one == two
    assert len(one.bundles) == 5
    assert (tmp_path / "one" / "rl_ensemble.bundle").read_bytes() == (
        tmp_path / "two" / "rl_ensemble.bundle"
    ).read_bytes()
    assert len(demo.told(one)) > 40
