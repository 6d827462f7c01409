"""A policy that is loaded answers as it was trained; what would not is refused, with the pair and the difference."""

from __future__ import annotations

import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from actors.decisions.bundles.bundle import Bundle, BundleError, encode, write
from actors.decisions.bundles.loading import load_policy, policy_of, python_policy
from actors.decisions.bundles.manifest import EnsemblePlan, Manifest, Member, QValues
from actors.decisions.bundles.mlp import MlpPolicy
from actors.decisions.policy import ActionMeaning, FeaturesMissing, Policy, PolicyAnswer, PolicyFailed, PolicyInfo
from tests.actors.decisions.bundles.samples import (
    ACTIONS,
    FEATURES,
    MEAN,
    VARIANCE,
    encoded,
    mlp_bundle,
    observations,
    softmax,
    tanh_network,
)


def saved(whole: Bundle, folder: Path) -> Path:
    write(whole, folder / "p.bundle")
    return folder / "p.bundle"


def with_arrays(whole: Bundle, **arrays: Any) -> Bundle:
    return Bundle(whole.manifest, {**whole.arrays, **{name.replace("__", "."): a for name, a in arrays.items()}})


def test_answers_are_those_of_the_network_written_down_in_the_plainest_way(tmp_path: Path) -> None:
    for layout in ("values", "values+mask"):
        whole = mlp_bundle(layout)  # type: ignore[arg-type]
        policy = load_policy(saved(whole, tmp_path))
        rows = observations(300, missing=layout == "values+mask", seed=11)
        expected = softmax(tanh_network(dict(whole.arrays), encoded(rows, layout)))  # type: ignore[arg-type]
        alone = [policy.act(row[np.newaxis])[0] for row in rows]
        for answers in (policy.act(rows), alone):
            np.testing.assert_allclose([a.probabilities for a in answers], expected, rtol=0, atol=1e-6)
            assert [a.action for a in answers] == expected.argmax(axis=1).tolist()
        assert policy.act(rows[:0]) == []


@pytest.mark.parametrize("layout", ["values", "values+mask"])
def test_values_far_away_are_clipped_as_they_were_in_training(layout: Any) -> None:
    whole = mlp_bundle(layout)
    far = np.vstack([MEAN + sign * np.diag(30 * np.sqrt(VARIANCE)) for sign in (1, -1)])
    expected = softmax(tanh_network(dict(whole.arrays), encoded(far, layout)))
    answers = policy_of(whole).act(far)
    np.testing.assert_allclose([answer.probabilities for answer in answers], expected, rtol=0, atol=1e-6)


def test_a_network_that_was_trained_without_missing_features_names_those_that_are_missing() -> None:
    policy = policy_of(mlp_bundle("values"))
    assert not policy.info.takes_missing
    row = np.array([MEAN])
    row[0, [1, 3]] = np.nan
    with pytest.raises(FeaturesMissing) as missing:
        policy.act(row)
    assert missing.value.features == (FEATURES[1], FEATURES[3])


def test_a_changed_golden_pair_is_refused_with_its_number_and_the_difference(tmp_path: Path) -> None:
    whole = mlp_bundle()
    outputs = np.array(whole.arrays["golden.outputs"])
    outputs[17, 1] += 0.003
    path = saved(with_arrays(whole, golden__outputs=outputs), tmp_path)
    with pytest.raises(BundleError, match=r"^golden\[17\]: .* they differ by 0.003, at most 1e-05 allowed$"):
        load_policy(path)


def test_changed_weights_with_the_right_sha_are_refused(tmp_path: Path) -> None:
    whole = mlp_bundle()
    weight = np.array(whole.arrays["layers.2.weight"])
    weight[3, 5] += 0.01
    path = saved(with_arrays(whole, layers__2__weight=weight), tmp_path)
    with pytest.raises(BundleError, match=r"^golden\[\d+\]: the policy answers .* where the trained model said"):
        load_policy(path)


def test_another_action_is_refused_but_where_rounding_may_decide(tmp_path: Path) -> None:
    whole = mlp_bundle()
    actions = np.array(whole.arrays["golden.actions"])
    ordered = np.sort(whole.arrays["golden.outputs"], axis=1)
    clear = int(np.argmax(ordered[:, 2] - ordered[:, 1]))
    actions[clear] = (actions[clear] + 1) % 3
    path = saved(with_arrays(whole, golden__actions=actions), tmp_path)
    with pytest.raises(BundleError, match=rf"^golden\[{clear}\]: the policy takes [A-Z]+ where the trained model took"):
        load_policy(path)


def test_an_action_is_another_unless_the_best_two_are_nearer_than_rounding() -> None:
    whole = mlp_bundle()
    ordered = np.sort(whole.arrays["golden.outputs"], axis=1)
    gaps = ordered[:, 2] - ordered[:, 1]
    near = int(np.argmin(np.where(gaps > 1e-4, gaps, np.inf)))
    actions = np.array(whole.arrays["golden.actions"])
    actions[near] = np.argsort(whole.arrays["golden.outputs"][near])[1]
    assert gaps[near] < 0.05
    with pytest.raises(BundleError, match=rf"^golden\[{near}\]: the policy takes [A-Z]+ where the trained model took"):
        policy_of(with_arrays(whole, golden__actions=actions))
    # Of two actions of the same weights the trained model may have taken either.
    alike = mlp_bundle(alike=True)
    best = alike.arrays["golden.outputs"].argmax(axis=1)
    policy_of(with_arrays(alike, golden__actions=np.where(best == 0, 1, best).astype("<i8")))


def test_other_statistics_of_the_normaliser_are_refused(tmp_path: Path) -> None:
    whole = mlp_bundle()
    path = saved(with_arrays(whole, normaliser__mean=np.array(whole.arrays["normaliser.mean"]) + 0.5), tmp_path)
    with pytest.raises(BundleError, match=r"^golden\["):
        load_policy(path)


def test_what_is_known_of_a_policy_is_what_its_bundle_says(tmp_path: Path) -> None:
    path = tmp_path / "p.bundle"
    sha = write(mlp_bundle(), path)
    info = load_policy(path).info
    assert info.version == sha[:12]
    assert (info.kind, info.algorithm, info.threaded, info.cacheable) == ("mlp", "ppo", False, True)
    assert (info.features, info.actions, info.marks) == (FEATURES, ACTIONS, ("synthetic",))
    assert (info.takes_missing, info.reference) == (True, (50.0, 0.0, 1000.0, 0.01))
    other = mlp_bundle(normaliser=msgspec.structs.replace(mlp_bundle().manifest.normaliser, clip=100.0))
    write(other, path)
    assert info.normaliser != load_policy(path).info.normaliser


@pytest.mark.parametrize(
    ("values", "mask", "message"),
    [
        (np.zeros((2, 3)), None, r"^values: an array of shape \(n, 4\) expected; got \(2, 3\)$"),
        (np.zeros(4), None, r"^values: an array of shape \(n, 4\) expected; got \(4,\)$"),
        (np.zeros((1, 4)), np.ones((1, 2), bool), r"^mask: booleans of shape \(1, 3\) expected; got bool of"),
        (np.zeros((1, 4)), np.ones((1, 3)), r"^mask: booleans of shape \(1, 3\) expected; got float64 of"),
        (np.zeros((2, 4)), np.array([[True] * 3, [False] * 3]), r"^mask: at least one allowed action in each row"),
    ],
)
def test_another_shape_is_a_value_error(tmp_path: Path, values: Any, mask: Any, message: str) -> None:
    policy = load_policy(saved(mlp_bundle(), tmp_path))
    with pytest.raises(ValueError, match=message):
        policy.act(values, mask)


@pytest.mark.filterwarnings("ignore:overflow encountered")
def test_a_policy_whose_outputs_are_no_numbers_fails_and_guesses_nothing() -> None:
    whole = mlp_bundle()
    largest = {name: np.full((3, 16), 3e38, "<f4") for name in ("layers__4__weight",)}
    policy = MlpPolicy(with_arrays(whole, **largest))
    for rows in (observations(1), observations(5)):
        with pytest.raises(PolicyFailed, match=r"^the network's outputs are no numbers: \["):
            policy.act(rows)


def test_a_mask_is_obeyed_by_a_policy_that_has_not_learned_with_masks(tmp_path: Path) -> None:
    whole = mlp_bundle()
    policy = load_policy(saved(whole, tmp_path))
    rows = observations(50)
    for answer, free in zip(policy.act(rows, np.array([[True, False, True]] * 50)), policy.act(rows), strict=True):
        assert answer.probabilities[1] == 0.0
        left = free.probabilities[0] + free.probabilities[2]
        assert answer.probabilities[0] == pytest.approx(free.probabilities[0] / left)


def test_a_masked_value_is_not_taken_however_high_it_is(tmp_path: Path) -> None:
    policy = load_policy(saved(mlp_bundle("values", QValues(1.0), confidence_kind="q_softmax"), tmp_path))
    rows = observations(50)
    for free, row in zip(policy.act(rows), rows, strict=True):
        mask = np.ones((1, 3), np.bool_)
        mask[0, free.action] = False
        (answer,) = policy.act(row[np.newaxis], mask)
        assert answer.action != free.action
        assert answer.probabilities[free.action] == 0.0
        assert answer.value is not None
        assert free.value is not None
        assert answer.value <= free.value
        assert sum(answer.probabilities) == pytest.approx(1.0)


def test_serving_a_perceptron_imports_neither_torch_nor_onnxruntime_nor_gymnasium(tmp_path: Path) -> None:
    path = saved(mlp_bundle(), tmp_path)
    program = (
        "import sys, pathlib, numpy; from actors.decisions.bundles.loading import load_policy;"
        f"policy = load_policy(pathlib.Path({str(path)!r})); answer, = policy.act(numpy.zeros((1, 4)));"
        "print(answer.action in (0, 1, 2), *sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    answered, *loaded = done.stdout.split()
    assert answered == "True"
    assert not set(loaded) & {"torch", "onnxruntime", "gymnasium", "stable_baselines3", "scipy", "pandas", "trio"}


# Ensembles.


class Votes:
    """Stands in for the ensemble, which is another folder's: asks each member, and takes the mean."""

    def __init__(self, members: dict[str, Policy], fallback: Policy, *, version: str, power: float = 1.0) -> None:
        self.members, self.power = {**members, "generalist": fallback}, power
        self.info = msgspec.structs.replace(
            fallback.info, kind="ensemble", confidence_kind="vote", version=version, members=tuple(self.members)
        )

    def act(self, values: Any, mask: Any = None, regimes: Any = None) -> list[PolicyAnswer]:
        said = [policy.act(values, mask, regimes) for policy in self.members.values()]
        shares = np.mean([[answer.probabilities for answer in answers] for answers in said], axis=0)
        return [PolicyAnswer(int(row.argmax()), tuple(row.tolist()), float(row.max())) for row in shares]


@pytest.fixture
def votes(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("votes_for_tests")
    module.Ensemble = Votes  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "votes_for_tests", module)
    monkeypatch.setattr("actors.decisions.bundles.loading.ENSEMBLE", "votes_for_tests:Ensemble")


def ensemble(members: tuple[Member, ...], inside: dict[str, bytes], **arguments: Any) -> Bundle:
    manifest = Manifest(
        kind="ensemble",
        algorithm="vote",
        feature_set="samples",
        features=FEATURES,
        actions=ACTIONS,
        confidence_kind="vote",
        layout="values+mask",
        ensemble=EnsemblePlan(members, arguments),
        marks=("synthetic",),
    )
    return Bundle(manifest, {}, b"", inside)


def test_an_ensemble_has_its_members_inside_or_beside_it(votes: None, tmp_path: Path) -> None:
    bull, bear, every = (encode(mlp_bundle(seed=seed)) for seed in (1, 2, 3))
    (tmp_path / "bear.bundle").write_bytes(bear)
    members = (
        Member("bull", bull[-64:].decode()),
        Member("bear", bear[-64:].decode(), "bear.bundle"),
        Member("generalist", every[-64:].decode()),
    )
    path = tmp_path / "both.bundle"
    sha = write(ensemble(members, {"bull": bull, "generalist": every}, power=2.0), path)
    policy: Any = load_policy(path)
    assert policy.power == 2.0
    assert list(policy.members) == ["bull", "bear", "generalist"]
    assert policy.info.takes_missing
    assert (policy.info.version, policy.info.kind) == (sha[:12], "ensemble")
    rows = observations(10)
    each = [[answer.probabilities for answer in member.act(rows)] for member in policy.members.values()]
    np.testing.assert_allclose([a.probabilities for a in policy.act(rows)], np.mean(each, axis=0))


def test_an_ensemble_takes_no_missing_features_where_one_of_it_takes_none(votes: None) -> None:
    gapless, every = encode(mlp_bundle("values", seed=1)), encode(mlp_bundle(seed=3))
    members = (Member("bull", gapless[-64:].decode()), Member("generalist", every[-64:].decode()))
    policy = policy_of(ensemble(members, {"bull": gapless, "generalist": every}))
    assert not policy.info.takes_missing


REFUSED_EARLY = ("outside", "not inside", "stranger")
"""What is wrong without looking at a member."""


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("absent", r"^members.bear.file: .*bear.bundle cannot be read: No such file"),
        ("exchanged", r"^members.bear.sha256: the ensemble was made with [0-9a-f]{64}; this is [0-9a-f]{64}$"),
        ("nested", r"^members.bear.kind: an ensemble of ensembles is not served$"),
        ("other actions", r"^members.bear.actions: the ensemble has others$"),
        (
            "outside",
            r"^ensemble.members\[0\].file: the name of a file beside .* expected; got '../bear.bundle'$",
        ),
        ("not inside", r"^ensemble.members\[0\].file: it names no file, and the bundle has no member of this name"),
        ("stranger", r"^members: inside the bundle, but in no list: bull$"),
        ("nobody else", r"^ensemble.members: a member named 'generalist' expected; got bear$"),
        ("arguments", r"^ensemble.arguments: .*unexpected keyword argument 'strength'"),
    ],
)
def test_an_ensemble_whose_member_is_wrong_is_refused(votes: None, tmp_path: Path, case: str, message: str) -> None:
    bear = mlp_bundle(seed=2)
    if case == "other actions":
        bear = mlp_bundle(seed=2, actions=(*ACTIONS[:2], ActionMeaning("BUY_HALF", "BUY", 0.5)))
    content = encode(bear)
    if case == "nested":
        content = encode(ensemble((Member("a", content[-64:].decode()),), {"a": content}))
    if case != "absent":
        (tmp_path / "bear.bundle").write_bytes(encode(mlp_bundle(seed=3)) if case == "exchanged" else content)
    file = {"outside": "../bear.bundle", "not inside": ""}.get(case, "bear.bundle")
    arguments = {"strength": 1.0} if case == "arguments" else {}
    inside = {"bull": content} if case == "stranger" else {}
    members = [Member("bear", content[-64:].decode(), file)]
    if case == "arguments":
        inside = {"generalist": content}
        members.append(Member("generalist", content[-64:].decode()))
    whole = ensemble(tuple(members), inside, **arguments)
    with pytest.raises(BundleError, match=message):
        policy_of(whole, tmp_path) if case not in REFUSED_EARLY else encode(whole)


# A class of the user's own.


class Steady:
    """Says what it is told to say."""

    def __init__(self, answer: Any = None, count: int = 1) -> None:
        self.answer, self.count = answer, count
        self.info = PolicyInfo(
            kind="python",
            algorithm="steady",
            version="1",
            feature_set="samples",
            features=FEATURES,
            actions=ACTIONS,
            confidence_kind="rule",
        )

    def act(self, values: Any, mask: Any = None, regimes: Any = None) -> list[Any]:
        if isinstance(self.answer, Exception):
            raise self.answer
        return [self.answer] * self.count


class Nameless:
    """Has no `info`."""


HERE = "tests.actors.decisions.bundles.test_loading"
FINE = PolicyAnswer(1, (), 0.75)


def test_a_class_of_ones_own_is_a_policy() -> None:
    policy = python_policy(f"{HERE}:Steady", {"answer": FINE})
    assert policy.info.algorithm == "steady"
    assert policy.info.threaded  # whatever it does there, the loop goes on
    assert policy.act(np.zeros((1, 4))) == [FINE]
    with pytest.raises(ValueError, match=r"^values: an array of shape \(n, 4\) expected"):
        policy.act(np.zeros((1, 5)))


@pytest.mark.parametrize(
    ("answer", "count", "message"),
    [
        (ZeroDivisionError("by nothing"), 1, "^Steady raised ZeroDivisionError: by nothing$"),
        (FINE, 2, "^1 answers expected; Steady gave 2$"),
        ("BUY", 1, "^a PolicyAnswer expected; Steady gave str$"),
        (PolicyAnswer(3, (), 0.5), 1, "^an action of 0 to 2 expected; Steady gave 3$"),
        (PolicyAnswer(0, (), float("nan")), 1, "^finite numbers expected; Steady gave"),
        (PolicyAnswer(0, (0.5, 0.5), 0.5), 1, "^3 probabilities expected; Steady gave 2$"),
    ],
)
def test_what_is_no_answer_of_ones_own_class_is_a_failure_of_the_policy(answer: Any, count: int, message: str) -> None:
    with pytest.raises(PolicyFailed, match=message):
        python_policy(f"{HERE}:Steady", {"answer": answer, "count": count}).act(np.zeros((1, 4)))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Steady", r"^policy: package.module:Class expected; got 'Steady'$"),
        ("no_such_package:Steady", r"^policy: no_such_package cannot be imported: No module named"),
        (f"{HERE}:Absent", r"^policy: tests.* has no Absent$"),
        (f"{HERE}:Nameless", r"^policy.info: .*Nameless has to have an `info`"),
    ],
)
def test_a_class_that_is_no_policy_is_refused(name: str, message: str) -> None:
    with pytest.raises(BundleError, match=message):
        python_policy(name, {})
    with pytest.raises(BundleError, match=r"^policy: .*Steady cannot be made: TypeError: .*unexpected keyword"):
        python_policy(f"{HERE}:Steady", {"speed": 1})
