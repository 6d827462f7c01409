"""The filter of regimes, on regimes that were planted."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import pairwise
from statistics import NormalDist
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.decisions.features.names import REGIMES
from actors.decisions.regimes.filter import (
    PARAMETERS,
    WARM_UP,
    RegimeFilter,
    RegimeParameters,
    over,
    sticky,
)
from actors.decisions.regimes.fit import fit
from tests.actors.decisions.regimes.planted import planted, share_right

TAUGHT = range(8)
UNSEEN = range(100, 110)


@pytest.fixture(scope="module")
def fitted() -> RegimeParameters:
    return fit([planted(seed) for seed in TAUGHT])


def test_thirty_bars_behind_a_change_nine_of_ten_planted_regimes_are_found_on_unseen_seeds(
    fitted: RegimeParameters,
) -> None:
    # Measured: 0.906 of these bars (0.888 after 10 bars; 0.901 on 40 more seeds). Chance is 0.25.
    assert share_right(fitted, UNSEEN, delay=30) >= 0.88


def test_the_parameters_that_come_with_it_find_as_many() -> None:
    # Measured: 0.910 (0.894 after 10 bars; 0.905 on 40 more seeds). They are rounded from such a fit.
    assert share_right(PARAMETERS, UNSEEN, delay=30) >= 0.88


def test_what_it_says_does_not_depend_on_the_size_of_returns() -> None:
    returns, _ = planted(5, count=4)
    for one, other in zip(over(returns), over([50.0 * each for each in returns]), strict=True):
        assert other == pytest.approx(one, rel=1e-6)


def test_a_quiet_market_changes_its_regime_seldom(fitted: RegimeParameters) -> None:
    regimes = RegimeFilter(fitted)
    returns, labels = planted(100)
    changes = sum(one != other for one, other in pairwise(labels))
    for value in returns:
        regimes.update(value)
    assert regimes.stability is not None
    # Planted: about 0.8 changes in 100 bars.
    assert 0.5 * 100 * changes / len(labels) < regimes.stability < 6.0


def test_stability_counts_changes_of_the_most_probable_regime_per_hundred_bars() -> None:
    regimes = RegimeFilter(msgspec.structs.replace(PARAMETERS, half_life=5000.0))
    seen = []
    for value in planted(3, count=3)[0]:
        if regimes.update(value):
            seen.append(regimes.regime)
    changes = sum(one != other for one, other in pairwise(seen))
    assert changes > 0
    assert regimes.stability == pytest.approx(100.0 * changes / (len(seen) - 1))
    assert RegimeFilter().stability is None


def knows_no_future(said: Callable[[list[float]], list[tuple[float, ...]]], past: list[float], future: Any) -> bool:
    """Whether what is said of the past stays the same to the last bit, whatever comes behind it."""
    before = said(past)
    futures = ([], list(future), list(reversed(future)), [-9.0] * 20)
    return all(said(past + each)[: len(past)] == before for each in futures)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**16), st.integers(1, 249), st.randoms(use_true_random=False))
def test_filtered_and_not_smoothed_the_future_changes_nothing(seed: int, at: int, draw: Any) -> None:
    returns = planted(seed, count=4)[0][:250]
    future = returns[at:]
    draw.shuffle(future)
    assert knows_no_future(over, returns[:at], future)
    assert over(returns)[:at] == over(returns[:at])


def smoothed(returns: list[float]) -> list[tuple[float, ...]]:
    """What Kim's smoother (1994) makes of the filter's answers: each bar in the light of all that came behind it."""
    found = over(returns)
    transition = PARAMETERS.transition
    for place in range(len(found) - 2, -1, -1):
        if not found[place]:
            break
        ahead = [math.fsum(found[place][i] * transition[i][j] for i in range(4)) for j in range(4)]
        found[place] = tuple(
            found[place][i] * math.fsum(transition[i][j] * found[place + 1][j] / ahead[j] for j in range(4))
            for i in range(4)
        )
    return found


def test_that_check_finds_a_smoother_out() -> None:
    returns = planted(3, count=4)[0][:250]
    assert knows_no_future(over, returns[:150], returns[150:])
    assert not knows_no_future(smoothed, returns[:150], returns[150:])
    # And a smoother would look better than it may: it knows how each regime went on.
    assert smoothed(returns)[-1] == over(returns)[-1]


ODD = st.one_of(
    st.floats(-0.05, 0.05),
    st.sampled_from([0.0, None, math.nan, 1e-300, -1e-300, 5.0, -5.0, 1e300, -1e300]),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(ODD, max_size=120))
def test_probabilities_sum_to_one_through_outliers_gaps_and_zeros(returns: list[float | None]) -> None:
    regimes = RegimeFilter()
    for value in planted(1, count=1)[0][:60]:
        regimes.update(value)
    for value in returns:
        found = regimes.update(value)
        assert len(found) == len(REGIMES)
        assert math.fsum(found) == pytest.approx(1.0, abs=1e-12)
        assert all(0.0 < each <= 1.0 for each in found)


def test_before_the_deviation_is_known_nothing_is_said() -> None:
    regimes = RegimeFilter()
    returns = planted(1, count=1)[0]
    for value in returns[:WARM_UP]:
        assert regimes.update(value) == ()
        assert regimes.regime == ""
    assert len(regimes.update(returns[WARM_UP])) == len(REGIMES)


def test_a_market_that_has_never_moved_has_no_regime() -> None:
    assert set(over([0.0] * 200)) == {()}
    assert set(over([None, math.nan] * 100)) == {()}
    assert over([0.0] * 200 + planted(1, count=1)[0])[-1] != ()


def test_one_outlier_in_the_warm_up_does_not_hide_what_follows() -> None:
    returns, _ = planted(7, count=6)
    spoilt = [*returns]
    spoilt[10] = 5.0
    clean, other = over(returns), over(spoilt)
    agree = sum(
        max(range(4), key=one.__getitem__) == max(range(4), key=two.__getitem__)
        for one, two in zip(clean[WARM_UP:], other[WARM_UP:], strict=True)
    )
    assert agree / len(clean[WARM_UP:]) > 0.9


def test_over_missing_bars_what_is_known_ages_to_what_the_transitions_say() -> None:
    regimes = RegimeFilter()
    for value in planted(1, count=1)[0]:
        regimes.update(value)
    before = regimes.update(None)
    for _ in range(2000):
        found = regimes.update(math.nan)
    # The stationary distribution of a symmetric matrix is uniform.
    assert found == pytest.approx((0.25,) * 4)
    assert max(before) > max(found)


def test_an_infinite_return_is_refused_and_changes_nothing() -> None:
    regimes = RegimeFilter()
    for value in planted(1, count=1)[0]:
        regimes.update(value)
    before = regimes.save()
    with pytest.raises(ValueError, match=r"^return: expected a finite number, or none, got -inf$"):
        regimes.update(-math.inf)
    assert regimes.save() == before


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**16), st.integers(0, 120))
def test_a_filter_that_is_saved_midway_goes_on_as_if_it_had_not_been(seed: int, at: int) -> None:
    returns = planted(seed, count=2)[0][:120]
    first, again, whole = RegimeFilter(), RegimeFilter(), RegimeFilter()
    for value in returns:
        whole.update(value)
    for value in returns[:at]:
        first.update(value)
    again.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(first.save())))
    for value in returns[at:]:
        again.update(value)
    assert again.save() == whole.save()
    assert again.regime == whole.regime


def test_a_state_of_another_version_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^state: expected version 1, got \(2,\)$"):
        RegimeFilter().restore((2, *RegimeFilter().save()[1:]))


def density(value: float, drift: float, sigma: float, degrees: float) -> float:
    """Of a normal variable, or of Student's t, whole."""
    if not degrees:
        return NormalDist(drift, sigma).pdf(value)
    constant = math.gamma((degrees + 1) / 2) / (math.gamma(degrees / 2) * math.sqrt(degrees * math.pi) * sigma)
    return constant * (1 + ((value - drift) / sigma) ** 2 / degrees) ** (-(degrees + 1) / 2)


def by_hand(parameters: RegimeParameters, standardised: list[float]) -> Iterator[list[float]]:
    """Hamilton's recursion as the textbook has it."""
    before = [0.25] * 4
    for value in standardised:
        joint = [
            sum(before[i] * parameters.transition[i][j] for i in range(4))
            * density(value, parameters.drift[j], parameters.sigma[j], parameters.degrees)
            for j in range(4)
        ]
        before = [each / sum(joint) for each in joint]
        yield before


@pytest.mark.parametrize("degrees", [0.0, 5.0])
def test_the_recursion_is_hamiltons_with_whole_densities(degrees: float) -> None:
    parameters = msgspec.structs.replace(PARAMETERS, degrees=degrees, half_life=1e12)
    # With so long a half-life the deviation stays what the warm-up made it: 0.01.
    warm_up = [0.01, -0.01] * (WARM_UP // 2)
    standardised = [0.5, -1.0, 3.0, 0.1, -4.0, 0.0, 0.7]
    found = over([*warm_up, *(0.01 * each for each in standardised)], parameters)[WARM_UP:]
    # No regime is ever less probable than 1e-9.
    for one, other in zip(found, by_hand(parameters, standardised), strict=True):
        assert one == pytest.approx(other, rel=1e-5, abs=2e-9)


def test_a_fit_finds_what_was_planted() -> None:
    # A Gaussian with a deviation that is known: the standardised shapes are the planted ones over it.
    found = fit([planted(seed) for seed in TAUGHT], degrees=0.0)
    bull, bear, sideways, high = range(4)
    assert found.drift[bull] > 0.25
    assert found.drift[bear] < -0.25
    assert abs(found.drift[sideways]) < 0.05
    # 0.018 to 0.0035, 0.006 to 0.0035, within what a slow deviation blurs.
    assert found.sigma[high] / found.sigma[sideways] == pytest.approx(0.018 / 0.0035, rel=0.2)
    assert found.sigma[bull] / found.sigma[sideways] == pytest.approx(0.006 / 0.0035, rel=0.2)
    # 130 bars on average.
    assert all(found.transition[each][each] == pytest.approx(1 - 1 / 130, abs=0.002) for each in range(4))


@pytest.mark.parametrize(
    ("sequences", "words"),
    [
        ([([0.1], ["bull", "bear"])], r"^labels: expected 1 of them, got 2$"),
        ([([0.1], ["boom"])], r"^labels: expected any of bull, bear, sideways, high_volatility, got 'boom'$"),
        ([([math.nan], ["bull"])], r"^returns: expected finite numbers, got nan$"),
        ([([0.1] * 100, ["bull"] * 100)], r"^bear: expected at least 20 returns of it, got 0$"),
    ],
)
def test_labels_that_cannot_be_fitted_are_refused(sequences: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        fit(sequences)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"drift": (0.0,)}, r"^expected 4 regimes in drift, sigma"),
        ({"sigma": (1.0, 1.0, 1.0, 0.0)}, r"^sigma and half_life: expected more than 0"),
        ({"degrees": 2.0}, r"^degrees: expected 0, or more than 2, got 2\.0$"),
        ({"transition": sticky(1.1)}, r"^transition\[0\]: expected probabilities that sum to 1"),
        ({"half_life": math.nan}, r"^parameters: expected finite numbers$"),
    ],
)
def test_parameters_that_are_none_are_refused(change: dict[str, Any], words: str) -> None:
    fields = msgspec.structs.asdict(PARAMETERS)
    with pytest.raises(ValueError, match=words):
        RegimeParameters(**{**fields, **change})
