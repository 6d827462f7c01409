"""Several policies as one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.decisions.features.names import BOOK, FEATURE_SETS, MARKET_29, REGIMES
from actors.decisions.policy import ActionMeaning, Mask, Policy, PolicyAnswer, PolicyFailed, PolicyInfo, Values
from actors.decisions.regimes.ensemble import GENERALIST, Ensemble

ACTIONS = (ActionMeaning("hold", "HOLD"), ActionMeaning("buy", "BUY", 1.0), ActionMeaning("sell", "SELL", 1.0))
FEATURES = FEATURE_SETS[MARKET_29]
NAN = math.nan


class Says:
    """A policy that says the same of everything, or fails."""

    def __init__(self, *probabilities: float, fails: Exception | None = None, value: float | None = None, **info: Any):
        self.said = probabilities
        self.fails = fails
        self.value = value
        self.asked = 0
        fields: dict[str, Any] = {
            "kind": "python", "algorithm": "test", "version": "v", "feature_set": MARKET_29, "features": FEATURES,
            "actions": ACTIONS, "confidence_kind": "probability",
        }  # fmt: skip
        self.info = PolicyInfo(**{**fields, **info})

    def act(self, values: Values, mask: Mask | None = None, regimes: Values | None = None) -> list[PolicyAnswer]:
        self.asked += 1
        if self.fails is not None:
            raise self.fails
        action = int(np.argmax(self.said)) if self.said else 0
        return [PolicyAnswer(action, self.said, max(self.said, default=0.0), self.value) for _ in values]


ROW = np.zeros((1, 29))
BULL = Says(0.0, 1.0, 0.0)
BEAR = Says(0.0, 0.0, 1.0)
CALM = Says(1.0, 0.0, 0.0)
WILD = Says(0.5, 0.25, 0.25)
GENERAL = Says(0.2, 0.5, 0.3)


def ensemble(fallback: Policy = GENERAL, **members: Policy) -> Ensemble:
    every = members or dict(zip(REGIMES, (BULL, BEAR, CALM, WILD), strict=True))
    return Ensemble(every, fallback, version="abc")


def answered(policy: Ensemble, *regimes: float) -> PolicyAnswer:
    return policy.act(ROW, None, np.array([regimes]))[0]


def test_a_sure_regime_gives_each_member_its_probability_as_weight() -> None:
    answer = answered(ensemble(), 0.8, 0.1, 0.06, 0.04)
    assert answer.probabilities == pytest.approx((0.06 + 0.02, 0.8 + 0.01, 0.1 + 0.01))
    assert answer.action == 1
    assert answer.confidence == answer.probabilities[1]
    assert answer.weights == (("bull", 0.8), ("bear", 0.1), ("sideways", 0.06), ("high_volatility", 0.04))


def test_at_seven_tenths_the_regime_is_sure_and_below_it_the_generalist_has_half() -> None:
    assert GENERALIST not in dict(answered(ensemble(), 0.7, 0.3, 0.0, 0.0).weights)
    answer = answered(ensemble(), 0.6, 0.4, 0.0, 0.0)
    assert dict(answer.weights) == pytest.approx({GENERALIST: 0.5, "bull": 0.3, "bear": 0.2})
    assert answer.probabilities == pytest.approx((0.1, 0.25 + 0.3, 0.15 + 0.2))


@pytest.mark.parametrize("regimes", [None, np.full((1, 4), NAN), np.array([[0.9, 0.1, NAN, 0.0]])])
def test_where_the_regime_is_not_known_the_generalist_answers_alone(regimes: Values | None) -> None:
    bull = Says(0.0, 1.0, 0.0)
    answer = ensemble(bull=bull).act(ROW, None, regimes)[0]
    assert answer.weights == ((GENERALIST, 1.0),)
    assert answer.probabilities == pytest.approx(GENERAL.said)
    assert bull.asked == 0


def test_the_weight_of_a_regime_without_a_member_is_the_generalists() -> None:
    answer = answered(ensemble(bear=BEAR), 0.8, 0.2, 0.0, 0.0)
    assert dict(answer.weights) == pytest.approx({GENERALIST: 0.8, "bear": 0.2})
    alone = Ensemble({}, GENERAL, version="v")
    assert answered(alone, 0.8, 0.2, 0.0, 0.0).weights == ((GENERALIST, 1.0),)


def test_a_member_can_be_left_out() -> None:
    rest = ensemble().without("bull")
    assert rest.info.members == ("bear", "sideways", "high_volatility", GENERALIST)
    assert dict(answered(rest, 0.8, 0.2, 0.0, 0.0).weights) == pytest.approx({GENERALIST: 0.8, "bear": 0.2})
    with pytest.raises(ValueError, match=r"^member: expected any of bear, sideways, high_volatility, got 'bull'$"):
        rest.without("bull")


@pytest.mark.parametrize(
    "bull",
    [
        Says(fails=RuntimeError("boom")),
        Says(fails=PolicyFailed("no number")),
        Says(NAN, 1.0, 0.0),
        Says(-1.0, 2.0, 0.0),
        Says(0.5, 0.5),
        Says(),
    ],
)
def test_the_weight_of_a_member_that_fails_is_the_generalists_and_it_is_reported(bull: Says) -> None:
    told: list[tuple[str, Exception]] = []
    policy = Ensemble(
        {"bull": bull, "bear": BEAR}, GENERAL, version="v", report=lambda name, error: told.append((name, error))
    )
    for count in (1, 2):
        answer = answered(policy, 0.8, 0.2, 0.0, 0.0)
        assert dict(answer.weights) == pytest.approx({GENERALIST: 0.8, "bear": 0.2})
        assert answer.probabilities == pytest.approx((0.16, 0.4, 0.24 + 0.2))
        assert policy.failures == {"bull": count}
        assert [name for name, _ in told] == ["bull"] * count


def test_where_the_generalist_is_needed_and_fails_there_is_no_answer() -> None:
    policy = ensemble(Says(fails=RuntimeError("boom")), bull=BULL)
    with pytest.raises(PolicyFailed, match=r"^generalist: boom$"):
        answered(policy, 0.5, 0.5, 0.0, 0.0)
    assert policy.failures == {GENERALIST: 1}
    # Where it is not needed nobody asks it.
    assert answered(policy, 1.0, 0.0, 0.0, 0.0).action == 1


def test_each_row_of_a_batch_has_its_own_weights_and_each_member_is_asked_once() -> None:
    bull, general = Says(0.0, 1.0, 0.0), Says(0.2, 0.5, 0.3)
    regimes = np.array([[1.0, 0.0, 0.0, 0.0], [NAN] * 4, [0.5, 0.0, 0.0, 0.5]])
    answers = ensemble(general, bull=bull).act(np.zeros((3, 29)), None, regimes)
    assert [dict(each.weights) for each in answers] == [
        {"bull": 1.0},
        {GENERALIST: 1.0},
        pytest.approx({"bull": 0.25, GENERALIST: 0.75}),
    ]
    assert (bull.asked, general.asked) == (1, 1)


def test_a_masked_action_has_no_chance_and_the_others_share_it() -> None:
    answer = ensemble().act(ROW, np.array([[True, False, True]]), np.array([[0.75, 0.15, 0.1, 0.0]]))[0]
    assert answer.probabilities == pytest.approx((0.4, 0.0, 0.6))
    assert answer.action == 2
    with pytest.raises(PolicyFailed, match=r"^no member gives any allowed action a chance$"):
        ensemble().act(ROW, np.array([[True, False, True]]), np.array([[1.0, 0.0, 0.0, 0.0]]))


def test_the_value_is_the_weighted_one_where_every_say_has_one() -> None:
    members: dict[str, Policy] = {"bull": Says(0.0, 1.0, 0.0, value=2.0), "bear": Says(0.0, 0.0, 1.0, value=-1.0)}
    assert answered(ensemble(GENERAL, **members), 0.75, 0.25, 0.0, 0.0).value == pytest.approx(1.25)
    assert answered(ensemble(GENERAL, **members), 0.5, 0.5, 0.0, 0.0).value is None


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.floats(1e-3, 1.0), min_size=4, max_size=4),
    st.sets(st.sampled_from(REGIMES)),
    st.sets(st.sampled_from(REGIMES)),
)
def test_weights_and_probabilities_sum_to_one_whoever_is_there_and_fails(
    chances: list[float], there: set[str], failing: set[str]
) -> None:
    every = dict(zip(REGIMES, (BULL, BEAR, CALM, WILD), strict=True))
    broken = Says(fails=RuntimeError("boom"))
    members: dict[str, Policy] = {name: broken if name in failing else every[name] for name in there}
    answer = answered(Ensemble(members, GENERAL, version="v"), *(each / math.fsum(chances) for each in chances))
    assert math.fsum(weight for _, weight in answer.weights) == pytest.approx(1.0)
    assert math.fsum(answer.probabilities) == pytest.approx(1.0)
    assert {name for name, _ in answer.weights} <= (there - failing) | {GENERALIST}


def test_it_is_a_policy_that_votes() -> None:
    policy: Policy = ensemble(Says(1.0, 0.0, 0.0, marks=("synthetic",), min_features=3), bull=Says(threaded=True))
    info = policy.info
    assert (info.kind, info.confidence_kind, info.version) == ("ensemble", "vote", "abc")
    assert info.members == ("bull", GENERALIST)
    assert info.marks == ("synthetic",)
    assert info.min_features == 3
    assert info.threaded
    assert info.cacheable
    assert (info.features, info.actions) == (FEATURES, ACTIONS)


def test_what_is_usual_is_the_generalists_and_one_member_that_takes_no_missing_features_speaks_for_all() -> None:
    usual, spread = (0.5,) * 29, (0.1,) * 29
    whole = ensemble(Says(1.0, 0.0, 0.0, reference=usual, spread=spread), bull=Says(reference=(9.0,) * 29))
    assert (whole.info.reference, whole.info.spread) == (usual, spread)
    assert whole.info.takes_missing
    assert not ensemble(GENERAL, bull=Says(takes_missing=False)).info.takes_missing


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"crab": BULL}, r"^member: expected any of bull, bear, sideways, high_volatility, got 'crab'$"),
        (
            {"bull": Says(feature_set=BOOK, features=FEATURE_SETS[BOOK])},
            r"^bull: expected the features of the generalist, 29 of market29, got 12 of book$",
        ),
        (
            {"bull": Says(actions=ACTIONS[:2])},
            r"^bull: expected the actions of the generalist, hold, buy, sell, got hold, buy$",
        ),
        ({"bull": Says(confidence_kind="density")}, r"^bull: expected a policy with a probability for each action$"),
    ],
)
def test_members_that_do_not_fit_are_refused(members: dict[str, Policy], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Ensemble(members, GENERAL, version="v")


@pytest.mark.parametrize(
    ("values", "mask", "regimes", "words"),
    [
        (np.zeros(29), None, None, r"^values: expected the shape \(n, 29\), got \(29,\)$"),
        (ROW, np.ones((1, 2), dtype=bool), None, r"^mask: expected the shape \(1, 3\), got \(1, 2\)$"),
        (ROW, np.zeros((1, 3), dtype=bool), None, r"^mask: expected an action that is allowed, got none$"),
        (ROW, None, np.ones((2, 4)), r"^regimes: expected the shape \(1, 4\), got \(2, 4\)$"),
        (ROW, None, np.ones((1, 4)), r"^regimes: expected probabilities that sum to 1$"),
        (ROW, None, np.array([[1.5, -0.5, 0.0, 0.0]]), r"^regimes: expected probabilities that sum to 1$"),
    ],
)
def test_what_cannot_be_asked_is_refused(values: Any, mask: Any, regimes: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ensemble().act(values, mask, regimes)


def test_a_confidence_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^least_confidence: expected a number from 0 to 1, got 1\.5$"):
        Ensemble({}, GENERAL, version="v", least_confidence=1.5)
