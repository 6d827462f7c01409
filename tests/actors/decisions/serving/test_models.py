"""Models in service: loading, refusing, exchanging, going back, and surviving restarts. Bundles are real files."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trio.testing import MockClock

from actors.decisions.bundles.bundle import Bundle, encode, write
from actors.decisions.features.names import FEATURE_SETS, MARKET_29
from actors.decisions.policy import PolicyAnswer, PolicyInfo
from actors.decisions.serving.part import models_of
from actors.decisions.serving.settings import ModelSettings, Settings
from protocols.control import Probe, Refused
from protocols.decisions import FALLBACK, DecisionMade, ListModels, LoadModel, ModelSwapped, ModelView, RollBackModel
from protocols.paths import MODELS
from runtime.settings import ConfigurationError
from tests.actors.decisions.bundles.samples import ACTIONS, softmax, tanh_network, weights
from tests.actors.decisions.serving.policies import observation
from tests.actors.decisions.serving.stage import Serving, following, serving

NAMES = FEATURE_SETS[MARKET_29]


def bundle_of(seed: int) -> Bundle:
    """A network 58-8-3 over the 29 features and their mask bits."""
    from actors.decisions.bundles.manifest import Activate, Categorical, Linear, Manifest, Training

    arrays: dict[str, Any] = dict(weights(58, 8, 3, seed=seed))
    values = np.random.default_rng(seed).uniform(-1, 1, (64, 29))
    outputs = tanh_network(arrays, np.concatenate([values, np.ones_like(values)], axis=1).astype(np.float32))
    arrays |= {
        "golden.observations": values,
        "golden.outputs": softmax(outputs),
        "golden.actions": outputs.argmax(axis=1).astype("<i8"),
    }
    manifest = Manifest(
        kind="mlp",
        algorithm="ppo",
        feature_set=MARKET_29,
        features=NAMES,
        actions=ACTIONS,
        confidence_kind="probability",
        layout="values+mask",
        head=Categorical(),
        layers=(Linear(58, 8), Activate("tanh"), Linear(8, 3)),
        trained=Training(f"seed {seed}"),
        marks=("synthetic",),
    )
    return Bundle(manifest, arrays)


def written(folder: Path, seed: int, name: str = "") -> tuple[Path, str]:
    path = folder / f"{name or seed}.bundle"
    return path, write(bundle_of(seed), path)[:12]


def broken(folder: Path) -> Path:
    """A bundle whose weights are not those of its golden pairs."""
    whole = bundle_of(1)
    arrays = dict(whole.arrays)
    arrays["layers.2.bias"] = arrays["layers.2.bias"] + np.array([0.1, 0, 0], np.float32)
    (folder / "broken.bundle").write_bytes(encode(Bundle(whole.manifest, arrays)))
    return folder / "broken.bundle"


async def view(at: Serving, name: str = "rl") -> ModelView:
    found = {each.name: each for each in (await at.node.ref(MODELS).ask(ListModels())).models}
    return found[name]


async def loaded(at: Serving, path: Path, name: str = "rl") -> ModelView:
    return await at.node.ref(MODELS).ask(LoadModel(name=name, path=str(path)), 20)


@asynccontextmanager
async def keeping(folder: Path, *models: ModelSettings) -> AsyncIterator[Serving]:
    """A node that keeps its models in `folder`; it has loaded what it is told to."""
    async with serving(folder, Settings(models=models), models=str(folder / "models")) as at:
        while any(count and name == "loading" for name, count in (await at.node.ref(MODELS).ask(Probe())).figures):
            pass
        yield at


async def test_what_the_configuration_names_serves_and_another_bundle_can_be_put_in_its_place(
    leaping: MockClock, tmp_path: Path
) -> None:
    first, old = written(tmp_path, 1)
    second, new = written(tmp_path, 2)
    async with (
        keeping(tmp_path, ModelSettings(name="rl", path=str(first))) as at,
        following(at.node, ModelSwapped) as told,
    ):
        decision = await at.decide()
        assert (decision.served_by, decision.model_version, decision.marks) == ("rl", old, ("synthetic",))
        answered = await loaded(at, second)
        assert (answered.version, answered.previous, answered.swaps) == (new, old, 1)
        assert (await at.decide()).model_version == new
        (swap,) = await told.count(1)
        assert (swap.name, swap.version, swap.before, swap.why) == ("rl", new, old, "loaded")
        assert (await view(at)).decisions == 1  # of this version


async def test_a_rollback_is_instant_and_another_one_goes_forth_again(leaping: MockClock, tmp_path: Path) -> None:
    first, old = written(tmp_path, 1)
    second, new = written(tmp_path, 2)
    async with keeping(tmp_path, ModelSettings(name="rl", path=str(first))) as at:
        await loaded(at, second)
        # The very next message to the server is answered by the version before: nothing is read from a disk.
        first.unlink()
        for expected in (old, new, old):
            back = await at.node.ref(MODELS).ask(RollBackModel("rl"))
            assert back.version == expected
            assert (await at.decide()).model_version == expected


async def test_a_bundle_whose_golden_pairs_do_not_hold_is_refused_and_the_old_model_goes_on(
    leaping: MockClock, tmp_path: Path
) -> None:
    first, old = written(tmp_path, 1)
    async with keeping(tmp_path, ModelSettings(name="rl", path=str(first))) as at:
        with pytest.raises(Refused, match="they differ by") as refusal:
            await loaded(at, broken(tmp_path))
        assert refusal.value.code == "invalid"
        assert (refusal.value.field or "").startswith("golden[")
        assert (await at.decide()).model_version == old
        shown = await view(at)
        assert (shown.version, shown.state, shown.swaps) == (old, "serving", 0)
        assert "they differ by" in shown.error
        assert (await at.node.ref(MODELS).ask(Probe())).status == "ok"
        with pytest.raises(Refused) as nothing:
            await loaded(at, tmp_path / "absent.bundle")
        assert (nothing.value.code, nothing.value.field) == ("not_found", "path")
        with pytest.raises(Refused) as name:
            await loaded(at, first, "no name")
        assert (name.value.code, name.value.field) == ("invalid", "name")


async def test_a_model_that_cannot_be_loaded_at_the_start_is_shown_and_answered_for_by_the_fallback(
    leaping: MockClock, tmp_path: Path
) -> None:
    async with keeping(tmp_path, ModelSettings(name="rl", path=str(broken(tmp_path)))) as at:
        decision = await at.decide()
        assert (decision.served_by, decision.reason) == (FALLBACK, "MODEL_ERROR")
        shown = await view(at)
        assert (shown.state, shown.version) == ("failed", "")
        probe = await at.node.ref(MODELS).ask(Probe())
        assert probe.status == "degraded"
        assert "golden" in probe.detail


async def test_a_server_that_starts_again_serves_what_it_served(leaping: MockClock, tmp_path: Path) -> None:
    first, _ = written(tmp_path, 1)
    second, new = written(tmp_path, 2)
    async with keeping(tmp_path, ModelSettings(name="rl", path=str(first))) as at:
        await loaded(at, second)
        await at.kill()
        assert (await at.decide(5.0)).model_version == new


async def test_a_keeper_that_starts_again_takes_over_from_its_own_copies(leaping: MockClock, tmp_path: Path) -> None:
    first, old = written(tmp_path, 1)
    second, new = written(tmp_path, 2)
    async with keeping(tmp_path, ModelSettings(name="rl", path=str(first))) as at:
        await loaded(at, second)
        first.unlink()
        second.unlink()
        async with following(at.node, ModelSwapped) as told:
            await at.kill(MODELS)
            await told.count(1)
        assert (await at.decide()).model_version == new
        while not (await view(at)).previous:
            pass
        assert (await at.node.ref(MODELS).ask(RollBackModel("rl"))).version == old


async def test_a_node_that_starts_again_serves_what_was_loaded_last_unless_the_configuration_was_edited(
    leaping: MockClock, tmp_path: Path
) -> None:
    first, old = written(tmp_path, 1)
    second, new = written(tmp_path, 2)
    third, other = written(tmp_path, 3)
    for configured, load, expected in ((first, second, new), (first, None, new), (third, None, other)):
        async with keeping(tmp_path, ModelSettings(name="rl", path=str(configured))) as at:
            if load is not None:
                assert (await at.decide()).model_version == old
                await loaded(at, load)
            assert (await at.decide()).model_version == expected
    assert (tmp_path / "models" / "rl" / new / "2.bundle").exists()


async def test_loading_under_load_drops_nothing(leaping: MockClock, tmp_path: Path) -> None:
    """Bundles are read and checked on a thread while requests come; each answer is of one of the versions."""
    import trio

    files = [written(tmp_path, seed) for seed in range(1, 6)]
    async with (
        keeping(tmp_path, ModelSettings(name="rl", path=str(files[0][0]))) as at,
        following(at.node, DecisionMade) as made,
    ):
        done = trio.Event()

        async def ask() -> None:
            while not done.is_set():
                decision = await at.decide(60.0)
                assert decision.served_by == "rl"

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            for path, version in files[1:]:
                assert (await loaded(at, path)).version == version
            done.set()
        seen = [message.decision.model_version for message in made.all]
        assert set(seen) <= {version for _, version in files}
        assert [version for place, version in enumerate(seen) if place == 0 or seen[place - 1] != version] == [
            version for _, version in files if version in seen
        ]


# Classes of a user's own.


class Mine:
    """Always holds."""

    def __init__(self) -> None:
        self.info = PolicyInfo(
            kind="python",
            algorithm="mine",
            version="",
            feature_set=MARKET_29,
            features=NAMES,
            actions=ACTIONS,
            confidence_kind="rule",
        )

    def act(self, values: Any, mask: Any = None, regimes: Any = None) -> list[PolicyAnswer]:
        return [PolicyAnswer(1, (), 0.5) for _ in values]


async def test_a_class_of_a_users_own_serves_from_a_thread(leaping: MockClock, tmp_path: Path) -> None:
    async with keeping(tmp_path, ModelSettings(name="mine", policy=f"{__name__}:Mine")) as at:
        decision = await at.decide(20.0, observation(), model="mine")
        assert (decision.served_by, decision.action, decision.model_version) == ("mine", "HOLD", "python")
        assert (await view(at, "mine")).kind == "python"


# Settings.


def test_the_bundles_of_a_folder_serve_under_their_names_behind_those_that_are_named(tmp_path: Path) -> None:
    for name in ("bull", "rl_ensemble"):
        written(tmp_path, 1, name)
    named = ModelSettings(name="bull", path="elsewhere.bundle")
    found = models_of(Settings(models=(named,), models_dir=str(tmp_path)))
    assert found == (named, ModelSettings(name="rl_ensemble", path=str(tmp_path / "rl_ensemble.bundle")))
    written(tmp_path, 1, "No Name")
    with pytest.raises(ConfigurationError, match="Expected `str` matching regex"):
        models_of(Settings(models_dir=str(tmp_path)))
    with pytest.raises(ConfigurationError, match="is no folder"):
        models_of(Settings(models_dir=str(tmp_path / "absent")))
    with pytest.raises(ConfigurationError, match="bull stands there twice"):
        models_of(Settings(models=(named, named)))


# Ensembles.


def ensemble(folder: Path) -> Path:
    """Two specialists and a generalist, in files beside the ensemble's own."""
    from actors.decisions.bundles.manifest import EnsemblePlan, Manifest, Member

    members = []
    for seed, name in enumerate(("bull", "bear", "generalist"), 1):
        members.append(Member(name, write(bundle_of(seed), folder / f"{name}.bundle"), f"{name}.bundle"))
    manifest = Manifest(
        kind="ensemble",
        algorithm="ensemble",
        feature_set=MARKET_29,
        features=NAMES,
        actions=ACTIONS,
        confidence_kind="vote",
        layout="values+mask",
        ensemble=EnsemblePlan(tuple(members), {"least_confidence": 0.7}),
        marks=("synthetic",),
    )
    write(Bundle(manifest, {}), folder / "whole.bundle")
    return folder / "whole.bundle"


async def test_an_ensemble_is_served_by_the_regime_explained_and_kept_with_its_members(
    leaping: MockClock, tmp_path: Path
) -> None:
    from actors.decisions.bundles.loading import load_policy

    origin = tmp_path / "origin"
    origin.mkdir()
    model = ModelSettings(name="rl_ensemble", path=str(ensemble(origin)))
    seen = observation(0.5)
    alone = {
        name: load_policy(origin / f"{name}.bundle").act(np.array([seen.values]))[0].probabilities
        for name in ("bull", "bear", "generalist")
    }
    async with keeping(tmp_path, model) as at:

        async def said(*regimes: float, **changes: Any) -> Any:
            decision = await at.decide(20.0, seen, model="rl_ensemble", regimes=regimes, **changes)
            assert (decision.served_by, decision.confidence_kind) == ("rl_ensemble", "vote")
            return decision

        def shares(decision: Any) -> Any:
            return pytest.approx([share for _, share in decision.probabilities], abs=1e-6)

        assert shares(await said()) == list(alone["generalist"])
        assert shares(await said(1.0, 0.0, 0.0, 0.0)) == list(alone["bull"])
        mixed = [0.8 * bull + 0.2 * bear for bull, bear in zip(alone["bull"], alone["bear"], strict=True)]
        assert shares(await said(0.8, 0.2, 0.0, 0.0)) == mixed
        explained = await said(0.0, 1.0, 0.0, 0.0, explain=True)
        assert explained.factors
        assert dict(explained.regimes)["bear"] == 1.0
        assert (await view(at, "rl_ensemble")).members == ("bull", "bear", "generalist")
    for file in origin.iterdir():
        file.unlink()
    async with keeping(tmp_path, model) as at:
        assert (await at.decide(20.0, seen, model="rl_ensemble")).served_by == "rl_ensemble"
