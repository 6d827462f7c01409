"""Names of features in their order, and errors in words."""

from __future__ import annotations

import pytest

from actors.decisions.features.checking import FeatureError, check, number
from actors.decisions.features.names import BOOK, FEATURE_SETS, MARKET_29
from actors.decisions.features.table import FEATURES, scale


@pytest.mark.parametrize("feature_set", sorted(FEATURE_SETS))
def test_the_names_of_a_set_in_its_order_are_right(feature_set: str) -> None:
    check(list(FEATURE_SETS[feature_set]), feature_set)


def test_too_few_names_are_told_with_those_that_lack() -> None:
    with pytest.raises(
        FeatureError, match=r"^features: expected the 29 names of market29, got 27 names; without "
    ) as it:
        check(FEATURE_SETS[MARKET_29][2:], MARKET_29)
    assert it.value.got == "27 names; without change_percent, return_1"


def test_names_that_are_none_are_told() -> None:
    with pytest.raises(FeatureError, match=r"got 13 names; with the unknown colour$"):
        check((*FEATURE_SETS[BOOK], "colour"), BOOK)


def test_another_order_is_told_at_its_first_place() -> None:
    names = FEATURE_SETS[BOOK]
    with pytest.raises(FeatureError, match=r"^features\[1\]: expected 'microprice_offset', as book has it there, got"):
        check((names[0], names[2], names[1], *names[3:]), BOOK)


def test_an_unknown_set_is_told_with_the_known_ones() -> None:
    for call in (lambda: check((), "market30"), lambda: scale({}, "market30")):
        with pytest.raises(FeatureError, match=r"^feature_set: expected any of market29, book, got 'market30'$"):
            call()


def test_the_table_has_every_feature_of_every_set_once_and_says_all_of_it() -> None:
    assert list(FEATURES) == [name for names in FEATURE_SETS.values() for name in names]
    for feature in FEATURES.values():
        assert feature.meaning
        assert feature.unit
        assert feature.source
        assert feature.transform
        assert feature.least < feature.most
        assert feature.low in (-1.0, 0.0)


@pytest.mark.parametrize("value", [True, "5", None, float("nan"), float("inf"), 10**400, [1], -0.1, 1.1])
def test_what_is_no_number_in_the_range_is_refused(value: object) -> None:
    with pytest.raises(FeatureError, match=r"^share: expected a number from 0 to 1, got .{1,90}$"):
        number("share", value, 0.0, 1.0)
