"""The bundles that a fresh node serves: they load without torch, they are what the figures say, and they decide."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from actors.agents.environment.observation import ALWAYS_ASKED, FEATURES
from actors.agents.training.demo import (
    BASELINES,
    ENSEMBLE,
    EVALUATED,
    FIGURES,
    GENERALIST,
    SIX_FIELDS,
    SUFFIX,
    TWO_FIELDS,
    Figures,
)
from actors.agents.training.job import MIN_FEATURES, seeds_of
from actors.decisions.bundles.loading import load_policy
from actors.decisions.features.names import REGIMES
from actors.decisions.features.request import from_request
from actors.decisions.policy import Policy
from protocols.market import SYNTHETIC

FOLDER = Path(__file__).parents[4] / "config" / "models" / "demo"
MEMBERS = (*REGIMES, GENERALIST)

PROGRAM = """
import json, sys
import numpy as np
from pathlib import Path
from actors.decisions.bundles.loading import load_policy
policy = load_policy(Path(sys.argv[1]))
values = np.full((1, 29), np.nan)
values[0, :5] = 0.3
answers = policy.act(np.repeat(values, 2, axis=0), None, np.array([[0.9, 0.1, 0.0, 0.0], [np.nan] * 4]))
heavy = sorted({name.partition(".")[0] for name in sys.modules} & {"torch", "stable_baselines3", "gymnasium", "scipy"})
print(json.dumps([heavy, [answer.probabilities for answer in answers], [dict(a.weights) for a in answers]]))
"""


@pytest.fixture(scope="module")
def policies() -> dict[str, Policy]:
    return {name: load_policy(FOLDER / f"{name}{SUFFIX}") for name in (*MEMBERS, ENSEMBLE)}


@pytest.fixture(scope="module")
def figures() -> Figures:
    return msgspec.json.decode((FOLDER / FIGURES).read_bytes(), type=Figures)


def test_the_ensemble_is_served_with_numpy_alone_and_its_golden_pairs_hold() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(FOLDER / f"{ENSEMBLE}{SUFFIX}")],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    heavy, probabilities, weights = json.loads(done.stdout)
    assert heavy == []
    assert [sum(each) for each in probabilities] == pytest.approx([1.0, 1.0])
    # Where the regime is known its specialist speaks, where it is not the generalist does.
    assert weights[0] == pytest.approx({"bull": 0.9, "bear": 0.1})
    assert weights[1] == {GENERALIST: 1.0}


def test_each_says_of_itself_that_it_is_synthetic_and_what_it_was_trained_on(policies: dict[str, Policy]) -> None:
    for policy in policies.values():
        assert policy.info.marks == (SYNTHETIC,)
        assert "simulated venue" in policy.info.trained
        assert policy.info.features == FEATURES
        assert policy.info.min_features == MIN_FEATURES
        assert [each.name for each in policy.info.actions] == ["SELL", "HOLD", "BUY"]


def test_the_figures_are_those_of_these_bundles_on_seeds_that_no_training_saw(
    policies: dict[str, Policy], figures: Figures
) -> None:
    told = {made.name: made.sha256 for made in figures.bundles} | {ENSEMBLE: figures.ensemble}
    assert {name: sha256[:12] for name, sha256 in told.items()} == {
        name: policy.info.version for name, policy in policies.items()
    }
    assert figures.marks == (SYNTHETIC,)
    assert figures.evaluation_seeds == tuple(EVALUATED)
    assert len(EVALUATED) == 20
    assert not set(EVALUATED) & set(seeds_of(figures.seed, 1000))
    for found in figures.scenarios.values():
        for name, each in found.contenders.items():
            assert len(each.returns) == 20
            assert set(each.versus) == set(BASELINES) - {name}


def test_the_default_policy_beats_holding_and_the_rule_where_regimes_change(figures: Figures) -> None:
    mixed = figures.scenarios["mixed"].contenders
    for name in (ENSEMBLE, SIX_FIELDS):
        for baseline in BASELINES:
            difference = mixed[name].versus[baseline].difference
            assert difference.error is not None
            assert difference.mean > 2 * difference.error


def test_the_page_about_training_shows_these_figures(figures: Figures) -> None:
    page = (FOLDER.parents[2] / "docs" / "how-to" / "train-a-policy.md").read_text(encoding="utf-8")
    for name in (ENSEMBLE, GENERALIST, SIX_FIELDS, TWO_FIELDS, *BASELINES):
        returns = [found.contenders[name].return_ for found in figures.scenarios.values()]
        shown = " | ".join(f"{each.mean:+.1%} ± {each.error:.1%}".replace("%", " %") for each in returns)
        assert f"| {name} | {shown} |" in page


def test_none_of_them_always_does_the_same(policies: dict[str, Policy]) -> None:
    bars = [name for name in FEATURES[:12] if name not in ("atr", "adx")]
    rows = np.full((21, 29), np.nan)
    for row, level in zip(rows, np.linspace(-0.6, 0.6, 21), strict=True):
        row[[FEATURES.index(name) for name in bars]] = level
    for name, policy in policies.items():
        taken = [policy.info.actions[answer.action].name for answer in policy.act(rows)]
        # A market that falls by all its signs is sold, one that rises is bought.
        assert (taken[0], taken[-1]) == ("SELL", "BUY"), name


def test_the_two_fields_of_the_smallest_signal_suffice_and_are_answered_by_what_they_say(
    policies: dict[str, Policy],
) -> None:
    low = from_request({"rsi": 22, "change_percent": -6, "confidence": 0.7, "volume": 1e6}, None, 0)
    high = from_request({"rsi": 85, "change_percent": 9, "confidence": 0.7, "volume": 1e6}, None, 0)
    assert len(ALWAYS_ASKED) >= MIN_FEATURES
    rows = np.array([low.observation.values, high.observation.values])
    assert (~np.isnan(rows)).sum(axis=1).tolist() == [2, 2]
    falling, rising = policies[ENSEMBLE].act(rows)
    sell, buy = 0, 2
    assert falling.action == sell
    assert rising.probabilities[buy] > falling.probabilities[buy] + 0.1
    assert rising.probabilities[sell] < 0.1


def test_all_of_it_is_small() -> None:
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) < 400_000
